"""Hold the rows of one dataset: their content on disk, their ids and splits in memory.

The id of a row is the hash of its canonical content. Fields that only record a row's origin or split do not count as
content.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from sys import intern
from typing import NamedTuple

from synthgen.prepare.item import Item, Origin
from synthgen.prepare.spool import Spool
from synthgen.records import Json, content_id
from synthgen.tasks.prepared import SOURCES, is_origin
from synthgen.versions.roles import LICENCES

SPLIT = "split"
"""Field in which `synthgen prepare` notes the split of a row."""
_NOWHERE = Origin("", 0)

Key = tuple[str, str]
"""Id and split of a row."""


class Entry(NamedTuple):
    """Hold the id and the split of one row, and its position among the rows of its dataset."""

    id: str
    split: str
    position: int


class DatasetRows:
    """Hold rows in their order. In memory a row takes about 250 bytes, whatever its length."""

    def __init__(self, work: Path) -> None:
        self._spool, self._lineage = Spool(work), Spool(work)
        self._lineage_at: dict[int, int] = {}
        self.entries: list[Entry] = []
        self.kinds: dict[str, Counter[str]] = {}
        """For each field, the number of rows with each JSON type."""
        self.licences: Counter[str] = Counter()
        """The number of rows with each licence; an empty text for rows that name none."""
        self.noted: dict[str, None] = {}
        """Fields that only recorded origin or split, and are not part of the content."""

    def __len__(self) -> int:
        return len(self.entries)

    def add(self, data: Json, split: str, lineage: Callable[[str], Json] = lambda _: {}) -> None:
        """Add a row as it was read. `lineage` returns its known origin, by its id."""
        data, noted = parted(data, split)
        self.noted.update(dict.fromkeys(noted))
        key = content_id(data)
        origin = {**lineage(key), **{name: value for name, value in noted.items() if name != SPLIT}}
        self.add_content(key, data, [split], origin)

    def add_content(self, key: str, data: Json, splits: Iterable[str], lineage: Json) -> None:
        """Add the content of a row to each of the splits. `key` is its id."""
        position = len(self._spool)
        self._spool.append(Item(data, _NOWHERE))
        if lineage:
            self._lineage_at[position] = len(self._lineage)
            self._lineage.append(Item(lineage, _NOWHERE))
        licence = licence_of(data, lineage)
        for split in splits:
            self.entries.append(Entry(key, intern(split), position))
            self.licences[licence] += 1
            for name, value in data.items():
                self.kinds.setdefault(intern(name), Counter())[kind_of(value)] += 1

    def sort(self) -> None:
        """Put the rows in the order of their splits, then of their ids."""
        self.entries.sort(key=lambda entry: (entry.split, entry.id))

    def data(self, position: int) -> Json:
        """Return the content of a row."""
        return self._spool[position].data

    def lineage(self, position: int) -> Json:
        """Return the known origin of a row; empty if unknown."""
        at = self._lineage_at.get(position)
        return {} if at is None else self._lineage[at].data

    def contents(self) -> Iterator[tuple[Entry, Json]]:
        """Yield every row in order."""
        return ((entry, self._spool[entry.position].data) for entry in self.entries)

    def counted(self) -> Counter[Key]:
        """Return the number of copies of each row in each split."""
        return Counter((entry.id, entry.split) for entry in self.entries)

    def splits(self) -> dict[str, int]:
        """Return the number of rows in each split: train, validation and test first, then the others by name."""
        found = Counter(entry.split for entry in self.entries)
        return {name: found[name] for name in sorted(found, key=split_order)}

    def close(self) -> None:
        self._spool.close()
        self._lineage.close()


def parted(data: Json, split: str) -> tuple[Json, Json]:
    """Return the content of a row, and the fields that only record its origin and split."""
    noted = {
        name: value
        for name, value in data.items()
        if (name in SOURCES and is_origin(value)) or (name == SPLIT and split and value == split)
    }
    return ({name: value for name, value in data.items() if name not in noted}, noted) if noted else (data, noted)


def joined(data: Json, split: str, lineage: Json, noted: Iterable[str]) -> Json:
    """Return a row with the fields that `parted` took from it."""
    given = {name: split if name == SPLIT else lineage.get(name) for name in noted}
    return {**data, **{name: value for name, value in given.items() if value is not None and name not in data}}


def licence_of(data: Json, lineage: Json) -> str:
    """Return the licence of a row; an empty text where it names none."""
    for known in (data, lineage, lineage.get("given") or {}):  # `given` of a seed that `synthgen prepare` wrote
        if found := next((known[name] for name in LICENCES if isinstance(known.get(name), str)), None):
            return str(found)
    return ""


_FIRST = ("train", "validation", "test")


def split_order(name: str) -> tuple[int, str]:
    """Return a sort key: train, validation and test first, then the others by name."""
    return (_FIRST.index(name) if name in _FIRST else len(_FIRST), name)


def kind_of(value: object) -> str:
    """Return the JSON type of a value. A whole number is a number too."""
    match value:
        case None:
            return "null"
        case bool():
            return "boolean"
        case int() | float():
            return "number"
        case str():
            return "string"
        case list():
            return "array"
        case _:
            return "object"
