"""List the kinds of declared checks, and build the checks under a task's `checks:`.

To add a kind, write its file in this folder and add its class to KINDS.
"""

import difflib
from collections.abc import Sequence
from dataclasses import MISSING, Field, fields
from typing import Any, get_type_hints

from synthgen.errors import ConfigError
from synthgen.filters.declared.base import Declared, FieldCheck, KeyProblem
from synthgen.filters.declared.language import Language
from synthgen.filters.declared.spans import Spans
from synthgen.tasks.task import Task

KINDS: tuple[type[Declared], ...] = (Spans, Language)

_EXAMPLE = '{kind: spans, field: "entities[].text", in: text}'


def declared_checks(task: Task) -> list[FieldCheck]:
    """Return the checks that a task declares, in its order. Raise ConfigError with key, cause and cure."""
    return [_build(entry, f"task.checks[{number}]", task) for number, entry in enumerate(task.checks)]


def key_of(field: "Field[Any]") -> str:
    """Return the key that a config's field has in a declaration."""
    return str(field.metadata.get("key", field.name))


def _build(entry: Any, where: str, task: Task) -> FieldCheck:
    if not isinstance(entry, dict):
        raise ConfigError(f"{where}: '{entry}' is not a check; write one as {_EXAMPLE}")
    kind = _kind(entry, where)
    keys = {key_of(field): field for field in fields(kind.config)}
    for key in entry:
        if key != "kind" and key not in keys:
            hint = _near(str(key), ["kind", *keys])
            raise ConfigError(f"{where}.{key}: a check of kind {kind.kind} has no such key{hint}")
    for key, field in keys.items():
        if key not in entry and field.default is MISSING and field.default_factory is MISSING:
            raise ConfigError(f"{where}: a check of kind {kind.kind} needs the key '{key}'; add it, as in {_EXAMPLE}")
    hints = get_type_hints(kind.config)
    for key, value in entry.items():
        if key != "kind" and not _fits(value, wanted := hints[keys[key].name]):
            raise ConfigError(f"{where}.{key}: must be of type {wanted.__name__}, got {value!r}")
    try:
        cfg = kind.config(**{keys[key].name: value for key, value in entry.items() if key != "kind"})
        return FieldCheck(kind(cfg, task), _says(entry))
    except KeyProblem as problem:
        raise ConfigError(f"{where}.{problem.key}: {problem}") from problem


def _kind(entry: dict[str, Any], where: str) -> type[Declared]:
    known = {kind.kind: kind for kind in KINDS}
    if "kind" not in entry:
        raise ConfigError(f"{where}: the key 'kind' is missing; add kind: {' or '.join(known)}, as in {_EXAMPLE}")
    if (found := known.get(entry["kind"])) is not None:
        return found
    raise ConfigError(f"{where}.kind: there is no check '{entry['kind']}'{_near(str(entry['kind']), list(known))}")


def _near(name: str, known: Sequence[str]) -> str:
    near = difflib.get_close_matches(name, known, n=1)
    return f"; did you mean {near[0]}?" if near else f"; choose from {', '.join(known)}"


def _fits(value: Any, wanted: type[Any]) -> bool:
    if wanted is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    return isinstance(value, wanted) and (wanted is bool or not isinstance(value, bool))


def _says(entry: dict[str, Any]) -> str:
    return "{" + ", ".join(f"{key}: {_as_yaml(value)}" for key, value in entry.items()) + "}"


def _as_yaml(value: Any) -> str:
    """Return a value as YAML writes it inside braces, where a bracket needs quotes."""
    return f'"{value}"' if isinstance(value, str) and "[" in value else str(value)
