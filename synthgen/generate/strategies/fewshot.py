"""Prompt with demonstrations from the pool: seeds and accepted samples, other ones for each group."""

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
class FewShotConfig:
    demonstrations: int = 4
    """Number of demonstrations in each prompt. They have the label asked for, if the task has labels. Besides seeds
    they are accepted samples, up to the share that `pool.seed_floor` allows."""
    foils: int = 3
    """Number of seeds of other labels, each of a different label, shown before the demonstrations as a contrast. Only
    for classification with one item per request."""

    def __post_init__(self) -> None:
        check_shown("generate.fewshot", self.demonstrations, self.foils)


class FewShot:
    """Show seeds and accepted samples of the label asked for, after some seeds of other labels."""

    name = "fewshot"

    def __init__(self, cfg: FewShotConfig, prompting: Prompting) -> None:
        self.prompting = prompting
        self.grammars = (prompting.grammar,)
        self.demonstrations = cfg.demonstrations
        self.foils = prompting.foils(cfg.foils)
        """Number of seeds of other labels in a prompt."""

    def plan(self, group: Group, rng: random.Random, pool: Pool) -> list[PlannedSlot]:
        shown = pool.draw(rng, self.demonstrations, group.label, group.horizon)
        foils = pool.foils(rng, self.foils, group.label)
        return self.prompting.slots(group, self.name, [*foils, *shown])

    def ask(self, planned: PlannedSlot, shown: Sequence[Sample]) -> Asking:
        completion = yield self.prompting.request(planned, shown)
        return self.prompting.candidates(planned, completion, shown)
