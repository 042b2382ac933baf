"""Resolve the paths of a declaration in the task's schema, and pair the values of two paths."""

import difflib
from collections.abc import Iterator, Sequence
from typing import Any, Protocol

from synthgen.filters.declared.base import KeyProblem, Path
from synthgen.records import Json
from synthgen.tasks.paths import Place, Steps, beside, places, strings, values

Paths = str | list[str]


class HasSchema(Protocol):
    """Hold the JSON Schema of a sample, as a task does."""

    @property
    def schema(self) -> Json: ...


def string_place(key: str, path: str, task: HasSchema) -> Place:
    """Return the place in a task's schema that `path` names. Raise KeyProblem when there is none or it holds no strings."""
    known = places(task.schema)
    text = [name for name, place in known.items() if place.holds_strings]
    place = _found(key, path, known, text, "text fields")
    if not place.holds_strings:
        inside = [name for name in text if name.startswith((f"{path}.", f"{path}["))]
        cure = f"; write {' or '.join(inside)}" if inside else f"; the text fields are {', '.join(text)}"
        raise KeyProblem(key, f"'{path}' is not text but of type {' or '.join(sorted(place.kinds))}{cure}")
    return place


def any_place(key: str, path: str, task: HasSchema) -> Place:
    """Return the place in a task's schema that `path` names, whatever it holds. Raise KeyProblem when there is none."""
    known = places(task.schema)
    return _found(key, path, known, list(known), "fields")


def list_place(key: str, path: str, task: HasSchema) -> Place:
    """Return the place of a list. Raise KeyProblem when `path` names none."""
    place = any_place(key, path.removesuffix("[]"), task)
    if place.kinds and "array" not in place.kinds:
        raise KeyProblem(key, f"'{path}' is not a list but of type {' or '.join(sorted(place.kinds))}")
    return place


def string_steps(key: str, paths: Paths, task: HasSchema) -> list[Steps]:
    """Return the steps of each path to strings. Raise KeyProblem as `string_place` does, or when there is no path."""
    return [string_place(key, path, task).steps for path in as_list(key, paths)]


def as_list(key: str, paths: Paths) -> list[str]:
    """Return one path or several as a list. Raise KeyProblem when it is empty."""
    found = [paths] if isinstance(paths, str) else list(paths)
    if not found:
        raise KeyProblem(key, "names no field; write the path of one, or leave this key out")
    return found


def refuse_same(key: str, path: Paths, field: Paths, what: str) -> None:
    """Raise KeyProblem when a check would compare a field with itself."""
    for name in as_list(key, path):
        if name in as_list("field", field):
            raise KeyProblem(key, f"'{name}' is the same as `field`; name {what}")


class PathPairs:
    """Pair each string of some paths with the strings of other paths that belong to it; see `beside`."""

    def __init__(self, fields: Sequence[Steps], others: Sequence[Steps]) -> None:
        self._fields = fields
        self._others = others

    def __call__(self, data: Json) -> Iterator[tuple[Path, str, list[str]]]:
        for own in self._fields:
            for path, text in strings(data, own):
                yield path, text, [text for steps in self._others for text in texts_beside(data, path, own, steps)]


def texts_beside(data: Json, path: Path, own: Steps, other: Steps) -> list[str]:
    """Return the strings of `other` that belong to the value at `path`."""
    return [value for _, value in beside(data, path, own, other) if isinstance(value, str)]


def first_beside(data: Json, path: Path, own: Steps, other: Steps) -> Any:
    """Return the first value of `other` that belongs to the value at `path`; None when there is none."""
    return next((value for _, value in beside(data, path, own, other)), None)


def all_values(data: Json, steps: Sequence[Steps]) -> Iterator[tuple[Path, Any]]:
    """Yield the values that each of several paths leads to."""
    for each in steps:
        yield from values(data, each)


def all_strings(data: Json, steps: Sequence[Steps]) -> Iterator[tuple[Path, str]]:
    """Yield the strings that each of several paths leads to."""
    for each in steps:
        yield from strings(data, each)


def _found(key: str, path: str, known: dict[str, Place], offered: list[str], what: str) -> Place:
    if (place := known.get(path)) is not None:
        return place
    near = difflib.get_close_matches(path, offered, n=1)
    hint = f"; did you mean {near[0]}?" if near else f"; the {what} are {', '.join(offered)}"
    raise KeyProblem(key, f"'{path}' is not a field of task.schema{hint}")
