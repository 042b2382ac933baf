"""Write a question, then several solutions of it, and keep an answer on which most of them agree.

Self-consistency follows Wang et al. 2022 (arXiv 2203.11171).
"""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

from synthgen.errors import ConfigError
from synthgen.generate.faults import NO_AGREEMENT, SHARE
from synthgen.generate.planner import Group
from synthgen.generate.pool import Pool
from synthgen.generate.prompting import Prompting, compact
from synthgen.generate.settings import check_shown
from synthgen.generate.steps import barred, refuse_labels, refuse_missing, taken, turns, usable
from synthgen.generate.strategy import Asking, Requests
from synthgen.records import FAULT, Completion, Json, Message, PlannedSlot, Sample
from synthgen.tasks.normal import comparable
from synthgen.tasks.task import as_text


@dataclass
class ReasonConfig:
    demonstrations: int = 3
    """Number of samples shown in the prompts of the question and of its solutions."""
    question: list[str] = field(default_factory=list)
    """Fields of the question; the task's input fields if empty. All other fields are the solution."""
    answer: str | None = None
    """Field in which the solutions must agree; null for the last target field."""
    solutions: int = 5
    """Number of solutions of each question."""
    agreement: float = 0.5
    """Least share of the solutions that must give the kept answer. If the task declares the check `evaluates`, solutions
    that fail it do not count among those that give it. 0 requires no share, so that one right solution is enough."""

    def __post_init__(self) -> None:
        check_shown("generate.reason", self.demonstrations, 0)
        if self.solutions < 2:
            raise ConfigError(f"generate.reason.solutions: must be 2 or more, got {self.solutions}")
        if not 0 <= self.agreement <= 1:
            raise ConfigError(f"generate.reason.agreement: must be from 0 to 1, got {self.agreement}")


class ReasonStrategy:
    """Ask for a question, then for several solutions at once."""

    name = "reason"

    def __init__(
        self, cfg: ReasonConfig, prompting: Prompting, evaluates: Callable[[Json], bool] | None = None
    ) -> None:
        """Prepare the two kinds of requests. `evaluates` returns True for a sample whose own calculation is right."""
        task = prompting.task
        refuse_labels(self.name, task)
        refuse_missing("generate.reason.question", cfg.question, task)
        self._asked = tuple(cfg.question or (name for name in task.input if name in task.free_fields))
        self._solved = tuple(name for name in task.free_fields if name not in self._asked)
        self._answer = cfg.answer or task.target[-1]
        if self._answer not in self._solved:
            raise ConfigError(
                f"generate.reason.answer: '{self._answer}' is not a field of the solution; these are "
                f"{', '.join(self._solved) or 'none'}"
            )
        self._cfg = cfg
        self._prompting = prompting
        self._evaluates = evaluates
        self._question = prompting.part(prompting.schema_of(self._asked))
        self._solution = prompting.part(prompting.schema_of(self._solved))
        self.grammars = (self._question.grammar, self._solution.grammar)
        self.requests = Requests(1 + cfg.solutions, 1 + cfg.solutions)

    def plan(self, group: Group, rng: random.Random, pool: Pool) -> list[PlannedSlot]:
        shown = pool.draw(rng, self._cfg.demonstrations, group.label, group.horizon)
        return self._prompting.slots(group, self.name, shown)

    def ask(self, planned: PlannedSlot, shown: Sequence[Sample]) -> Asking:
        prompting = self._prompting
        reply: Completion = yield self._question.request(
            planned, "question", self._question_prompt(shown), barred(prompting, prompting.task, shown)
        )
        question = usable(self._question, reply)
        if question is None:
            return [prompting.candidate(planned, shown, None, reply, template=self.name)]
        prompt = self._solution_prompt(question, shown)
        replies: tuple[Completion, ...] = yield tuple(
            self._solution.request(planned, f"solution{number}", prompt) for number in range(self._cfg.solutions)
        )
        solutions = [found for each in replies if (found := usable(self._solution, each)) is not None]
        if not solutions:
            return [prompting.candidate(planned, shown, None, replies[0], template=self.name)]
        samples = [self._whole(question, solution) for solution in solutions]
        right = samples if self._evaluates is None else list(filter(self._evaluates, samples))
        chosen, votes = majority(right or samples, self._answer)
        share = votes / self._cfg.solutions if right else 0.0
        given: Json = {SHARE: share, "solutions": self._cfg.solutions}
        if right and share < self._cfg.agreement:  # if none is right, the check `evaluates` names the reason
            given[FAULT] = NO_AGREEMENT.code
        return [prompting.candidate(planned, shown, chosen, given=given, template=self.name, quality=share)]

    def _whole(self, question: Json, solution: Json) -> Json:
        both = {**question, **solution}
        return taken(both, self._prompting.task.free_fields)

    def _question_prompt(self, shown: Sequence[Sample]) -> list[Message]:
        ask = self._render("ask")
        return [
            Message(role="system", content=self._render("system")),
            *turns(*((ask, compact(taken(sample.data, self._asked))) for sample in shown)),
            Message(role="user", content=ask),
        ]

    def _solution_prompt(self, question: Json, shown: Sequence[Sample]) -> list[Message]:
        solved = (
            (self._solve(taken(sample.data, self._asked)), compact(taken(sample.data, self._solved)))
            for sample in shown
        )
        return [
            Message(role="system", content=self._render("solve_system")),
            *turns(*solved),
            Message(role="user", content=self._solve(question)),
        ]

    def _solve(self, question: Json) -> str:
        return self._render("solve", question=question)

    def _render(self, block: str, **variables: object) -> str:
        return self._prompting.prompts.render(self.name, block, task=self._prompting.task, **variables)


def majority(samples: Sequence[Json], answer: str) -> tuple[Json, int]:
    """Return the shortest sample with the most frequent answer, and the number of samples with this answer.

    Of several equally frequent answers the one that came first wins.
    """
    votes: dict[object, list[Json]] = {}
    for sample in samples:
        votes.setdefault(same_form(sample.get(answer)), []).append(sample)
    most = max(votes.values(), key=len)
    return min(most, key=lambda sample: len(compact(sample))), len(most)


def same_form(answer: Any) -> object:
    """Return a value that is equal for equal answers: an exact number, or a text without case and punctuation."""
    text = as_text(answer)
    try:
        return Fraction(text.replace(",", "").strip(" \t\n$€£¥%."))
    except (ValueError, ZeroDivisionError):
        return comparable(text)
