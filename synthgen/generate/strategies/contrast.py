"""Rewrite samples into counterfactuals: as few changes as possible that give a sample another label.

Both samples of a pair stay in the dataset, so that a student learns which words make the difference (Kaushik et al. 2020).
"""

import random
from collections import Counter
from collections.abc import Sequence

from synthgen.errors import ConfigError
from synthgen.generate.planner import Group
from synthgen.generate.pool import Pool
from synthgen.generate.prompting import Prompting
from synthgen.generate.rewriting import SampleRewriter, spread
from synthgen.generate.strategy import Asking
from synthgen.records import PAIR, PlannedSlot, Sample


class Contrast:
    """Change a sample of another label so that it gets the label asked for."""

    name = "contrast"
    rewrites = True

    def __init__(self, prompting: Prompting) -> None:
        """Raise ConfigError for a task whose samples do not have one label each."""
        if len(prompting.task.labels) < 2:
            raise ConfigError(
                f"generate.strategies.contrast: changes the label of samples, and those of task {prompting.task.name} do not "
                "have one label each; leave it out, or use a classification task"
            )
        self._rewriting = SampleRewriter(prompting, self.name)
        self._prompts, self._task = prompting.prompts, prompting.task
        self.grammars = self._rewriting.grammars

    def plan(self, group: Group, rng: random.Random, pool: Pool) -> list[PlannedSlot]:
        others = [label for label in self._task.labels if label != group.label]
        parents: list[Sample] = []
        for label, count in Counter(rng.choices(others, k=group.size)).items():
            # Of a single sample, the pool would always draw a seed.
            drawn = pool.draw(rng, max(2, count), label, group.horizon)
            parents += spread(drawn, count)
        return self._rewriting.slots(group, spread(parents, group.size), lambda parent: {PAIR: parent.id})

    def ask(self, planned: PlannedSlot, shown: Sequence[Sample]) -> Asking:
        return self._rewriting.ask(planned, shown, lambda: self._wish(planned.label))

    def _wish(self, label: str | None) -> str:
        return self._prompts.render(self.name, "ask", task=self._task, label=label)
