"""Find the strings of a sample that must occur in its text, as the task's checks `spans` and `offsets` declare them."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from synthgen.records import Json
from synthgen.tasks.paths import ITEMS, Steps, parts, places, strings
from synthgen.tasks.task import Task


@dataclass(frozen=True)
class SpanField:
    """Describe strings that must occur in a text field, such as `entities[].text` in `text`."""

    steps: Steps
    text: str
    """Name of the text field."""
    kind: str | None
    """Key beside each string that holds its type, such as `type`; None where there is no such key with an enum."""
    keys: tuple[str, ...] = ()
    """The keys of the string and of its type, in the order of the schema."""

    def of(self, data: Json) -> Iterator[tuple[tuple[str | int, ...], str, str | None]]:
        """Yield the path, the string and the type of each string of a sample."""
        for path, value in strings(data, self.steps):
            owner: Any = data
            for key in path[:-1]:
                owner = owner[key]
            kind = owner.get(self.kind) if self.kind is not None and isinstance(owner, dict) else None
            yield path, value, kind if isinstance(kind, str) else None


def span_fields(task: Task) -> list[SpanField]:
    """Return the strings of a task that must occur in one of its own text fields, each place once."""
    known, found = places(task.schema), {}
    for entry in task.checks:
        if not isinstance(entry, dict) or entry.get("kind") not in ("spans", "offsets"):
            continue
        fields, inside = (
            [value] if isinstance(value := entry.get(key), str) else list(value or ()) for key in ("field", "in")
        )
        for path in fields:
            if len(inside) == 1 and path in known and inside[0] in task.schema["properties"]:
                steps = known[path].steps
                kind = _kind_key(task, steps)
                beside = [name for part in parts(task.schema, steps[:-1]) for name in part.get("properties") or {}]
                keys = tuple(name for name in beside if name in (steps[-1], kind))
                found[path] = SpanField(steps, inside[0], kind, keys)
    return list(found.values())


def _kind_key(task: Task, steps: Steps) -> str | None:
    """Return the only key with an enum in the object that holds a string."""
    if ITEMS not in steps:
        return None
    keys = {
        name
        for part in parts(task.schema, steps[:-1])
        for name, below in (part.get("properties") or {}).items()
        if isinstance(below, dict) and isinstance(below.get("enum"), list)
    }
    return keys.pop() if len(keys) == 1 else None
