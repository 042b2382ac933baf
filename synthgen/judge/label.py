"""Check that a text has the requested label, by asking a model that sees the text alone, with seeds as examples.

When a reply cannot be read, the question is asked again. Then the candidate is rejected as `unscored`.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

from synthgen.engines.grammar.schema import choice
from synthgen.engines.prompts import Prompts
from synthgen.errors import ConfigError
from synthgen.judge.asking import Questions
from synthgen.judge.reading import ambiguous_mass, calibrated
from synthgen.records import (
    ONLY_THOUGHT,
    TOO_LONG,
    UNSCORED,
    Candidate,
    CheckSpec,
    Grammar,
    Message,
    Reason,
    Sample,
    Verdict,
)
from synthgen.safety.fences import fence
from synthgen.tasks.task import Task

_PRIOR = "-1/label/prior"
_MAX_LABEL_TOKENS = 32
_MAX_AMBIGUOUS = 0.2

Sure = Callable[[Candidate], Awaitable[bool]]


@dataclass
class LabelConfig:
    enabled: bool = True
    """Ask the model for the label, given the text alone (classification tasks only)."""
    min_ratio: float = 1.0
    """Minimum ratio of the requested label's probability to that of the most likely label. 1 means that the requested
    label must be the most likely. Where labels are grades, a grade within one of the requested grade counts as the
    requested one. When labels are decided from several sources (labels.enabled), the label check is
    one of them and rejects nothing by itself."""
    sure: float = 0.8
    """Reject a sample that may have several labels when the model's probability that it is wrong about one of them, which
    it has or lacks, is at least this. Each label is judged alone."""
    shots: int = 2
    """Number of seeds of each label that the question shows."""
    max_shots: int = 32
    """Maximum number of seeds in the question. With many labels, fewer seeds of each are shown, or none, so that the
    prompt does not grow too long."""
    calibrate: bool = True
    """Divide the probabilities by those that the model gives for a text without content."""

    def __post_init__(self) -> None:
        if not 0 <= self.min_ratio <= 1:
            raise ConfigError(f"judge.label.min_ratio: must be from 0 to 1, got {self.min_ratio}")
        if not 0.5 < self.sure <= 1:
            raise ConfigError(f"judge.label.sure: must be above 0.5 and at most 1, got {self.sure}")
        for key in ("shots", "max_shots"):
            if getattr(self, key) < 0:
                raise ConfigError(f"judge.label.{key}: must be 0 or more, got {getattr(self, key)}")


class LabelPrompt:
    """Build the conversations of the label check: the task, seeds with their labels, and the text to label."""

    def __init__(self, task: Task, cfg: LabelConfig, prompts: Prompts, seeds: Sequence[Sample], salt: int) -> None:
        self._task = task
        self._cfg = cfg
        self._prompts = prompts
        self._salt = salt
        self.head = self._shots(seeds)
        """The messages with which every question of the check begins."""

    def messages(self, text: str) -> tuple[Message, ...]:
        return (*self.head, self._question(text))

    def _question(self, text: str) -> Message:
        mark = fence(text, self._salt)
        return Message(role="user", content=self._prompts.render("label", "ask", task=self._task, text=text, mark=mark))

    def _shots(self, seeds: Sequence[Sample]) -> tuple[Message, ...]:
        """Return the system prompt and up to `shots` seeds of each label.

        The labels take turns. Only whole turns are shown, with at most `max_shots` seeds in all.
        """
        messages = [Message(role="system", content=self._prompts.render("label", "system", task=self._task))]
        by_label = {label: [s for s in seeds if s.label == label] for label in self._task.labels}
        for turn in range(min(self._cfg.shots, self._cfg.max_shots // len(by_label))):
            for label, shown in by_label.items():
                if turn < len(shown):
                    question = self._question(self._task.input_text(shown[turn].data))
                    messages += [question, Message(role="assistant", content=label)]
        return tuple(messages)


class LabelCheck:
    """Check that the model, given the text alone, answers with the label for which the text was generated.

    If `binding`, reject the candidate when it does not. Where labels are grades, the answer may differ from the requested
    grade by one. Otherwise, reject nothing: the answer is one of several label
    sources.
    """

    spec = CheckSpec(
        "label",
        "The model, given the text alone, answers with the requested label.",
        (
            Reason("label", "another label is more likely than the requested one", "judge.label.min_ratio"),
            UNSCORED,
            TOO_LONG,
            ONLY_THOUGHT,
        ),
        "probability of the requested label, 0 to 1",
    )
    name = spec.name

    def __init__(
        self,
        task: Task,
        cfg: LabelConfig,
        questions: Questions,
        prompts: Prompts,
        seeds: Sequence[Sample],
        salt: int,
        binding: bool = True,
        sure: Sure | None = None,
    ) -> None:
        """Build the check.

        `sure` returns True if the label of a candidate is clear already, so that the model is not asked.
        """
        self._task = task
        self._binding = binding
        self._sure = sure
        self._cfg = cfg
        self._questions = questions
        self._options = tuple(task.labels)
        self._near = {label: _near(task, label) for label in self._options}
        self._grammar = choice(self._options)
        # In other scripts a token may be part of a character, so one token cannot identify a label.
        self._tokens = 1 if all(option.isascii() for option in self._options) else _MAX_LABEL_TOKENS
        self._prompt_for = partial(LabelPrompt, task, prompts=prompts, seeds=seeds, salt=salt)
        self._prompt = self._prompt_for(cfg)
        self._prior: asyncio.Task[_Answer] | None = None

    @property
    def grammar(self) -> Grammar:
        return self._grammar

    def refit(self, cfg: LabelConfig) -> None:
        """Ask with the number of shots in `cfg` from now on."""
        self._prompt, self._prior = self._prompt_for(cfg), None

    @property
    def head(self) -> tuple[Message, ...]:
        """Return the messages with which every question of the check begins."""
        return self._prompt.head

    async def __call__(self, candidate: Candidate) -> Verdict:
        if self._sure is not None and await self._sure(candidate):
            return Verdict(check=self.name)
        data, label = candidate.data or {}, candidate.label or ""
        prior = await self._prior_answer() if self._cfg.calibrate else None
        answer = await self._ask(f"{candidate.slot}.{candidate.item}/label", self._task.input_text(data))
        probabilities = answer.probabilities
        if probabilities is not None and prior is not None and not (answer.is_counted or prior.is_counted):
            probabilities = calibrated(probabilities, prior.probabilities) if prior.probabilities else None
        if probabilities is None:
            reason = self._questions.unanswered(candidate.slot, candidate.item)
            return Verdict(check=self.name, outcome="unscored", reason=reason)
        best = max(probabilities, key=lambda option: probabilities[option])
        details = {
            "probabilities": {option: round(share, 4) for option, share in probabilities.items()},
            "answer": best,
        }
        score = max(probabilities[option] for option in self._near[label])
        if self._binding and score < self._cfg.min_ratio * probabilities[best]:
            return Verdict(check=self.name, outcome="reject", reason="label", score=score, details=details)
        return Verdict(check=self.name, score=score, details=details)

    def begin(self) -> None:
        """Ask about the text without content. Call it early, so that the first candidates need not wait for the answer."""
        if self._cfg.calibrate:
            self._prior_task()

    def _prior_task(self) -> asyncio.Task["_Answer"]:
        if self._prior is None:
            self._prior = asyncio.create_task(self._ask(_PRIOR, "N/A"))
            self._prior.add_done_callback(lambda task: task.cancelled() or task.exception())
        return self._prior

    async def _prior_answer(self) -> "_Answer":
        """Return the answer to a text without content. The question is asked once."""
        asked = self._prior_task()
        prior = asked.result() if asked.done() else await asyncio.shield(asked)
        if prior.probabilities is None and not prior.is_counted and self._prior is asked:
            self._prior = None  # the next candidate asks again
        return prior

    async def _ask(self, request_id: str, text: str) -> "_Answer":
        messages, tokens = self._prompt.messages(text), self._tokens
        probabilities, completion = await self._questions.ask(
            request_id, messages, self._grammar, self._options, tokens
        )
        if completion is None and (shorter := self._prompt.messages(text)) != messages:
            messages = shorter
            probabilities, completion = await self._questions.ask(
                request_id, messages, self._grammar, self._options, tokens
            )
        if tokens == 1 and completion is not None and ambiguous_mass(completion, self._options) > _MAX_AMBIGUOUS:
            # One token cannot distinguish labels with the same beginning, so ask for the whole label. If this happens
            # for the text without content, all later questions ask for the whole label at once.
            if request_id == _PRIOR:
                self._tokens = _MAX_LABEL_TOKENS
            probabilities, _ = await self._questions.ask(
                f"{request_id}/whole", messages, self._grammar, self._options, _MAX_LABEL_TOKENS
            )
        is_counted = completion is not None and bool(completion.text.strip()) and not completion.logprobs
        return _Answer(probabilities, is_counted)


class _Answer(NamedTuple):
    """Hold the probabilities of the labels; None where the reply cannot be read."""

    probabilities: dict[str, float] | None
    is_counted: bool
    """True where the reply has no logprobs. Its probabilities are shares of a few answers, too coarse to calibrate."""


def _near(task: Task, label: str) -> list[str]:
    """Return the labels that count as the label asked for: the label itself or, for a grade, all grades within one."""
    if not task.grades:
        return [label]
    return [str(grade) for grade in task.grades if abs(grade - int(label)) <= 1]
