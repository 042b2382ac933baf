"""Find the place of each string of a field in its text, which the exported dataset gets as `start` and `end`.

The model writes strings alone, because it cannot count characters. Longer strings are placed first, so that "New York"
is not found in "New York Times". Equal strings get their places in the order in which they are listed.
"""

import dataclasses
from collections import defaultdict
from collections.abc import Iterator, Sequence
from copy import deepcopy
from typing import Any, ClassVar

from synthgen.filters.declared.base import Fault, Found, KeyProblem, Path, Stage, quoted
from synthgen.filters.declared.fields import HasSchema, refuse_same, string_place, texts_beside
from synthgen.records import Json
from synthgen.tasks.normal import places_of
from synthgen.tasks.paths import ITEMS, places, strings, written


@dataclasses.dataclass
class OffsetsConfig:
    field: str
    """Path to the strings, such as `entities[].text`, or `answer`."""
    inside: str = dataclasses.field(metadata={"key": "in"})
    """Path to the text."""
    start: str = "start"
    """Key in the exported dataset, beside the string, for the index of its first character, counted from 0."""
    end: str = "end"
    """Key for the index behind its last character."""
    overlap: bool = False
    """True allows strings to overlap, such as a place within the name of an organisation."""


class Offsets:
    """Find strings that have no place of their own in the text."""

    kind: ClassVar[str] = "offsets"
    meaning: ClassVar[str] = (
        "Each string of `field` has a place of its own in `in`. The exported dataset gets it as `start` and `end`, counted "
        "in characters; the model does not write them."
    )
    reasons: ClassVar[dict[str, str]] = {
        "no_offset": "lists a string more often than it occurs, or strings that overlap"
    }
    config: ClassVar[type[OffsetsConfig]] = OffsetsConfig
    scores: ClassVar[str] = ""
    stage: ClassVar[Stage] = "rules"

    def __init__(self, cfg: OffsetsConfig, task: HasSchema) -> None:
        self._cfg = cfg
        self._steps = string_place("field", cfg.field, task).steps
        self._text = string_place("in", cfg.inside, task).steps
        refuse_same("in", cfg.inside, cfg.field, "the field that contains the strings")
        if self._steps[-1] is ITEMS:
            raise KeyProblem("field", f"'{cfg.field}' is a list of strings, which has no room for offsets; use objects")
        if cfg.start == cfg.end:
            raise KeyProblem("end", f"'{cfg.end}' is also the key `start`; give them different names")
        for key, name in (("start", cfg.start), ("end", cfg.end)):
            path = written((*self._steps[:-1], name))
            if path in places(task.schema):
                raise KeyProblem(
                    key, f"'{path}' is a field of task.schema, which the model writes; take it out of there"
                )

    def faults(self, data: Json) -> Iterator[Found]:
        for path, value, place in self._placed(data):
            if place is None:
                why = "it does not occur there, or its places belong to other strings"
                problem = f"{quoted(value)} has no place of its own in {self._cfg.inside}: {why}"
                yield Fault("no_offset", path, problem, {"value": value})

    def filled(self, data: Json) -> Json:
        """Return a copy of a sample with the offsets beside the strings. A string without a place gets none."""
        data = deepcopy(data)
        for path, value, place in self._placed(data):
            if place is not None:
                _owner(data, path).update({self._cfg.start: place, self._cfg.end: place + len(value)})
        return data

    def removed(self, data: Json) -> Json:
        """Return a copy of a sample without offsets beside the strings, such as those of an exported dataset."""
        data = deepcopy(data)
        for path, _ in strings(data, self._steps):
            owner = _owner(data, path)
            owner.pop(self._cfg.start, None)
            owner.pop(self._cfg.end, None)
        return data

    def _placed(self, data: Json) -> Iterator[tuple[Path, str, int | None]]:
        """Yield each string with its path and its place in the text."""
        groups: dict[tuple[Path, str], list[tuple[Path, str]]] = defaultdict(list)
        for path, value in strings(data, self._steps):
            if texts := texts_beside(data, path, self._steps, self._text):
                groups[path[: self._shared], texts[0]].append((path, value))
        for (_, text), found in groups.items():
            for (path, value), place in zip(found, placed([v for _, v in found], text, self._cfg.overlap), strict=True):
                yield path, value, place

    @property
    def _shared(self) -> int:
        """Return the number of steps up to the last list that the strings and the text share."""
        shared = 0
        for place, (one, two) in enumerate(zip(self._steps, self._text, strict=False), 1):
            if one != two:
                break
            shared = place if one is ITEMS else shared
        return shared


def _owner(data: Any, path: Path) -> Json:
    """Return the object that holds the value at `path`."""
    for key in path[:-1]:
        data = data[key]
    owner: Json = data
    return owner


def placed(found: Sequence[str], text: str, overlap: bool) -> list[int | None]:
    """Return the place of each string in a text, each place once; None for a string without a free place."""
    taken = [False] * len(text)
    used: dict[str, set[int]] = defaultdict(set)
    starts: list[int | None] = [None] * len(found)
    for number in sorted(range(len(found)), key=lambda number: -len(found[number])):  # stable: equal strings in order
        value = found[number]
        own = [start for start in places_of(value, text) if start not in used[value]]
        free = [start for start in own if not any(taken[start : start + len(value)])]
        chosen = free or (own if overlap else [])
        if value and chosen:
            starts[number] = start = chosen[0]
            used[value].add(start)
            taken[start : start + len(value)] = [True] * len(value)
    return starts


def fillers(declarations: Sequence[Any], task: HasSchema) -> list[Offsets]:
    """Return the offsets checks among the declarations of a task, which `filled` needs for an export."""
    keys = {field.metadata.get("key", field.name): field.name for field in dataclasses.fields(OffsetsConfig)}
    return [
        Offsets(OffsetsConfig(**{keys[key]: value for key, value in entry.items() if key != "kind"}), task)
        for entry in declarations
        if isinstance(entry, dict) and entry.get("kind") == Offsets.kind
    ]
