"""Ask a model to grade a sample, with one question for each criterion of the task's rubric."""

import asyncio
from collections.abc import Mapping, Sequence
from itertools import product

from synthgen.engines.grammar.schema import choice
from synthgen.engines.prompts import Prompts
from synthgen.judge.asking import Questions
from synthgen.judge.reading import expectation
from synthgen.records import Json, Message, canonical
from synthgen.safety.fences import fence
from synthgen.tasks.task import Task

PARENTS = "judge_parents"
TEMPLATES_WITH_PARENTS = (PARENTS, "judge_strict_parents")
"""The shipped templates that only runs with such a criterion use."""
GRADES = ("1", "2", "3", "4", "5")

Grades = dict[str, float]
"""Map each criterion to its grade, an expectation from 1 to 5. Criteria without a readable answer are missing."""


class Grader:
    """Build the questions of one judge, which answers with one token per criterion. `kind` is part of its request ids.

    When a rubric has a single criterion, the prompt has the criterion before the sample, so that the engine's prefix
    cache keeps it. When it has several, the sample comes first. Each question then continues `head`, the beginning of
    the label check's conversation, so that the engine processes the sample once.

    A criterion that compares the sample with those that it was made after has a template of its own, `TEMPLATE_parents`,
    in which these come before the sample: candidates of one prompt share them.
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
        self._comparing = comparing(template, prompts)
        own = own_criteria(task)
        if len(own) == 1 and prompts.has_block(template, "ask_one"):
            only = task.rubric[own[0]]
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

    def question(self, sample: Json, mark: str, criterion: str, parents: Sequence[Json] = ()) -> tuple[Message, ...]:
        """Return the prompt. For several criteria, the prompts differ in their last line only.

        `parents` are the samples that the sample was made after. Only a criterion that compares with them shows them.
        """
        statement = self._task.rubric[criterion]
        sample = self._task.without_thinking(sample)
        if criterion in self._task.compared:
            return self._comparison(sample, mark, statement, parents)
        content = self._prompts.render(
            self._template, self._block, task=self._task, sample=sample, mark=mark, criterion=statement,
            text=self._task.input_text(sample),
        )  # fmt: skip
        return *self._head, Message(role="user", content=content)

    def _comparison(self, sample: Json, mark: str, statement: str, parents: Sequence[Json]) -> tuple[Message, ...]:
        shown = [self._task.without_thinking(parent) for parent in parents]
        asked = self._prompts.render(
            self._comparing, "ask", task=self._task, criterion=statement, sample=sample, mark=mark, parents=shown,
            parents_mark=fence(canonical(shown), self._salt),
        )  # fmt: skip
        system = self._prompts.render(self._comparing, "system", task=self._task, criterion=statement)
        return Message(role="system", content=system), Message(role="user", content=asked)

    def request_id(self, place: str, criterion: str) -> str:
        return f"{place}/{self._kind}/{criterion}"


def own_criteria(task: Task) -> list[str]:
    """Return the criteria that a sample alone answers."""
    return [name for name in task.rubric if name not in task.compared]


def comparing(template: str, prompts: Prompts) -> str:
    """Return the template of a judge's questions that compare a sample with those it was made after."""
    own = f"{template}_parents"
    return own if prompts.has(own) else PARENTS


class Panel:
    """Ask all judges of a run."""

    def __init__(self, graders: Sequence[Grader], task: Task, questions: Questions) -> None:
        self.names = [grader.name for grader in graders]
        self.grammar = choice(GRADES)
        self._graders = graders
        self._criteria = tuple(task.rubric)
        self._own = tuple(own_criteria(task))
        self.compares = bool(task.compared)
        self._questions = questions

    def criteria(self, parents: Sequence[Json] = ()) -> tuple[str, ...]:
        """Return the criteria to ask about. A sample without parents, such as a seed, cannot be compared with any."""
        return self._criteria if parents else self._own

    async def ask(self, place: str, sample: Json, parents: Sequence[Json] = ()) -> dict[str, Grades]:
        """Return each judge's grades for `sample`, by the judge's name. Request ids begin with `place`."""
        asked = list(product(self._graders, self.criteria(parents)))
        mark = self._graders[0].mark(sample)
        grades = [self._grade(grader, place, sample, mark, name, parents) for grader, name in asked]
        answers = [await grades[0]] if len(grades) == 1 else await asyncio.gather(*grades)  # one needs no task
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

    def means(self, opinion: Mapping[str, Grades], parents: Sequence[Json] = ()) -> dict[str, float | None]:
        """Return each judge's mean grade; None when one of its answers could not be read."""
        whole = len(self.criteria(parents))
        return {name: sum(g.values()) / whole if len(g) == whole else None for name, g in opinion.items()}

    async def _grade(
        self, grader: Grader, place: str, sample: Json, mark: str, criterion: str, parents: Sequence[Json]
    ) -> float | None:
        messages = grader.question(sample, mark, criterion, parents)
        request_id = grader.request_id(place, criterion)
        probabilities, completion = await self._questions.ask(request_id, messages, self.grammar, GRADES, 1)
        if completion is None and (shorter := grader.question(sample, mark, criterion)) != messages:
            probabilities, _ = await self._questions.ask(request_id, shorter, self.grammar, GRADES, 1)
        return expectation(probabilities) if probabilities is not None else None
