"""Prompt with seeds as the only demonstrations. Accepted samples are never shown."""

import random
from collections.abc import Sequence
from dataclasses import dataclass

from synthgen.generate.planner import Group
from synthgen.generate.pool import Pool
from synthgen.generate.prompting import Prompting
from synthgen.generate.settings import check_shown
from synthgen.generate.strategy import Asking
from synthgen.records import PlannedSlot, Sample


@dataclass
class SeedsOnlyConfig:
    demonstrations: int = 4
    """Number of seeds in each prompt, fewer if there are fewer. They have the label asked for, if the task has
    labels."""
    foils: int = 3
    """Number of seeds of other labels, each of a different label, shown before the demonstrations as a contrast. Only
    for classification with one item per request."""

    def __post_init__(self) -> None:
        check_shown("generate.seeds_only", self.demonstrations, self.foils)


class SeedsOnly:
    """Show seeds of the label asked for, after some seeds of other labels."""

    name = "seeds_only"

    def __init__(self, cfg: SeedsOnlyConfig, prompting: Prompting) -> None:
        self._prompting = prompting
        self.grammars = (prompting.grammar,)
        self._demonstrations = cfg.demonstrations
        self._foils = prompting.foils(cfg.foils)

    def plan(self, group: Group, rng: random.Random, pool: Pool) -> list[PlannedSlot]:
        seeds = pool.seeds(group.label)
        shown = rng.sample(seeds, min(self._demonstrations, len(seeds)))
        foils = pool.foils(rng, self._foils, group.label)
        return self._prompting.slots(group, self.name, [*foils, *shown])

    def ask(self, planned: PlannedSlot, shown: Sequence[Sample]) -> Asking:
        completion = yield self._prompting.request(planned, shown)
        return self._prompting.candidates(planned, completion, shown)
