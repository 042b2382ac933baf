"""Define a row with its place in a file, and the list of a file's problems."""

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


class Problems:
    """Collect `file:line:column: cause; cure` lines and raise them together as one InputError."""

    def __init__(self, source: object, what: str) -> None:
        self.source, self.what = source, what
        self._lines: list[str] = []

    def add(self, place: Place, cause: str) -> None:
        line, column = place
        self._lines.append(visible(f"{self.source}:{line}:{column}: {cause}"))
        if len(self._lines) >= limits.PROBLEMS:
            self._lines.append(f"... stopped after {limits.PROBLEMS} problems")
            self.raise_any()

    def stop(self, place: Place, cause: str) -> NoReturn:
        """Report a problem after which reading cannot continue."""
        self.add(place, cause)
        self.raise_any()
        raise AssertionError("a problem was added")

    def raise_any(self) -> None:
        if self._lines:
            raise InputError(f"the {self.what} file cannot be used:\n" + "\n".join(self._lines))


def visible(text: str) -> str:
    """Replace control characters in a message, because a terminal would execute those in quoted text."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)
