"""Ask a judge which of two samples is better, in both orders, because a judge may prefer a position over a sample."""

import asyncio
from dataclasses import dataclass, replace
from typing import Literal

from synthgen.engines.grammar.schema import choice
from synthgen.engines.prompts import Prompts
from synthgen.judge.asking import Questions
from synthgen.judge.grader import own_criteria
from synthgen.judge.reading import named, option_probabilities
from synthgen.records import Completion, Json, Message, canonical
from synthgen.safety.fences import fence
from synthgen.tasks.task import Task

PLACES = ("A", "B")
TEMPLATE = "judge_pair"


@dataclass(frozen=True)
class Preference:
    """Hold a judge's probability, in each order, that the first of two samples is better."""

    forward: float
    """The probability when the first sample is in the first position."""
    backward: float
    """The probability when the first sample is in the second position."""

    @property
    def consistent(self) -> bool:
        """Return True when the judge prefers the same sample in both orders."""
        return (self.forward > 0.5) == (self.backward > 0.5) and 0.5 not in (self.forward, self.backward)

    @property
    def better(self) -> Literal["first", "second", "tie"]:
        """Return the sample that wins in both orders, or "tie" if none does (Zheng et al. 2023)."""
        if not self.consistent:
            return "tie"
        return "first" if self.forward > 0.5 else "second"

    @property
    def probability(self) -> float:
        """Return the probability that the first is better, averaged over both orders to cancel position bias."""
        return (self.forward + self.backward) / 2


class PairPrompt:
    """Render the question about two samples of a task, and read its answer of one token.

    Criteria that compare a sample with those it was made after are left out.
    """

    grammar = choice(PLACES)

    def __init__(self, task: Task, prompts: Prompts, salt: int, template: str = TEMPLATE) -> None:
        task = replace(task, rubric={name: task.rubric[name] for name in own_criteria(task)})
        self._task = task
        self._prompts = prompts
        self._template = template
        self._salt = salt
        self._system = Message(role="system", content=prompts.render(template, "system", task=task))

    def messages(self, first: Json, second: Json) -> tuple[Message, ...]:
        """Return the question, with `first` in the first position."""
        content = ask_text(self._prompts, self._task, first, second, self._salt, self._template)
        return (self._system, Message(role="user", content=content))

    def first_wins(self, completion: Completion) -> float | None:
        """Return the probability that the sample in the first position is better; None where it cannot be read.

        An answer without probabilities counts as certain.
        """
        if (probabilities := option_probabilities(completion, PLACES)) is not None:
            return probabilities[PLACES[0]]
        vote = named(completion.text, PLACES)
        return None if vote is None else float(vote == PLACES[0])


class Pairwise:
    """Compare two samples of a task with two questions, each answered by one token."""

    grammar = PairPrompt.grammar

    def __init__(self, task: Task, questions: Questions, prompts: Prompts, salt: int, template: str = TEMPLATE) -> None:
        self._prompt = PairPrompt(task, prompts, salt, template)
        self._questions = questions

    async def compare(self, place: str, first: Json, second: Json) -> Preference | None:
        """Return the judge's preference; None when an answer cannot be read. Request ids begin with `place`."""
        forward, backward = await asyncio.gather(
            self._ask(f"{place}/pair/forward", first, second), self._ask(f"{place}/pair/backward", second, first)
        )
        return None if forward is None or backward is None else Preference(forward, 1 - backward)

    async def probabilities(self, place: str, first: Json, second: Json) -> tuple[float, float] | None:
        """Return the probability, in each order, that the first is better; None when an answer cannot be read."""
        found = await self.compare(place, first, second)
        return None if found is None else (found.forward, found.backward)

    async def _ask(self, request_id: str, a: Json, b: Json) -> float | None:
        """Return the probability that the sample in the first position is better."""
        messages = self._prompt.messages(a, b)
        probabilities, _ = await self._questions.ask(request_id, messages, self.grammar, PLACES, 1)
        return None if probabilities is None else probabilities["A"]


def ask_text(prompts: Prompts, task: Task, a: Json, b: Json, salt: int, template: str = TEMPLATE) -> str:
    """Return the last message of a comparison."""
    return prompts.render(template, "ask", task=task, a=a, b=b, mark=fence(canonical([a, b]), salt))
