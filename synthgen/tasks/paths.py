"""Resolve paths to strings inside a sample, such as `text` or `entities[].text`, in a schema and in a row.

`[]` after a name stands for every item of a list.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

from synthgen.records import Json
from synthgen.tasks.schemas import types

ITEMS = None
"""The step from a list to each of its items; every other step is the name of a property."""
_DEEPEST = 12
"""Most steps into a schema, because a schema may refer to itself."""

Steps = tuple[str | None, ...]


class Place(NamedTuple):
    """Hold one place of a schema: the steps that lead to it, and the JSON types that it allows (empty for all)."""

    steps: Steps
    kinds: frozenset[str]

    @property
    def holds_strings(self) -> bool:
        return not self.kinds or "string" in self.kinds


def places(schema: Json) -> dict[str, Place]:
    """Return every place below a schema by its path, in schema order."""
    found: dict[str, Place] = {}
    for steps, kinds in _walk(schema, schema, ()):
        path = written(steps)
        earlier = found.get(path, Place(steps, kinds))
        found[path] = Place(steps, earlier.kinds | kinds)
    found.pop("", None)
    return found


def parts(schema: Json, steps: Steps) -> list[Json]:
    """Return the schemas that may apply to the value that the steps lead to."""
    found = list(_alternatives(schema, schema))
    for step in steps:
        below = [part.get("items") if step is ITEMS else (part.get("properties") or {}).get(step) for part in found]
        found = [one for part in below if isinstance(part, dict) for one in _alternatives(part, schema)]
    return found


def values(data: Any, steps: Steps) -> Iterator[tuple[tuple[str | int, ...], Any]]:
    """Yield the values that the steps lead to, each with its keys and indices."""
    if not steps:
        yield (), data
        return
    step, rest = steps[0], steps[1:]
    if step is ITEMS:
        parts: Any = enumerate(data) if isinstance(data, list) else ()
    else:
        parts = [(step, data[step])] if isinstance(data, dict) and step in data else []
    for key, part in parts:
        for path, value in values(part, rest):
            yield (key, *path), value


def strings(data: Any, steps: Steps) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """Yield the strings that the steps lead to, each with its keys and indices. Skip other values."""
    return (found for found in values(data, steps) if isinstance(found[1], str))


def beside(
    data: Any, path: tuple[str | int, ...], own: Steps, other: Steps
) -> Iterator[tuple[tuple[str | int, ...], Any]]:
    """Yield the values of the steps `other` that belong to the value at `path`, which the steps `own` lead to.

    Where both begin with the same list, only values in the same item belong to it: `turns[2].source` belongs to
    `turns[2].answer`.
    """
    shared = 0
    for place, (one, two) in enumerate(zip(own, other, strict=False), 1):
        if one != two:
            break
        shared = place if one is ITEMS else shared
    for key in path[:shared]:
        data = data[key]
    for rest, value in values(data, other[shared:]):
        yield (*path[:shared], *rest), value


def written(steps: tuple[str | int | None, ...]) -> str:
    """Write steps, or keys and indices, as a path: `entities[].text`, `entities[2].text`."""
    out = ""
    for step in steps:
        if isinstance(step, str):
            out += f".{step}" if out else step
        else:
            out += "[]" if step is ITEMS else f"[{step}]"
    return out


def _walk(part: Json, root: Json, steps: Steps) -> Iterator[tuple[Steps, frozenset[str]]]:
    if len(steps) > _DEEPEST:
        return
    for one in _alternatives(part, root):
        yield steps, frozenset(_kinds(one))
        for name, child in (one.get("properties") or {}).items():
            if isinstance(child, dict):
                yield from _walk(child, root, (*steps, name))
        if isinstance(one.get("items"), dict):
            yield from _walk(one["items"], root, (*steps, ITEMS))


def _alternatives(part: Json, root: Json, depth: int = 0) -> Iterator[Json]:
    """Yield the schemas that may apply to a value: those of anyOf, oneOf, allOf and a reference in the same schema."""
    options = [option for key in ("anyOf", "oneOf", "allOf") for option in part.get(key) or ()]
    if isinstance(reference := part.get("$ref"), str) and reference.startswith("#"):
        options.append(_referred(reference, root))
    if not options or "properties" in part or "type" in part:
        yield part
    if depth < _DEEPEST:
        for option in options:
            if isinstance(option, dict):
                yield from _alternatives(option, root, depth + 1)


def _referred(reference: str, root: Json) -> Any:
    found: Any = root
    for name in reference.lstrip("#").strip("/").split("/"):
        if name:
            found = found.get(name) if isinstance(found, dict) else None
    return found


def _kinds(part: Json) -> set[str]:
    if kinds := types(part):
        return kinds
    values = part["enum"] if isinstance(part.get("enum"), list) else [part["const"]] if "const" in part else []
    if values:
        return {"string"} if any(isinstance(value, str) for value in values) else {"other"}
    return {"object"} if "properties" in part else {"array"} if "items" in part else set()
