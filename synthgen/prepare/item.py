"""Define one row on its way through the chain, its texts, and where it came from."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from synthgen.records import Json
from synthgen.tasks.prepared import SOURCES, is_origin

_NOT_TEXT = (
    "id",
    "ids",
    "uuid",
    "guid",
    "url",
    "uri",
    "date",
    "time",
    "timestamp",
    "source",
    "split",
    "license",
    "licence",
)
"""Names, or last words of names, of fields that hold no text to compare."""


class Origin(NamedTuple):
    """Name the file and the line, or the row of a table, that a row was read from."""

    file: str
    line: int

    @property
    def json(self) -> Json:
        return {"file": self.file, "line": self.line}


@dataclass(frozen=True, slots=True)
class Item:
    """Hold one row, its origin, and the split that it was assigned to."""

    data: Json
    origin: Origin
    split: str | None = None

    def with_data(self, data: Json) -> "Item":
        return replace(self, data=data)


@dataclass(frozen=True)
class RowFields:
    """Tell which fields of a row are its texts and its label.

    Without names, the text of a row is its field `text`. A row without such a field has all its strings as texts,
    except for its label, identifiers, links and dates.
    """

    text: Sequence[str] = ()
    label: str = "label"

    def names(self, data: Json) -> list[str]:
        """Return the fields of a row that hold its texts."""
        if self.text:
            return [name for name in self.text if name in data]
        return ["text"] if isinstance(data.get("text"), str) else self.prose(data)

    def prose(self, data: Json) -> list[str]:
        """Return the fields that hold text of any kind, also where only one of them is compared."""
        if self.text:
            return self.names(data)
        return [name for name in data if name != self.label and not _is_no_text(name)]

    def readable(self, data: Json) -> list[str]:
        """Return all fields that may hold personal data: all but the label and the place that a row was read from."""
        return [name for name in data if name != self.label and not (name in SOURCES and is_origin(data[name]))]

    def texts(self, data: Json) -> list[str]:
        """Return every string in the text fields of a row, at any depth."""
        return [part for name in self.names(data) for part in strings(data[name])]

    def whole(self, data: Json) -> str:
        """Return the texts of a row as one text, to compare rows by."""
        return "\n".join(self.texts(data))

    def of_label(self, data: Json) -> str | None:
        """Return the label of a row as text, or None."""
        value = data.get(self.label)
        return None if value is None or value == "" else value if isinstance(value, str) else repr(value)


def changed(value: Any, change: Callable[[str], str]) -> Any:
    """Return a JSON value in which every string is replaced by `change(string)`. Keys stay as they are."""
    if isinstance(value, str):
        return change(value)
    if isinstance(value, list):
        return [changed(part, change) for part in value]
    if isinstance(value, dict):
        return {name: changed(part, change) for name, part in value.items()}
    return value


def strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, list | dict):
        for part in value.values() if isinstance(value, dict) else value:
            yield from strings(part)


def _is_no_text(name: str) -> bool:
    return name.lower().replace("-", "_").rpartition("_")[2] in _NOT_TEXT
