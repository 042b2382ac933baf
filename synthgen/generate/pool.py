"""The pool: the samples that prompts draw demonstrations from.

Every draw names a slot, and sees only samples settled before it. So what a prompt shows does
not depend on timing, and a resumed run draws what the first one would have drawn. Of a generated sample
the pool keeps some twenty bytes, however long its text is.
"""

import math
import random
from array import array
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass

from synthgen.errors import ConfigError
from synthgen.generate.foils import foils
from synthgen.ledger.roster import Roster
from synthgen.records import Sample


@dataclass
class PoolConfig:
    seed_floor: float = 0.5
    """Least share of human seeds among a prompt's demonstrations."""
    max_depth: int = 4
    """Samples this many generations away from a seed are kept, but not shown any more."""
    max_children: int = 40
    """A sample with this many accepted children is not shown any more; seeds are exempt."""
    quality_power: float = 3.0
    """How strongly quality weighs in a draw; 0 ignores it."""
    novelty_power: float = 3.0
    """How strongly novelty weighs in a draw; 0 ignores it."""
    min_quality: float = 0.7
    """Least quality of an accepted sample that is shown. Where labels are decided from several sources, quality is its
    label's probability (with the rubric's grade, where there is one): a wrong label in a prompt teaches the wrong label."""

    def __post_init__(self) -> None:
        if not 0 <= self.seed_floor <= 1:
            raise ConfigError(f"pool.seed_floor: must be from 0 to 1, got {self.seed_floor}")
        for key in ("max_depth", "max_children"):
            if getattr(self, key) < 1:
                raise ConfigError(f"pool.{key}: must be 1 or more, got {getattr(self, key)}")
        if not 0 <= self.min_quality <= 1:
            raise ConfigError(f"pool.min_quality: must be from 0 to 1, got {self.min_quality}")
        if self.quality_power < 0 or self.novelty_power < 0:
            raise ConfigError("pool.quality_power and pool.novelty_power: must be 0 or more")


class _Kin:
    """Hold what a draw needs to know of one label's generated samples, in slot order."""

    def __init__(self) -> None:
        self.slots = array("q")
        self.positions = array("Q")
        self.weights = array("d")
        self.depths = array("H")


class Pool:
    """Hold samples by label, in slot order. Add in slot order, seeds first; `find` returns a sample by its id."""

    def __init__(self, cfg: PoolConfig, roster: Roster, find: Callable[[str], Sample]) -> None:
        self._cfg = cfg
        self._roster = roster
        self._find = find
        self._seeds: dict[str | None, list[Sample]] = defaultdict(list)
        self._seed_ids: set[str] = set()
        self._kin: dict[str | None, _Kin] = defaultdict(_Kin)
        self._children: dict[str, array[int]] = {}

    def add(self, sample: Sample, position: int) -> None:
        """Takes in a sample that has this position in the roster."""
        if sample.slot is None:
            self._seeds[sample.label].append(sample)
            self._seed_ids.add(sample.id)
            return
        kin = self._kin[sample.label]
        kin.slots.append(sample.slot)
        kin.positions.append(position)
        shown = sample.quality >= self._cfg.min_quality
        weight = sample.quality**self._cfg.quality_power * sample.novelty**self._cfg.novelty_power
        kin.weights.append(weight if shown else 0.0)
        kin.depths.append(sample.depth)
        for parent in sample.parents:
            if parent not in self._seed_ids:  # seeds have no quota
                self._children.setdefault(parent, array("q")).append(sample.slot)

    def seeds(self, label: str | None) -> list[Sample]:
        return self._seeds[label]

    def accepted(self, label: str | None, before: int) -> int:
        """Count the samples with `label` from slots below `before`."""
        return bisect_left(self._kin[label].slots, before)

    def draw(self, rng: random.Random, count: int, label: str | None, before: int) -> list[Sample]:
        """Draw `count` different samples with `label` from seeds and slots below `before`, in random order.

        Human seeds are at least `seed_floor` of them as far as there are any. Fewer than `count` come back when the pool
        holds fewer that may be shown, or hardly any with weight.
        """
        seeds = self._seeds[label]
        floor = min(len(seeds), math.ceil(count * self._cfg.seed_floor))
        synthetic = self._draw_synthetic(rng, count - floor, label, before)
        taken = min(len(seeds), count - len(synthetic))
        drawn = rng.sample(seeds, taken) + synthetic
        rng.shuffle(drawn)
        return drawn

    def foils(self, rng: random.Random, count: int, label: str | None) -> list[Sample]:
        """Return seeds of `count` other labels; see `synthgen.generate.foils`."""
        return foils(rng, count, self._seeds, label)

    def _draw_synthetic(self, rng: random.Random, count: int, label: str | None, before: int) -> list[Sample]:
        """Weighted draw without replacement by rejection: its cost does not grow with the pool."""
        kin = self._kin[label]
        end = self.accepted(label, before)
        drawn: dict[str, None] = {}
        for _ in range(20 * count if end else 0):
            if len(drawn) == count:
                break
            number = rng.randrange(end)
            if rng.random() < kin.weights[number] and kin.depths[number] < self._cfg.max_depth:
                sample_id = self._roster.id(kin.positions[number])
                if bisect_left(self._children.get(sample_id, ()), before) < self._cfg.max_children:
                    drawn[sample_id] = None
        return [self._find(sample_id) for sample_id in drawn]
