"""Define a row with its place in a file, and the list of a file's problems."""

import re
import sys
from collections.abc import Callable, Sequence
from typing import NamedTuple, NoReturn

from synthgen.errors import InputError
from synthgen.records import Json
from synthgen.tasks.rows import limits

Place = tuple[int, int | str]
"""Line and column, both from 1, the column in characters. In a table without lines: row number and column name."""
Path = Sequence[str | int]
"""Keys and indices that lead from a row to a value inside it."""


class Row(NamedTuple):
    """Hold one object of a file. `find(path, part)` returns the position of the value at `path`, or of `part` in it."""

    data: Json
    place: Place
    find: Callable[[Path, str], Place]


_OWN_VALUE = re.compile(r"(?<=: ).*(?= is (?:shorter than|longer than|not of type) )", re.S)
"""The value that a message quotes, where messages about the same mistake in different rows differ only in the value."""
_SHOWN = 5


class Problems:
    """Collect `file:line:column: cause; cure` lines and raise them together as one InputError.

    Rows with the same mistake are reported together: the first in full, a few others by their lines. `streamed` is True
    for a file whose rows are not all kept in memory: its size is not limited.
    """

    def __init__(self, source: object, what: str, streamed: bool = False) -> None:
        self.source, self.what = source, what
        self.file_bytes = sys.maxsize if streamed else limits.FILE_BYTES
        self.file_rows = sys.maxsize if streamed else limits.FILE_ROWS
        self._places: dict[str, list[Place]] = {}
        """The places of each mistake; the first message about it is in `_said`."""
        self._said: dict[str, str] = {}
        self._count = 0

    def add(self, place: Place, cause: str) -> None:
        mistake = _OWN_VALUE.sub("", cause)
        self._said.setdefault(mistake, cause)
        self._places.setdefault(mistake, []).append(place)
        self._count += 1
        if len(self._said) >= limits.PROBLEMS or self._count >= limits.REPEATS:
            self._raise(f"... stopped after {self._count:,} problems")

    def stop(self, place: Place, cause: str) -> NoReturn:
        """Report a problem after which reading cannot continue."""
        self.add(place, cause)
        self.raise_any()
        raise AssertionError("a problem was added")

    def raise_any(self) -> None:
        if self._said:
            self._raise()

    def _raise(self, *last: str) -> NoReturn:
        lines = [line for mistake in self._said for line in self._lines(mistake)]
        raise InputError("\n".join([f"the {self.what} file cannot be used:", *lines, *last]))

    def _lines(self, mistake: str) -> list[str]:
        """Return the line about the first row with a mistake, and one about the others."""
        (line, column), *others = self._places[mistake]
        said = [visible(f"{self.source}:{line}:{column}: {self._said[mistake]}")]
        if others:
            numbers = ", ".join(str(number) for number, _ in others[:_SHOWN])
            more = ", ..." if len(others) > _SHOWN else ""
            rows = "1 more row" if len(others) == 1 else f"{len(others)} more rows"
            said.append(f"  and {rows} with the same mistake: {numbers}{more}")
        return said


def visible(text: str) -> str:
    """Replace control characters in a message, because a terminal would execute those in quoted text."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)
