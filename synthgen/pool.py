"""The pool: the samples that prompts draw demonstrations from.

Every draw names a slot, and sees only samples settled before it. So what a prompt shows does
not depend on timing, and a resumed run draws what the first one would have drawn.
"""

import math
import random
from bisect import bisect_left
from collections import defaultdict
from dataclasses import dataclass

from synthgen.errors import ConfigError
from synthgen.records import Sample


@dataclass
class PoolConfig:
    seed_floor: float = 0.5
    """Least share of human seeds among a prompt's demonstrations."""
    max_depth: int = 4
    """Samples this many generations away from a seed are kept, but not shown any more."""
    max_children: int = 40
    """A sample with this many accepted children is not shown any more; seeds are exempt."""
    quality_power: float = 1.0
    """How strongly quality weighs in a draw; 0 ignores it."""
    novelty_power: float = 1.0
    """How strongly novelty weighs in a draw; 0 ignores it."""

    def __post_init__(self) -> None:
        if not 0 <= self.seed_floor <= 1:
            raise ConfigError(f"pool.seed_floor: must be from 0 to 1, got {self.seed_floor}")
        for key in ("max_depth", "max_children"):
            if getattr(self, key) < 1:
                raise ConfigError(f"pool.{key}: must be 1 or more, got {getattr(self, key)}")
        if self.quality_power < 0 or self.novelty_power < 0:
            raise ConfigError("pool.quality_power and pool.novelty_power: must be 0 or more")


class Pool:
    """Samples by label, in slot order. Add in slot order; seeds first."""

    def __init__(self, cfg: PoolConfig) -> None:
        self._cfg = cfg
        self._by_id: dict[str, Sample] = {}
        self._seeds: dict[str | None, list[Sample]] = defaultdict(list)
        self._synthetic: dict[str | None, list[Sample]] = defaultdict(list)
        self._slots: dict[str | None, list[int]] = defaultdict(list)
        self._children: dict[str, list[int]] = defaultdict(list)

    def __len__(self) -> int:
        return len(self._by_id)

    def __contains__(self, sample_id: str) -> bool:
        return sample_id in self._by_id

    def __getitem__(self, sample_id: str) -> Sample:
        return self._by_id[sample_id]

    def add(self, sample: Sample) -> None:
        self._by_id[sample.id] = sample
        if sample.slot is None:
            self._seeds[sample.label].append(sample)
            return
        self._synthetic[sample.label].append(sample)
        self._slots[sample.label].append(sample.slot)
        for parent in sample.parents:
            self._children[parent].append(sample.slot)

    def seeds(self, label: str | None) -> list[Sample]:
        return self._seeds[label]

    def accepted(self, label: str | None, before: int) -> int:
        """How many samples with `label` came from slots below `before`."""
        return bisect_left(self._slots[label], before)

    def draw(self, rng: random.Random, count: int, label: str | None, before: int) -> list[Sample]:
        """`count` different samples with `label`, from seeds and slots below `before`, in random order.

        Human seeds are at least `seed_floor` of them as far as there are any. Fewer than `count`
        come back when the pool holds fewer that may be shown, or hardly any with weight.
        """
        seeds = self._seeds[label]
        floor = min(len(seeds), math.ceil(count * self._cfg.seed_floor))
        synthetic = self._draw_synthetic(rng, count - floor, label, before)
        drawn = rng.sample(seeds, min(len(seeds), count - len(synthetic))) + synthetic
        rng.shuffle(drawn)
        return drawn

    def _draw_synthetic(self, rng: random.Random, count: int, label: str | None, before: int) -> list[Sample]:
        """Weighted draw without replacement by rejection: its cost does not grow with the pool."""
        samples = self._synthetic[label]
        end = self.accepted(label, before)
        drawn: dict[str, Sample] = {}
        for _ in range(20 * count if end else 0):
            if len(drawn) == count:
                break
            sample = samples[rng.randrange(end)]
            if rng.random() <= self._weight(sample) and self._may_be_shown(sample, before):
                drawn[sample.id] = sample
        return list(drawn.values())

    def _weight(self, sample: Sample) -> float:
        return float(sample.quality**self._cfg.quality_power * sample.novelty**self._cfg.novelty_power)

    def _may_be_shown(self, sample: Sample, before: int) -> bool:
        if sample.depth >= self._cfg.max_depth:
            return False
        return bisect_left(self._children[sample.id], before) < self._cfg.max_children
