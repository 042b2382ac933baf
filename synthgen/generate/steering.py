"""Show the seeds that lack company: steering for tasks without labels.

A share of the prompts demonstrates the seeds around which least was accepted. The other prompts stay as they are, so that
a run is not narrowed. What steers a prompt was settled before its slot's horizon: a run that was resumed is steered as
it would have been.
"""

import random
from array import array
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from synthgen.generate.steer import SteerConfig
from synthgen.ledger import Vector
from synthgen.numerics.regression import Floats
from synthgen.records import Sample

STEERED = "steered"
"""The strategy of slots whose prompt was steered."""


@dataclass(frozen=True)
class Steer:
    """Say what a group's prompt is to show."""

    covered: Mapping[str, int] | None = None
    """How much was accepted around each seed, by its id; None for a prompt that stays as it is."""

    @property
    def strategy(self) -> str | None:
        """Return the strategy of the group's slots, where it is not the run's own."""
        return STEERED if self.covered is not None else None

    def seeds(self, seeds: Sequence[Sample]) -> dict[str, float] | None:
        """Return how much each seed is worth showing: the more, the less was accepted around it."""
        if self.covered is None:
            return None
        around = {seed.id: self.covered.get(seed.id, 0) for seed in seeds}
        mean = sum(around.values()) / max(1, len(around))
        return {seed: 1.0 / (1.0 + count / (mean + 1.0)) for seed, count in around.items()}


UNSTEERED = Steer()


def steers(cfg: SteerConfig, seed: int, group: int) -> bool:
    """Tell whether a group's prompt is one of those that are steered."""
    return random.Random(f"{seed}/steer/{group}").random() < cfg.share


class Coverage:
    """Steer a run without labels: a share of its prompts shows the seeds around which least was accepted.

    `vectors` are the seeds', of unit length, shape (seeds, dimensions).
    """

    def __init__(self, cfg: SteerConfig, seeds: Sequence[Sample], vectors: Floats, seed: int) -> None:
        self._cfg = cfg
        self._seed = seed
        self._seeds = [sample.id for sample in seeds]
        self._vectors = vectors
        self._slots = array("q")
        self._nearest = array("l")
        self._counts, self._counted = [0] * len(self._seeds), 0

    def add(self, slot: int, vector: Vector | None) -> None:
        """Take in an accepted sample, in slot order."""
        if vector is not None:
            self._slots.append(slot)
            self._nearest.append(int((self._vectors @ np.asarray(vector, dtype=np.float64)).argmax()))

    def plan(self, group: int, before: int) -> Steer:
        """Return how a group is steered whose prompt may show what was settled before a slot."""
        if not steers(self._cfg, self._seed, group):
            return UNSTEERED
        end = bisect_left(self._slots, before)
        if end < self._counted:
            self._counts, self._counted = [0] * len(self._seeds), 0
        for nearest in self._nearest[self._counted : end]:
            self._counts[nearest] += 1
        self._counted = end
        return Steer(covered=dict(zip(self._seeds, self._counts, strict=True)))
