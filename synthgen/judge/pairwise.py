"""Which of two samples is better: asked in both orders, because a judge may prefer a place rather than a sample."""

import asyncio
from dataclasses import dataclass
from typing import Literal

from synthgen.engines.grammar.schema import choice
from synthgen.engines.prompts import Prompts
from synthgen.judge.asking import Questions, fence
from synthgen.records import Json, Message, canonical
from synthgen.tasks.task import Task

PLACES = ("A", "B")


@dataclass(frozen=True)
class Preference:
    """Hold a judge's comparison of two samples: its probability, in each order, that the first is better."""

    forward: float
    """With the first sample in the first place."""
    backward: float
    """With the first sample in the second place."""

    @property
    def consistent(self) -> bool:
        """Return True when it prefers the same sample in both orders."""
        return (self.forward > 0.5) == (self.backward > 0.5) and 0.5 not in (self.forward, self.backward)

    @property
    def better(self) -> Literal["first", "second", "tie"]:
        """Return the sample that wins in both orders; otherwise they tie (Zheng et al. 2023)."""
        if not self.consistent:
            return "tie"
        return "first" if self.forward > 0.5 else "second"

    @property
    def probability(self) -> float:
        """Return the probability that the first is better, over both orders, which cancels position bias."""
        return (self.forward + self.backward) / 2


class Pairwise:
    """Compare two samples of a task with two questions of one token."""

    def __init__(
        self, task: Task, questions: Questions, prompts: Prompts, salt: int, template: str = "judge_pair"
    ) -> None:
        self.grammar = choice(PLACES)
        self._task = task
        self._questions = questions
        self._prompts = prompts
        self._template = template
        self._salt = salt
        self._system = Message(role="system", content=prompts.render(template, "system", task=task))

    async def compare(self, place: str, first: Json, second: Json) -> Preference | None:
        """Compare; None where an answer cannot be read. `place` begins the requests' ids."""
        forward, backward = await asyncio.gather(
            self._ask(f"{place}/pair/forward", first, second), self._ask(f"{place}/pair/backward", second, first)
        )
        return None if forward is None or backward is None else Preference(forward, 1 - backward)

    async def _ask(self, request_id: str, a: Json, b: Json) -> float | None:
        """Return the probability that the sample in the first place is better."""
        content = self._prompts.render(
            self._template, "ask", task=self._task, a=a, b=b, mark=fence(canonical([a, b]), self._salt)
        )
        messages = (self._system, Message(role="user", content=content))
        probabilities, _ = await self._questions.ask(request_id, messages, self.grammar, PLACES, 1)
        return None if probabilities is None else probabilities["A"]
