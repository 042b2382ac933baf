"""Define declared checks, and the attributes with which each kind describes itself."""

from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, Protocol, runtime_checkable

from synthgen.records import Candidate, CheckSpec, Json, Reason, Verdict
from synthgen.tasks.paths import written
from synthgen.tasks.task import Task

Path = tuple[str | int, ...]
Stage = Literal["rules", "embedding", "sandbox", "judge"]
"""The place of a check in the chain: with the rules, after the checks that embed, before the label check, or last."""


@dataclass(frozen=True)
class Fault:
    """Describe one value of a sample that a declared check rejects."""

    reason: str
    """One of the kind's `reasons`."""
    path: Path
    """Keys and indices that lead to the value."""
    problem: str
    """A description of the problem with the value, without the path."""
    details: Json = field(default_factory=dict)
    """Details that the ledger stores in addition to the field."""
    score: float | None = None
    unscored: bool = False
    """True when the check could not decide."""


@dataclass(frozen=True)
class Scored:
    """Hold the score of a value that a declared check passes."""

    score: float


Found = Fault | Scored


class Declared(Protocol):
    """Check the fields that a task declares.

    The constructor takes the check's config and the task. It raises KeyProblem when they do not fit together.
    """

    kind: ClassVar[str]
    """The name of this kind in a task's `checks:` and in verdicts."""
    meaning: ClassVar[str]
    """One sentence that must be true of every sample."""
    reasons: ClassVar[dict[str, str]]
    """Map each reason code to its words, which complete the sentence "rejected because the sample ..."."""
    config: ClassVar[type[Any]]
    """A dataclass with one field per key of the declaration, and a line of docstring under each field.

    When a key is not a valid Python name, give it as `field(metadata={"key": "in"})`.
    """
    scores: ClassVar[str]
    """The meaning and range of the scores; empty for a kind without scores."""
    stage: ClassVar[Stage]

    def __init__(self, cfg: Any, task: Task) -> None: ...


class Examining(Declared, Protocol):
    """Check a sample without a model. In the stage `sandbox`, `faults` may take seconds."""

    def faults(self, data: Json) -> Iterator[Found]:
        """Yield the faults of a sample that is valid under the task's schema, and the scores of the values that pass."""


Embed = Callable[[Sequence[str]], Awaitable[Any]]
"""Return unit vectors of shape (texts, dimensions)."""
Ask = Callable[[str, str, Json], Awaitable[float | None]]
"""Return the probability that the judge answers a question about fields with yes; None when it gives no readable answer.

The arguments are the beginning of the request id, the question and the fields.
"""
Compare = Callable[[str, Json, Json], Awaitable[tuple[float, float] | None]]
"""Return the judge's probability that the first of two texts is better: shown first, and shown second.

Return None when an answer cannot be read. The arguments are the beginning of the request ids, and the fields to show of
each text.
"""


@dataclass(frozen=True)
class Tools:
    """Hold the models of a run that declared checks may ask."""

    embed: Embed
    ask: Ask | None
    """None where the run has no judge, or its config switches off questions."""
    unanswered: Callable[[str], str]
    """Return the reason why a question has no answer, by the beginning of its request id."""
    compare: Compare | None = None
    """None where `ask` is None."""


@runtime_checkable
class Consulting(Declared, Protocol):
    """Check a sample with a model of the run."""

    questions: int
    """Most yes-or-no questions for the judge about one sample."""

    async def consult(self, data: Json, place: str, tools: Tools) -> Iterable[Found]:
        """Return the faults and scores of a sample. Ids of requests to the judge begin with `place`."""
        ...


@runtime_checkable
class ConsultingGiven(Consulting, Protocol):
    """Check with a model of the run that a sample has the values that its slot asked for."""

    async def consult_given(self, data: Json, given: Json, place: str, tools: Tools) -> Iterable[Found]:
        """Return the same as `consult`. `given` holds the strategy's choices for the slot; see `Candidate.given`."""
        ...


def spec_of(kind: type[Declared]) -> CheckSpec:
    """Return the spec that a kind of declared checks has in the chain of checks."""
    reasons = tuple(Reason(code, words) for code, words in kind.reasons.items())
    return CheckSpec(kind.kind, kind.meaning, reasons, kind.scores)


class KeyProblem(Exception):  # noqa: N818  # becomes a ConfigError in `kinds`, which knows the place in the task
    """Report that a key of a declaration has an invalid value."""

    def __init__(self, key: str, problem: str) -> None:
        super().__init__(problem)
        self.key = key


Run = Callable[[Candidate], Awaitable[Iterable[Found]]]


class FieldCheck:
    """Run a declared check in the chain of checks. `run` returns its findings in a candidate."""

    def __init__(self, declared: Declared, says: str, run: Run) -> None:
        self.spec = spec_of(type(declared))
        self.name = self.spec.name
        self.stage = declared.stage
        self.says = says
        """The declaration as written in the task, for messages."""
        self.declared = declared
        self._run = run
        self._passed = Verdict(check=self.name)

    async def __call__(self, candidate: Candidate) -> Verdict:
        lowest: float | None = None
        for found in await self._run(candidate):
            if isinstance(found, Fault):
                details = {"field": written(found.path), **found.details}
                outcome: Literal["reject", "unscored"] = "unscored" if found.unscored else "reject"
                return Verdict(
                    check=self.name, outcome=outcome, reason=found.reason, score=found.score, details=details
                )
            lowest = found.score if lowest is None else min(lowest, found.score)
        return self._passed if lowest is None else Verdict(check=self.name, score=lowest)

    def problems(self, faults: Iterable[Found]) -> Iterator[tuple[Path, str]]:
        """Yield the problems of a row of a file: the path, and a message with cause and cure."""
        for fault in faults:
            if isinstance(fault, Fault):
                cure = f"change the row, or the check {self.says} in task.checks"
                yield fault.path, f"{written(fault.path) or 'sample'}: {fault.problem}; {cure}"


def quoted(value: str, limit: int = 60) -> str:
    """Return a value in quotes for a message. A long value is shortened."""
    return f'"{value}"' if len(value) <= limit else f'"{value[:limit]}..."'
