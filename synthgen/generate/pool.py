"""Draw the demonstrations of prompts from the pool of seeds and accepted samples.

Every draw names a slot and uses only samples settled before it. So a prompt does not depend on timing, and a resumed
run draws the same samples as an uninterrupted one. The pool keeps about twenty bytes per generated sample, whatever the
length of its text.
"""

import math
import random
from array import array
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from synthgen.errors import ConfigError
from synthgen.generate.foils import foils
from synthgen.generate.part import WHOLE, ShardPart
from synthgen.ledger.order import SampleOrder
from synthgen.records import INHERITED, Json, Sample


@dataclass
class PoolConfig:
    seed_floor: float = 0.5
    """Least share of seeds among a prompt's demonstrations, as far as there are enough seeds."""
    max_depth: int = 4
    """Do not show samples this many generations away from a seed. They stay in the dataset."""
    max_children: int = 40
    """Stop showing a sample once this many accepted samples were made from prompts that show it. Seeds have no such
    limit."""
    quality_power: float = 3.0
    """Exponent of a sample's quality in the weight of its draw; 0 ignores quality."""
    novelty_power: float = 3.0
    """Exponent of a sample's novelty in the weight of its draw; 0 ignores novelty."""
    min_quality: float = 0.7
    """Do not show accepted samples with a lower quality. Where several label sources decide the label, quality is the
    probability of the label (averaged with the rubric's grade, where there is one), because a wrong label in a prompt
    teaches the wrong label."""

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


class _Generated:
    """Hold the data about one label's generated samples that a draw needs, in slot order."""

    def __init__(self) -> None:
        self.slots = array("q")
        self.positions = array("Q")
        self.weights = array("d")
        self.depths = array("H")


class Pool:
    """Hold samples by label, in slot order. Add the seeds first. `find` returns a sample by its id."""

    def __init__(
        self,
        cfg: PoolConfig,
        order: SampleOrder,
        find: Callable[[str], Sample],
        labels_of: Callable[[Json], Sequence[str]] | None = None,
        part: ShardPart = WHOLE,
    ) -> None:
        """Hold an empty pool. `labels_of` returns all labels that a seed's data fits, where a seed may fit several or none.

        Prompts show only the seeds of `part`.
        """
        self._cfg = cfg
        self._order = order
        self._find = find
        self._seeds: dict[str | None, list[Sample]] = defaultdict(list)
        self._labels_of = labels_of
        self._part = part
        self._every_seed: list[Sample] = []
        self._seed_ids: set[str] = set()
        self._generated: dict[str | None, _Generated] = defaultdict(_Generated)
        self._children: dict[str, array[int]] = {}

    def add(self, sample: Sample, position: int) -> None:
        """Add a sample that has this position in the order."""
        if sample.origin == "seed":
            for label in [sample.label] if self._labels_of is None else self._labels_of(sample.data):
                self._seeds[label].append(sample)
            self._every_seed.append(sample)
            self._seed_ids.add(sample.id)
            return
        generated = self._generated[sample.label]
        slot = INHERITED if sample.slot is None else sample.slot  # a person's correction has no slot
        generated.slots.append(slot)
        generated.positions.append(position)
        shown = sample.quality >= self._cfg.min_quality
        weight = sample.quality**self._cfg.quality_power * sample.novelty**self._cfg.novelty_power
        generated.weights.append(weight if shown else 0.0)
        generated.depths.append(sample.depth)
        for parent in sample.parents:
            if parent not in self._seed_ids:  # max_children does not apply to seeds
                self._children.setdefault(parent, array("q")).append(slot)

    def seeds(self, label: str | None) -> list[Sample]:
        """Return the seeds of this part with `label`. Where seeds may fit no label, return all of them if none fits this one."""
        own = self._seeds.get(label, [])
        return self._part.seeds(self._every_seed if not own and self._labels_of is not None else own)

    def accepted(self, label: str | None, before: int) -> int:
        """Count the samples with `label` from slots below `before`."""
        return bisect_left(self._generated[label].slots, before)

    def draw(self, rng: random.Random, count: int, label: str | None, before: int) -> list[Sample]:
        """Draw `count` different samples with `label` from the seeds and the slots below `before`, in random order.

        At least the share `seed_floor` of them are seeds, as far as there are enough. Return fewer than `count` when
        the pool has fewer samples that may be shown, or when nearly all of their weights are 0.
        """
        seeds = self.seeds(label)
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
        """Draw by weight without replacement, by rejection sampling, so that the cost does not grow with the pool."""
        generated = self._generated[label]
        end = self.accepted(label, before)
        drawn: dict[str, None] = {}
        for _ in range(20 * count if end else 0):
            if len(drawn) == count:
                break
            number = rng.randrange(end)
            if rng.random() < generated.weights[number] and generated.depths[number] < self._cfg.max_depth:
                sample_id = self._order.id(generated.positions[number])
                if bisect_left(self._children.get(sample_id, ()), before) < self._cfg.max_children:
                    drawn[sample_id] = None
        return [self._find(sample_id) for sample_id in drawn]
