"""Ask a model to grade a sample, with one question for each criterion of the task's rubric."""

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
"""Map each criterion to its grade, an expectation from 1 to 5. Criteria without a readable answer are missing."""


class Grader:
    """Build the questions of one judge, which answers with one token per criterion. `kind` is part of its request ids.

    When a rubric has a single criterion, the prompt has the criterion before the sample, so that the engine's prefix
    cache keeps it. When it has several, the sample comes first. Each question then continues `head`, the beginning of
    the label check's conversation, so that the engine processes the sample once.
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

    def refit(self, head: tuple[Message, ...]) -> None:
        """Continue another conversation of the label check from now on, if the questions continue one."""
        if self._block == "after_label":
            self._head = head

    def mark(self, sample: Json) -> str:
        """Return the fence that surrounds a sample in the prompt."""
        return fence(self._task.text(sample), self._salt)

    def question(self, sample: Json, mark: str, criterion: str) -> tuple[Message, ...]:
        """Return the prompt. For several criteria, the prompts differ in their last line only."""
        statement = self._task.rubric[criterion]
        sample = self._task.without_thinking(sample)
        content = self._prompts.render(
            self._template, self._block, task=self._task, sample=sample, mark=mark, criterion=statement,
            text=self._task.input_text(sample),
        )  # fmt: skip
        return *self._head, Message(role="user", content=content)

    def request_id(self, place: str, criterion: str) -> str:
        return f"{place}/{self._kind}/{criterion}"


class Panel:
    """Ask all judges of a run."""

    def __init__(self, graders: Sequence[Grader], criteria: Sequence[str], questions: Questions) -> None:
        self.names = [grader.name for grader in graders]
        self.grammar = choice(GRADES)
        self._graders = graders
        self._criteria = tuple(criteria)
        self._questions = questions

    async def ask(self, place: str, sample: Json) -> dict[str, Grades]:
        """Return each judge's grades for `sample`, by the judge's name. Request ids begin with `place`."""
        asked = list(product(self._graders, self._criteria))
        mark = self._graders[0].mark(sample)
        answers = await asyncio.gather(*(self._grade(grader, place, sample, mark, name) for grader, name in asked))
        opinion: dict[str, Grades] = {name: {} for name in self.names}
        for (grader, criterion), grade in zip(asked, answers, strict=True):
            if grade is not None:
                opinion[grader.name][criterion] = grade
        return opinion

    def refit(self, head: tuple[Message, ...]) -> None:
        """Let the questions that continue the label check's conversation continue `head` from now on."""
        for grader in self._graders:
            grader.refit(head)

    def unanswered(self, slot: int, item: int) -> str:
        """Return the reason why a candidate has no grade."""
        return self._questions.unanswered(slot, item)

    def means(self, opinion: Mapping[str, Grades]) -> dict[str, float | None]:
        """Return each judge's mean grade; None when one of its answers could not be read."""
        whole = len(self._criteria)
        return {name: sum(g.values()) / whole if len(g) == whole else None for name, g in opinion.items()}

    async def _grade(self, grader: Grader, place: str, sample: Json, mark: str, criterion: str) -> float | None:
        messages = grader.question(sample, mark, criterion)
        request_id = grader.request_id(place, criterion)
        probabilities, completion = await self._questions.ask(request_id, messages, self.grammar, GRADES, 1)
        if completion is None and (shorter := grader.question(sample, mark, criterion)) != messages:
            probabilities, _ = await self._questions.ask(request_id, shorter, self.grammar, GRADES, 1)
        return expectation(probabilities) if probabilities is not None else None
