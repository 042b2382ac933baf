"""One judge: a prompt put to a model, which answers with a grade for each criterion of the task's rubric."""

import asyncio
from collections.abc import Mapping, Sequence
from itertools import product

from synthgen.engines.grammar.schema import choice
from synthgen.engines.prompts import Prompts
from synthgen.judge.asking import Questions, fence
from synthgen.judge.reading import expectation
from synthgen.records import Json, Message
from synthgen.tasks.task import Task

GRADES = ("1", "2", "3", "4", "5")

Grades = dict[str, float]
"""Criterion to grade, an expectation from 1 to 5; criteria whose answer could not be read are not in it."""


class Grader:
    """Ask for one token per criterion. `kind` goes into the ids of its requests.

    A rubric's only criterion stands ahead of every sample, where an engine reads it once. Several come behind the sample,
    with `head`, which is what the label check's questions begin with, in that conversation: then the sample is read once.
    """

    def __init__(
        self,
        name: str,
        kind: str,
        template: str,
        task: Task,
        prompts: Prompts,
        salt: int,
        head: tuple[Message, ...] = (),
    ) -> None:
        self.name = name
        self._kind = kind
        self._template = template
        self._task = task
        self._prompts = prompts
        self._salt = salt
        self._block, self._head = "after_label", head
        if len(task.rubric) == 1 and prompts.has_block(template, "ask_one"):
            (only,) = task.rubric.values()
            system = prompts.render(template, "system_one", task=task, criterion=only)
            self._block, self._head = "ask_one", (Message(role="system", content=system),)
        elif not head:
            system = prompts.render(template, "system", task=task)
            self._block, self._head = "ask", (Message(role="system", content=system),)

    def mark(self, sample: Json) -> str:
        """Return the fence on either side of a sample in the prompt."""
        return fence(self._task.text(sample), self._salt)

    def question(self, sample: Json, mark: str, criterion: str) -> tuple[Message, ...]:
        """Return the prompt; for several criteria, all but its last line is the same."""
        statement = self._task.rubric[criterion]
        content = self._prompts.render(
            self._template, self._block, task=self._task, sample=sample, mark=mark, criterion=statement,
            text=self._task.input_text(sample),
        )  # fmt: skip
        return *self._head, Message(role="user", content=content)

    def request_id(self, place: str, criterion: str) -> str:
        return f"{place}/{self._kind}/{criterion}"


class Panel:
    """Ask every judge of a run together."""

    def __init__(self, graders: Sequence[Grader], criteria: Sequence[str], questions: Questions) -> None:
        self.names = [grader.name for grader in graders]
        self.grammar = choice(GRADES)
        self._graders = graders
        self._criteria = tuple(criteria)
        self._questions = questions

    async def ask(self, place: str, sample: Json) -> dict[str, Grades]:
        """Return each judge's grades for `sample`, by the judge's name; `place` begins the ids of the requests."""
        asked = list(product(self._graders, self._criteria))
        mark = self._graders[0].mark(sample)
        answers = await asyncio.gather(*(self._grade(grader, place, sample, mark, name) for grader, name in asked))
        opinion: dict[str, Grades] = {name: {} for name in self.names}
        for (grader, criterion), grade in zip(asked, answers, strict=True):
            if grade is not None:
                opinion[grader.name][criterion] = grade
        return opinion

    def unanswered(self, slot: int, item: int) -> str:
        """Return the reason why a candidate has no grade."""
        return self._questions.unanswered(slot, item)

    def means(self, opinion: Mapping[str, Grades]) -> dict[str, float | None]:
        """Return each judge's mean grade; None where one of its answers could not be read."""
        whole = len(self._criteria)
        return {name: sum(g.values()) / whole if len(g) == whole else None for name, g in opinion.items()}

    async def _grade(self, grader: Grader, place: str, sample: Json, mark: str, criterion: str) -> float | None:
        messages = grader.question(sample, mark, criterion)
        request_id = grader.request_id(place, criterion)
        probabilities, _ = await self._questions.ask(request_id, messages, self.grammar, GRADES, 1)
        return expectation(probabilities) if probabilities is not None else None
