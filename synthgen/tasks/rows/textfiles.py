"""Read rows of JSON Lines files and of files with one JSON array."""

import codecs
import re
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from synthgen.tasks.encodings import not_utf8
from synthgen.tasks.rows import limits
from synthgen.tasks.rows.jsontext import parse_row, place
from synthgen.tasks.rows.located import Problems, Row
from synthgen.tasks.rows.stream import decoded, lines, open_text

_ONE_A_LINE = "write one JSON object a line"
_ARRAY = "write one array of objects, [{...}, {...}]"
_CHUNK = 256 * 1024
_BLANK = re.compile(r"[ \t\r\n]*")
_MARK = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*(?:"|\\?\Z)|[{}\[\],]', re.S)


def json_lines(path: Path, problems: Problems) -> Iterator[Row]:
    """Yield the rows of a JSON Lines file; skip empty lines."""
    for number, raw in lines(path, problems):
        if raw.isspace():
            continue
        text = decoded(raw, number, problems)
        if text is None:
            continue
        row = parse_row(text.rstrip("\r\n"), (number, 1), problems, _ONE_A_LINE)
        if row is not None:
            yield row


def json_array(path: Path, problems: Problems) -> Iterator[Row]:
    """Yield the rows of a file that holds one JSON array of objects, with one element in memory at a time."""
    with open_text(path, problems) as file:
        window = _Window(file, problems)
        window.blank()
        if not window.next():
            return
        if window.next() != "[":
            hint = "; if it holds one object a line, name it .jsonl" if window.next() == "{" else ""
            problems.stop(window.place(), f"not an array; {_ARRAY}{hint}")
        window.skip(1)
        window.blank()
        if window.next() != "]":
            yield from _elements(window, problems)
        window.skip(1)
        window.blank()
        if window.next():
            problems.stop(window.place(), f"text behind the array; {_ARRAY}")


def _elements(window: "_Window", problems: Problems) -> Iterator[Row]:
    """Yield the elements up to the closing bracket, which is not consumed."""
    for _ in range(problems.file_rows):
        window.blank()
        start = window.place()
        text = window.element()
        if not text:
            problems.stop(start, f"an element is missing; {_ARRAY}")
        row = parse_row(text, start, problems, _ARRAY)
        if row is not None:
            yield row
        window.blank()
        if window.next() == "]":
            return
        if window.next() != ",":
            problems.stop(window.place(), f"the array is not closed; {_ARRAY}")
        window.skip(1)
    problems.stop(window.place(), f"more than {problems.file_rows:,} rows; split the file")


class _Window:
    """Hold the current piece of a long text, no longer than needed, with its line and column."""

    def __init__(self, file: BinaryIO, problems: Problems) -> None:
        self._file, self._problems = file, problems
        self._decoder = codecs.getincrementaldecoder("utf-8")()
        self._text, self._at = "", 0
        self._placed, self._place = 0, (1, 1)  # an offset up to `_at`, and its line and column
        self._whole = False

    def place(self) -> tuple[int, int]:
        line, column = self._place
        breaks = self._text.count("\n", self._placed, self._at)
        last = self._text.rfind("\n", self._placed, self._at)
        self._place = (line + breaks, self._at - last) if breaks else (line, column + self._at - self._placed)
        self._placed = self._at
        return self._place

    def next(self) -> str:
        """Return the next character, or an empty string at the end."""
        if self._at == len(self._text):
            self._more()
        return self._text[self._at : self._at + 1]

    def skip(self, count: int) -> None:
        self._at += count

    def blank(self) -> None:
        """Skip white space."""
        while self.next():
            match = _BLANK.match(self._text, self._at)
            assert match is not None
            self._at = match.end()
            if self._at < len(self._text):
                return

    def element(self) -> str:
        """Return the element's text up to the comma or bracket after it, without trailing white space."""
        while (end := self._end()) is None:
            if len(self._text) - self._at > limits.ROW_BYTES:
                self._problems.stop(self.place(), f"the element is longer than {limits.ROW_BYTES:,} bytes; {_ARRAY}")
            self._more()
        found = self._text[self._at : end].rstrip(" \t\r\n")
        self._at += len(found)
        return found

    def _end(self) -> int | None:
        """Return the offset of the element's end, or None if more text is needed to find it."""
        depth = 0
        for match in _MARK.finditer(self._text, self._at):
            mark = match.group()
            if mark in ("{", "["):
                depth += 1
            elif depth == 0 and mark in (",", "]", "}"):
                return match.start()
            elif mark in ("}", "]"):
                depth -= 1
        return len(self._text) if self._whole else None

    def _more(self) -> None:
        """Drop the consumed text and read another chunk."""
        self.place()
        self._text, self._at, self._placed = self._text[self._at :], 0, 0
        raw = self._file.read(_CHUNK)
        self._whole = not raw
        try:
            self._text += self._decoder.decode(raw, final=self._whole)
        except UnicodeDecodeError as error:
            before = self._text + error.object[: error.start].decode("utf-8")
            self._problems.stop(place(before, len(before), self._place), not_utf8(error))
