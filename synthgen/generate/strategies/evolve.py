"""Rewrite samples into harder, rarer or differently worded ones, by one operation each.

Follows Evol-Instruct (Xu et al. 2023, WizardLM), whose elimination rules `synthgen.filters.rewritten` applies.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass, field

from synthgen.errors import ConfigError
from synthgen.generate.planner import Group
from synthgen.generate.pool import Pool
from synthgen.generate.prompting import Prompting
from synthgen.generate.rewriting import SampleRewriter
from synthgen.generate.strategy import Asking
from synthgen.records import PlannedSlot, Sample

OPERATION = "operation"
"""Key of `given` that holds the operation of a slot."""
END = "end"
_OF_ANY_TASK = ("rarer", "register")
_ALL = ("deeper", "broader", "constraints", *_OF_ANY_TASK)


@dataclass
class EvolveConfig:
    operations: list[str] = field(default_factory=list)
    """Changes, of which each slot makes one: `deeper`, `broader`, `constraints`, `rarer`, `register`, or blocks that your own
    `evolve.jinja` has besides. An empty list means all five for tasks of kind generation and dialogue, and `rarer` and
    `register` for others."""


class Evolve:
    """Rewrite a sample of the label asked for by an operation drawn for each slot."""

    name = "evolve"
    rewrites = True

    def __init__(self, cfg: EvolveConfig, prompting: Prompting) -> None:
        """Raise ConfigError for an operation that the prompts do not have."""
        self._rewriting = SampleRewriter(prompting, self.name)
        self.grammars = self._rewriting.grammars
        self._prompts, self._task = prompting.prompts, prompting.task
        open_ended = self._task.kind in ("generation", "dialogue") and not self._task.asked
        usual = _ALL if open_ended else _OF_ANY_TASK
        self._operations = tuple(dict.fromkeys(cfg.operations)) or usual
        for operation in self._operations:
            if operation == END or not self._prompts.has_block(self.name, operation):
                raise ConfigError(
                    f"generate.evolve.operations: '{operation}' is no operation; use {', '.join(_ALL)}, or "
                    f"write a block of this name into {self._task.prompts}/{self.name}.jinja"
                )

    def plan(self, group: Group, rng: random.Random, pool: Pool) -> list[PlannedSlot]:
        parents = self._rewriting.draw(group, rng, pool)
        return self._rewriting.slots(group, parents, lambda _: {OPERATION: rng.choice(self._operations)})

    def ask(self, planned: PlannedSlot, shown: Sequence[Sample]) -> Asking:
        return self._rewriting.ask(planned, shown, lambda: self._wish(planned))

    def _wish(self, planned: PlannedSlot) -> str:
        blocks = planned.given[OPERATION], END
        parts = [self._prompts.render(self.name, block, task=self._task, label=planned.label) for block in blocks]
        return "\n".join(parts)
