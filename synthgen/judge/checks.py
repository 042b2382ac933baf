"""The judge's two checks: is the label what the text says, and is the text any good.

A reply that cannot be read is `unscored`: asked again, then rejected with that reason.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

from synthgen.errors import ConfigError, FatalRequestError, RetryableError
from synthgen.judge.reading import ambiguous_mass, calibrated, expectation, option_probabilities
from synthgen.llm.grammar import choice
from synthgen.llm.prompts import Prompts
from synthgen.records import (
    Candidate,
    Completion,
    Engine,
    Grammar,
    Message,
    Request,
    Sample,
    Sampling,
    Verdict,
    content_id,
)
from synthgen.task import Task

GRADES = ("1", "2", "3", "4", "5")
_MAX_LABEL_TOKENS = 32
_MAX_AMBIGUOUS = 0.2


@dataclass
class LabelConfig:
    enabled: bool = True
    """Ask the model for the label of the text alone (classification tasks only)."""
    min_ratio: float = 1.0
    """Least ratio of the intended label's probability to the likeliest one's; 1 means it must win."""
    shots: int = 2
    """Seeds of each label shown with the question."""
    calibrate: bool = True
    """Divide by the model's answer to a text without content."""


@dataclass
class RubricConfig:
    enabled: bool = True
    """Grade each of the task's rubric criteria from 1 to 5."""
    threshold: float = 1.5
    """Least mean grade (an expectation, so any number from 1 to 5)."""


@dataclass
class JudgeConfig:
    label: LabelConfig = field(default_factory=LabelConfig)
    """The label check."""
    rubric: RubricConfig = field(default_factory=RubricConfig)
    """The rubric judge."""
    attempts: int = 2
    """How often a question is asked until its answer can be read."""

    def __post_init__(self) -> None:
        if not 0 <= self.label.min_ratio <= 1:
            raise ConfigError(f"judge.label.min_ratio: must be from 0 to 1, got {self.label.min_ratio}")
        if self.label.shots < 0:
            raise ConfigError(f"judge.label.shots: must be 0 or more, got {self.label.shots}")
        if not 1 <= self.rubric.threshold <= 5:
            raise ConfigError(f"judge.rubric.threshold: must be from 1 to 5, got {self.rubric.threshold}")
        if self.attempts < 1:
            raise ConfigError(f"judge.attempts: must be 1 or more, got {self.attempts}")


class Questions:
    """Asks an engine constrained questions about texts that nobody vouches for."""

    def __init__(self, engine: Engine, attempts: int) -> None:
        self._engine = engine
        self._attempts = attempts

    async def ask(
        self, request_id: str, messages: tuple[Message, ...], grammar: Grammar, options: Sequence[str], tokens: int
    ) -> tuple[dict[str, float] | None, Completion | None]:
        """The distribution over `options` and the completion it was read from; (None, last) if unreadable."""
        sampling = Sampling(temperature=0.0, max_tokens=tokens, logprobs=min(20, max(5, len(options))))
        completion: Completion | None = None
        for attempt in range(self._attempts):
            name = request_id if attempt == 0 else f"{request_id}/again{attempt}"
            try:
                completion = await self._engine.complete(
                    Request(id=name, messages=messages, grammar=grammar, sampling=sampling)
                )
            except (FatalRequestError, RetryableError):  # refused, or given up on after all attempts
                return None, None
            if (probabilities := option_probabilities(completion, options)) is not None:
                return probabilities, completion
        return None, completion


def fence(text: str, salt: int) -> str:
    """A mark that the text's writer cannot have guessed, to put around it."""
    return content_id([salt, text])[:8]


class LabelCheck:
    """Does the model, shown the text alone, give the label that it was generated for?"""

    name = "label"

    def __init__(
        self, task: Task, cfg: LabelConfig, questions: Questions, prompts: Prompts, seeds: Sequence[Sample], salt: int
    ) -> None:
        self._task = task
        self._cfg = cfg
        self._questions = questions
        self._prompts = prompts
        self._salt = salt
        self._options = tuple(task.labels)
        self._grammar = choice(self._options)
        # In other scripts a token may be a part of a character, and says nothing on its own.
        self._tokens = 1 if all(option.isascii() for option in self._options) else _MAX_LABEL_TOKENS
        self._head = self._shots(seeds)
        self._prior: asyncio.Task[dict[str, float] | None] | None = None

    @property
    def grammar(self) -> Grammar:
        return self._grammar

    async def __call__(self, candidate: Candidate) -> Verdict:
        data, label = candidate.data or {}, candidate.label or ""
        probabilities = await self._ask(f"{candidate.slot}.{candidate.item}/label", self._task.input_text(data))
        if probabilities is not None and self._cfg.calibrate:
            prior = await self._prior_answer()
            probabilities = calibrated(probabilities, prior) if prior else None
        if probabilities is None:
            return Verdict(check=self.name, outcome="unscored", reason="unscored")
        best = max(probabilities, key=lambda option: probabilities[option])
        details = {
            "probabilities": {option: round(share, 4) for option, share in probabilities.items()},
            "answer": best,
        }
        score = probabilities[label]
        if score < self._cfg.min_ratio * probabilities[best]:
            return Verdict(check=self.name, outcome="reject", reason="label", score=score, details=details)
        return Verdict(check=self.name, score=score, details=details)

    async def _prior_answer(self) -> dict[str, float] | None:
        """The answer to a text without content, asked once."""
        if self._prior is None:
            self._prior = asyncio.create_task(self._ask("-1/label/prior", "N/A"))
            self._prior.add_done_callback(lambda task: task.cancelled() or task.exception())
        asked = self._prior
        if (prior := await asyncio.shield(asked)) is None and self._prior is asked:
            self._prior = None  # not for good: the next candidate asks again
        return prior

    async def _ask(self, request_id: str, text: str) -> dict[str, float] | None:
        messages = (*self._head, self._question(text))
        probabilities, completion = await self._questions.ask(
            request_id, messages, self._grammar, self._options, self._tokens
        )
        if completion is not None and ambiguous_mass(completion, self._options) > _MAX_AMBIGUOUS:
            # Labels that begin alike are not told apart by one token: the whole label is asked for.
            probabilities, _ = await self._questions.ask(
                f"{request_id}/whole", messages, self._grammar, self._options, _MAX_LABEL_TOKENS
            )
        return probabilities

    def _question(self, text: str) -> Message:
        mark = fence(text, self._salt)
        return Message(role="user", content=self._prompts.render("label", "ask", task=self._task, text=text, mark=mark))

    def _shots(self, seeds: Sequence[Sample]) -> tuple[Message, ...]:
        """System prompt and `shots` seeds of each label, label by label in turns."""
        messages = [Message(role="system", content=self._prompts.render("label", "system", task=self._task))]
        by_label = {label: [s for s in seeds if s.label == label] for label in self._options}
        for turn in range(self._cfg.shots):
            for label, shown in by_label.items():
                if turn < len(shown):
                    question = self._question(self._task.input_text(shown[turn].data))
                    messages += [question, Message(role="assistant", content=label)]
        return tuple(messages)


class RubricCheck:
    """Grades each criterion of the task's rubric with one token; the score is the mean expectation."""

    name = "rubric"

    def __init__(self, task: Task, cfg: RubricConfig, questions: Questions, prompts: Prompts, salt: int) -> None:
        self._task = task
        self._cfg = cfg
        self._questions = questions
        self._prompts = prompts
        self._salt = salt
        self.grammar = choice(GRADES)
        self._system = Message(role="system", content=prompts.render("judge", "system", task=task))

    async def __call__(self, candidate: Candidate) -> Verdict:
        names = list(self._task.rubric)
        answers = await asyncio.gather(*(self._grade(candidate, name) for name in names))
        grades = {name: grade for name, grade in zip(names, answers, strict=True) if grade is not None}
        if len(grades) < len(names):
            return Verdict(check=self.name, outcome="unscored", reason="unscored", details=grades)
        score = sum(grades.values()) / len(grades)
        details = {name: round(grade, 3) for name, grade in grades.items()}
        if score < self._cfg.threshold:
            return Verdict(check=self.name, outcome="reject", reason="rubric", score=score, details=details)
        return Verdict(check=self.name, score=score, details=details)

    async def _grade(self, candidate: Candidate, criterion: str) -> float | None:
        sample = candidate.data or {}
        mark = fence(self._task.text(sample), self._salt)
        content = self._prompts.render(
            "judge", "ask", task=self._task, sample=sample, mark=mark, criterion=self._task.rubric[criterion]
        )
        messages = (self._system, Message(role="user", content=content))
        request_id = f"{candidate.slot}.{candidate.item}/rubric/{criterion}"
        probabilities, _ = await self._questions.ask(request_id, messages, self.grammar, GRADES, 1)
        return expectation(probabilities) if probabilities is not None else None
