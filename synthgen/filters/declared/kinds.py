"""List the kinds of declared checks, and build the checks under a task's `checks:`.

To add a kind, write its file in this folder and add its class to KINDS.
"""

import asyncio
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import MISSING, Field, fields
from typing import Any, cast, get_type_hints

from synthgen.errors import ConfigError
from synthgen.filters.declared.allowed import Allowed
from synthgen.filters.declared.attributes import AttributeValues
from synthgen.filters.declared.base import (
    Consulting,
    ConsultingGiven,
    Declared,
    Examining,
    FieldCheck,
    Found,
    KeyProblem,
    Path,
    Run,
    Stage,
    Tools,
)
from synthgen.filters.declared.code import Code
from synthgen.filters.declared.copied import Copied
from synthgen.filters.declared.distinct import Distinct
from synthgen.filters.declared.empty_when import EmptyWhen
from synthgen.filters.declared.equal_after import EqualAfter
from synthgen.filters.declared.evaluates import Evaluates
from synthgen.filters.declared.judge import JudgeQuestion
from synthgen.filters.declared.kept import Kept
from synthgen.filters.declared.language import Language
from synthgen.filters.declared.length_ratio import LengthRatio
from synthgen.filters.declared.member import Member
from synthgen.filters.declared.offsets import Offsets
from synthgen.filters.declared.pairs import TypePairs
from synthgen.filters.declared.pattern import Pattern
from synthgen.filters.declared.prefers import Prefers
from synthgen.filters.declared.schema_of import SchemaOf
from synthgen.filters.declared.spans import Spans
from synthgen.filters.declared.supported import Supported
from synthgen.filters.declared.turns import Turns
from synthgen.records import Candidate, Json
from synthgen.tasks.task import Task
from synthgen.tasks.typed import fits, nearest, type_name

KINDS: tuple[type[Declared], ...] = (
    Turns,
    Pattern,
    Distinct,
    EqualAfter,
    EmptyWhen,
    Allowed,
    Spans,
    Member,
    TypePairs,
    Offsets,
    LengthRatio,
    Kept,
    Copied,
    Evaluates,
    SchemaOf,
    Language,
    Supported,
    Code,
    JudgeQuestion,
    AttributeValues,
    Prefers,
)
"""All kinds, those of one stage from the cheapest on."""

_EXAMPLE = '{kind: spans, field: "entities[].text", in: text}'
_LONGEST = 60
"""Most characters of a mapping in a message."""
_SANDBOXES = max(1, (os.cpu_count() or 2) - 1)


class DeclaredChecks:
    """Hold the checks that a task declares, cheap kinds first. Raise ConfigError with key, cause and cure."""

    def __init__(self, task: Task) -> None:
        entries = [(entry, f"task.checks[{number}]") for number, entry in enumerate(task.checks)]
        built = [_built(entry, where, task) for entry, where in entries]
        kinds = {kind: place for place, kind in enumerate(KINDS)}
        self._all = sorted(built, key=lambda one: kinds[type(one[0])])
        self._sandboxes = asyncio.Semaphore(_SANDBOXES)

    @property
    def says(self) -> list[tuple[str, Stage]]:
        """Return each declaration as written in the task, with its stage."""
        return [(says, declared.stage) for declared, says in self._all]

    @property
    def questions(self) -> int:
        """Return the most yes-or-no questions for the judge about one candidate."""
        return sum(declared.questions for declared, _ in self._all if isinstance(declared, Consulting))

    @property
    def compares(self) -> bool:
        """Return True when the judge compares two texts of each candidate."""
        return any(isinstance(declared, Prefers) for declared, _ in self._all)

    @property
    def evaluates(self) -> Callable[[Json], bool] | None:
        """Return a function that is True for a sample whose expressions have the values that it gives.

        None for a task without the check `evaluates`.
        """
        found = [declared for declared, _ in self._all if isinstance(declared, Evaluates)]
        return (lambda data: not any(True for one in found for _ in one.faults(data))) if found else None

    def of(self, stage: Stage, tools: Tools | None = None) -> list[FieldCheck]:
        """Return the checks of a stage. The stages `embedding` and `judge` need `tools`."""
        return [
            FieldCheck(declared, says, self._run(declared, number, tools))
            for number, (declared, says) in enumerate(self._all)
            if declared.stage == stage
        ]

    def without_offsets(self, data: Json) -> Json:
        """Return a row of a file without offsets that an export has added, because the model must not write them."""
        for declared, _ in self._all:
            if isinstance(declared, Offsets):
                data = declared.removed(data)
        return data

    def problems(self, data: Json) -> Iterator[tuple[Path, str]]:
        """Yield the problems of a row that can be found without a model: the path, and a message with cause and cure."""
        for check in [*self.of("rules"), *self.of("sandbox")]:
            yield from check.problems(cast("Examining", check.declared).faults(data))

    def _run(self, declared: Declared, number: int, tools: Tools | None) -> Run:
        async def examine(candidate: Candidate) -> Iterable[Found]:
            return cast("Examining", declared).faults(candidate.data or {})

        async def in_thread(candidate: Candidate) -> Iterable[Found]:
            async with self._sandboxes:
                return await asyncio.to_thread(lambda: list(cast("Examining", declared).faults(candidate.data or {})))

        async def consult(candidate: Candidate) -> Iterable[Found]:
            assert tools is not None
            place = f"{candidate.slot}.{candidate.item}/question{number}"
            if isinstance(declared, ConsultingGiven):
                return await declared.consult_given(candidate.data or {}, candidate.given, place, tools)
            return await cast("Consulting", declared).consult(candidate.data or {}, place, tools)

        return {"rules": examine, "sandbox": in_thread, "embedding": consult, "judge": consult}[declared.stage]


def declared_checks(task: Task) -> list[FieldCheck]:
    """Return the checks that a task declares and that need no model. Raise ConfigError with key, cause and cure."""
    checks = DeclaredChecks(task)
    return [*checks.of("rules"), *checks.of("sandbox")]


def key_of(field: "Field[Any]") -> str:
    """Return the key that a config's field has in a declaration."""
    return str(field.metadata.get("key", field.name))


def _built(entry: Any, where: str, task: Task) -> tuple[Declared, str]:
    if not isinstance(entry, dict):
        raise ConfigError(f"{where}: '{entry}' is not a check; write one as {_EXAMPLE}")
    kind = _kind(entry, where)
    keys = {key_of(field): field for field in fields(kind.config)}
    for key in entry:
        if key != "kind" and key not in keys:
            hint = nearest(str(key), ["kind", *keys])
            raise ConfigError(f"{where}.{key}: a check of kind {kind.kind} has no such key{hint}")
    for key, field in keys.items():
        if key not in entry and field.default is MISSING and field.default_factory is MISSING:
            raise ConfigError(f"{where}: a check of kind {kind.kind} needs the key '{key}'; add it, as in {_EXAMPLE}")
    hints = get_type_hints(kind.config)
    for key, value in entry.items():
        if key != "kind" and not fits(value, wanted := hints[keys[key].name]):
            raise ConfigError(f"{where}.{key}: must be of type {type_name(wanted)}, got {value!r}")
    try:
        cfg = kind.config(**{keys[key].name: value for key, value in entry.items() if key != "kind"})
        return kind(cfg, task), _says(entry)
    except KeyProblem as problem:
        raise ConfigError(f"{where}.{problem.key}: {problem}") from problem


def _kind(entry: dict[str, Any], where: str) -> type[Declared]:
    known = {kind.kind: kind for kind in KINDS}
    if "kind" not in entry:
        raise ConfigError(f"{where}: the key 'kind' is missing; add kind: {' or '.join(known)}, as in {_EXAMPLE}")
    if (found := known.get(entry["kind"])) is not None:
        return found
    raise ConfigError(f"{where}.kind: there is no check '{entry['kind']}'{nearest(str(entry['kind']), known)}")


def _says(entry: dict[str, Any]) -> str:
    """Return a declaration in one line, as YAML writes it. A long mapping, such as a JSON Schema, is left out."""
    parts = {key: _as_yaml(value) for key, value in entry.items()}
    short = {
        key: "{...}" if isinstance(entry[key], dict) and len(part) > _LONGEST else part for key, part in parts.items()
    }
    return "{" + ", ".join(f"{key}: {part}" for key, part in short.items()) + "}"


def _as_yaml(value: Any) -> str:
    """Return a value as YAML writes it inside braces, where a bracket needs quotes."""
    if isinstance(value, list):
        return f"[{', '.join(map(_as_yaml, value))}]"
    if isinstance(value, dict):
        return _says(value)
    if isinstance(value, bool):
        return str(value).lower()
    return f'"{value}"' if isinstance(value, str) and set(value) & set("[]{},:#") else str(value)
