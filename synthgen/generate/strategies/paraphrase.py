"""Rewrite samples in other words with the same meaning."""

import random
from collections.abc import Sequence

from synthgen.generate.planner import Group
from synthgen.generate.pool import Pool
from synthgen.generate.prompting import Prompting
from synthgen.generate.rewriting import SampleRewriter
from synthgen.generate.strategy import Asking
from synthgen.records import PlannedSlot, Sample


class Paraphrase:
    """Rewrite a sample of the label asked for in other words. Targets that depend on the words are rewritten with them."""

    name = "paraphrase"
    rewrites = True

    def __init__(self, prompting: Prompting) -> None:
        self._rewriting = SampleRewriter(prompting, self.name)
        self._prompts, self._task = prompting.prompts, prompting.task
        self.grammars = self._rewriting.grammars

    def plan(self, group: Group, rng: random.Random, pool: Pool) -> list[PlannedSlot]:
        return self._rewriting.slots(group, self._rewriting.draw(group, rng, pool), lambda _: {})

    def ask(self, planned: PlannedSlot, shown: Sequence[Sample]) -> Asking:
        return self._rewriting.ask(planned, shown, lambda: self._wish(planned.label))

    def _wish(self, label: str | None) -> str:
        return self._prompts.render(self.name, "ask", task=self._task, label=label)
