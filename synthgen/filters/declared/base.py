"""Define declared checks, and the attributes with which each kind describes itself."""

import difflib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol

from synthgen.records import Candidate, CheckSpec, Json, Reason, Verdict
from synthgen.tasks.paths import Place, places, written
from synthgen.tasks.task import Task


@dataclass(frozen=True)
class Fault:
    """Describe one value of a sample that a declared check rejects."""

    reason: str
    """One of the kind's `reasons`."""
    path: tuple[str | int, ...]
    """Keys and indices that lead to the value."""
    problem: str
    """A description of the problem with the value, without the path."""
    details: Json = field(default_factory=dict)
    """Details that the ledger stores in addition to the field."""


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

    def __init__(self, cfg: Any, task: Task) -> None: ...

    def faults(self, data: Json) -> Iterator[Fault]:
        """Yield the faults of a sample that is valid under the task's schema."""


def spec_of(kind: type[Declared]) -> CheckSpec:
    """Return the spec that a kind of declared checks has in the chain of checks."""
    return CheckSpec(kind.kind, kind.meaning, tuple(Reason(code, words) for code, words in kind.reasons.items()))


class KeyProblem(Exception):  # noqa: N818  # becomes a ConfigError in `kinds`, which knows the place in the task
    """Report that a key of a declaration has an invalid value."""

    def __init__(self, key: str, problem: str) -> None:
        super().__init__(problem)
        self.key = key


class FieldCheck:
    """Run a declared check in the chain of checks."""

    def __init__(self, declared: Declared, says: str) -> None:
        self.spec = spec_of(type(declared))
        self.name = self.spec.name
        self.says = says
        """The declaration as written in the task, for messages."""
        self._declared = declared
        self._passed = Verdict(check=self.name)

    async def __call__(self, candidate: Candidate) -> Verdict:
        for fault in self._declared.faults(candidate.data or {}):
            details = {"field": written(fault.path), **fault.details}
            return Verdict(check=self.name, outcome="reject", reason=fault.reason, details=details)
        return self._passed

    def problems(self, data: Json) -> Iterator[tuple[tuple[str | int, ...], str]]:
        """Yield the problems of a row of a file: the path, and a message with cause and cure."""
        for fault in self._declared.faults(data):
            cure = f"change the row, or the check {self.says} in task.checks"
            yield fault.path, f"{written(fault.path)}: {fault.problem}; {cure}"


def string_place(key: str, path: str, task: Task) -> Place:
    """Return the place in a task's schema that `path` names. Raise KeyProblem when there is none or it holds no strings."""
    known = places(task.schema)
    text = [name for name, place in known.items() if place.holds_strings]
    place = known.get(path)
    if place is None:
        near = difflib.get_close_matches(path, text, n=1)
        hint = f"; did you mean {near[0]}?" if near else f"; the text fields are {', '.join(text)}"
        raise KeyProblem(key, f"'{path}' is not a field of task.schema{hint}")
    if not place.holds_strings:
        inside = [name for name in text if name.startswith((f"{path}.", f"{path}["))]
        cure = f"; write {' or '.join(inside)}" if inside else f"; the text fields are {', '.join(text)}"
        raise KeyProblem(key, f"'{path}' is not text but of type {' or '.join(sorted(place.kinds))}{cure}")
    return place


def quoted(value: str, limit: int = 60) -> str:
    """Return a value in quotes for a message. A long value is shortened."""
    return f'"{value}"' if len(value) <= limit else f'"{value[:limit]}..."'
