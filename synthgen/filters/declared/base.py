"""Defines declared checks, and what each kind of them states about itself."""

import difflib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol

from synthgen.records import Candidate, CheckSpec, Json, Reason, Verdict
from synthgen.tasks.paths import Place, places, written
from synthgen.tasks.task import Task


@dataclass(frozen=True)
class Fault:
    """Hold one value of a sample that a declared check rejects."""

    reason: str
    """One of the kind's `reasons`."""
    path: tuple[str | int, ...]
    """Keys and indices that lead to the value."""
    problem: str
    """Says what is wrong with the value, without its path."""
    details: Json = field(default_factory=dict)
    """Details that the ledger keeps beside the field."""


class Declared(Protocol):
    """Check what a task declares. Built from its config and the task; raises KeyProblem where they do not fit."""

    kind: ClassVar[str]
    """Its name in a task's `checks:` and in verdicts."""
    meaning: ClassVar[str]
    """One sentence on what must be true of a sample."""
    reasons: ClassVar[dict[str, str]]
    """Reason code of a rejection to its words, which stand behind "rejected because the sample ..."."""
    config: ClassVar[type[Any]]
    """A dataclass, one field a key of the declaration, with a line of docstring under each.

    A key that is no Python name is given as `field(metadata={"key": "in"})`.
    """

    def __init__(self, cfg: Any, task: Task) -> None: ...

    def faults(self, data: Json) -> Iterator[Fault]:
        """Yield what is wrong with a sample that is valid under the task's schema."""


def spec_of(kind: type[Declared]) -> CheckSpec:
    """Return the spec that a kind of declared checks has in the chain of checks."""
    return CheckSpec(kind.kind, kind.meaning, tuple(Reason(code, words) for code, words in kind.reasons.items()))


class KeyProblem(Exception):  # noqa: N818  # it says which key, and becomes a ConfigError where the file is known
    """Report a key of a declaration with an impossible value."""

    def __init__(self, key: str, problem: str) -> None:
        super().__init__(problem)
        self.key = key


class FieldCheck:
    """Run a declared check in the chain of checks."""

    def __init__(self, declared: Declared, says: str) -> None:
        self.spec = spec_of(type(declared))
        self.name = self.spec.name
        self.says = says
        """The declaration as the task has it, for a person."""
        self._declared = declared
        self._passed = Verdict(check=self.name)

    async def __call__(self, candidate: Candidate) -> Verdict:
        for fault in self._declared.faults(candidate.data or {}):
            details = {"field": written(fault.path), **fault.details}
            return Verdict(check=self.name, outcome="reject", reason=fault.reason, details=details)
        return self._passed

    def problems(self, data: Json) -> Iterator[tuple[tuple[str | int, ...], str]]:
        """Yield what is wrong with a row of a file: where, and cause and cure."""
        for fault in self._declared.faults(data):
            cure = f"change the row, or the check {self.says} in task.checks"
            yield fault.path, f"{written(fault.path)}: {fault.problem}; {cure}"


def string_place(key: str, path: str, task: Task) -> Place:
    """Return the place of a task's schema that `path` names. Raises KeyProblem where it is none, or holds no strings."""
    known = places(task.schema)
    text = [name for name, place in known.items() if place.holds_strings]
    place = known.get(path)
    if place is None:
        near = difflib.get_close_matches(path, text, n=1)
        hint = f"; did you mean {near[0]}?" if near else f"; fields of text are {', '.join(text)}"
        raise KeyProblem(key, f"'{path}' is no field of task.schema{hint}")
    if not place.holds_strings:
        inside = [name for name in text if name.startswith((f"{path}.", f"{path}["))]
        cure = f"; write {' or '.join(inside)}" if inside else f"; fields of text are {', '.join(text)}"
        raise KeyProblem(key, f"'{path}' holds no text but is of type {' or '.join(sorted(place.kinds))}{cure}")
    return place


def quoted(value: str, limit: int = 60) -> str:
    """Return a value for a message, its end left out where it is long."""
    return f'"{value}"' if len(value) <= limit else f'"{value[:limit]}..."'
