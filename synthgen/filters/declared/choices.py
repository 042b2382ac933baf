"""Read a declaration that maps the values of a field to choices, and report entries that the schema does not have."""

import difflib
import json
from collections.abc import Iterable, Mapping
from typing import Any

from synthgen.filters.declared.base import KeyProblem
from synthgen.filters.declared.fields import HasSchema
from synthgen.tasks.paths import Steps, parts


def key_of_value(value: Any) -> str:
    """Return a value of a sample as the key that a declaration has for it: a string unchanged, other values as JSON."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def enum_of(steps: Steps, task: HasSchema) -> list[str]:
    """Return the values that the schema allows at a place, as keys; empty where it names none."""
    enums = [part["enum"] for part in parts(task.schema, steps) if isinstance(part.get("enum"), list)]
    return [key_of_value(value) for enum in enums for value in enum]


def refuse_unknown(key: str, found: Iterable[Any], steps: Steps, path: str, task: HasSchema) -> None:
    """Raise KeyProblem for a value that the enum at a place of the schema does not have. Without an enum, accept all."""
    known = enum_of(steps, task)
    for value in found if known else ():
        if (name := key_of_value(value)) not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"; did you mean '{near[0]}'?" if near else f"; it has: {', '.join(known)}"
            raise KeyProblem(key, f"'{name}' is not a value of {path} in task.schema{hint}")


def lists_in(key: str, values: Mapping[Any, Any], form: str) -> dict[str, list[Any]]:
    """Return a mapping from keys to lists. Raise KeyProblem when it is empty or maps a key to something else."""
    if not values:
        raise KeyProblem(key, f"is empty; write {form}")
    for name, entry in values.items():
        if not isinstance(entry, list):
            raise KeyProblem(key, f"'{name}' has {entry!r} and needs a list; write {form}")
    return {key_of_value(name): entry for name, entry in values.items()}
