"""Read rows of a CSV or TSV file with a header, and convert cells to the types of the task's schema.

Python's csv module reads the records. A cell is located in the file's text only to report the place of a problem.
"""

import csv
import re
from collections.abc import Iterator
from functools import partial
from itertools import islice
from pathlib import Path

from synthgen.records import Json
from synthgen.tasks.rows import limits
from synthgen.tasks.rows.columns import ABSENT, Columns
from synthgen.tasks.rows.jsontext import JsonError, place
from synthgen.tasks.rows.located import Path as ValuePath
from synthgen.tasks.rows.located import Place, Problems, Row
from synthgen.tasks.rows.stream import decoded, lines

_DELIMITERS = ",;\t"


def csv_rows(path: Path, columns: Columns, problems: Problems, delimiter: str = "") -> Iterator[Row]:
    """Yield the rows of the file. A quoted cell may hold line breaks. Empty lines are skipped.

    Without a `delimiter`, the header decides between comma, semicolon and tab.
    """
    feed = _Feed(path, problems)
    delimiter = delimiter or feed.delimiter(columns)
    csv.field_size_limit(max(csv.field_size_limit(), limits.ROW_BYTES))  # the limit of `_Feed` is stricter
    records = _records(feed, delimiter, problems)
    header = next(records, None)
    if header is None:
        return
    names, record = header
    for index, cause in columns.problems(names):
        problems.add(record.place(index), cause)
    problems.raise_any()
    for cells, record in records:
        if len(cells) != len(names):
            at = record.place(len(names)) if len(cells) > len(names) else record.start
            problems.add(
                at, f"{len(cells)} cells, and the header has {len(names)}; quote a cell that holds {delimiter!r}"
            )
        elif (data := _typed(names, cells, record, columns, problems)) is not None:
            yield Row(data, record.start, partial(_find, names, record))


class _Record:
    """Hold one record as it is written in the file."""

    def __init__(self, text: str, start: Place, delimiter: str) -> None:
        self.text, self.start, self._delimiter = text, start, delimiter

    def offset(self, index: int) -> int:
        """Return the offset of a cell's content, or of the last cell's content if there are fewer cells."""
        cell = rf'"(?:[^"]|"")*"[^{self._delimiter}\r\n]*|[^{self._delimiter}\r\n]*'
        starts = [0]
        for match in islice(re.finditer(rf"(?:{cell})([{self._delimiter}]|\r?\n|\Z)", self.text), index):
            if match.group(1) == self._delimiter:
                starts.append(match.end())
        found = starts[min(index, len(starts) - 1)]
        return found + (self.text[found : found + 1] == '"')

    def place(self, index: int) -> Place:
        return place(self.text, self.offset(index), self.start)


class _Feed:
    """Feed physical lines to the csv module, and keep the lines of the current record."""

    def __init__(self, path: Path, problems: Problems) -> None:
        self._lines = lines(path, problems)
        self._problems = problems
        self._ahead: list[tuple[int, bytes]] = []
        self._record: list[str] = []
        self._first, self._bytes = 1, 0

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        number, raw = self._ahead.pop() if self._ahead else next(self._lines)
        text = decoded(raw, number, self._problems)
        if text is None:  # the file is refused anyway; reading continues to find its other problems
            text = raw.decode("utf-8", "replace")
        if "\0" in text:
            self._problems.add((number, text.index("\0") + 1), "a NUL byte; save the file as UTF-8 text")
            text = text.replace("\0", "\ufffd")
        if not self._record:
            self._first = number
        self._record.append(text)
        self._bytes += len(raw)
        if self._bytes > limits.ROW_BYTES:
            cause = f"the record is longer than {limits.ROW_BYTES:,} bytes; is a quote left open?"
            self._problems.stop((self._first, 1), cause)
        return text

    def take(self, delimiter: str) -> _Record:
        """Return the record that was read last."""
        record = _Record("".join(self._record), (self._first, 1), delimiter)
        self._record, self._bytes = [], 0
        return record

    def delimiter(self, columns: Columns) -> str:
        """Return the character that splits the first line into the task's columns. Stop if there is none."""
        for number, raw in self._lines:
            self._ahead = [(number, raw)]
            if not raw.isspace():
                break
        else:
            return ","
        header = raw.decode("utf-8", "replace").rstrip("\r\n").replace("\0", "")
        splits = {mark: _split(header, mark) for mark in _DELIMITERS}
        able = [mark for mark, names in splits.items() if len(names) > 1]
        if columns.unknown:
            return max(_DELIMITERS, key=lambda mark: len(splits[mark]))
        if len(able) > 1:
            able = [mark for mark in able if set(splits[mark]) & set(columns.schema["properties"])]
        if len(able) > 1:
            known = " and ".join(repr(mark) for mark in able)
            self._problems.stop(
                (number, 1), f"the header may be split at {known}; use commas, or tabs and the name .tsv"
            )
        return able[0] if able else ","


def _split(header: str, delimiter: str) -> list[str]:
    try:
        return next(csv.reader([header], delimiter=delimiter))
    except csv.Error:
        return []  # reported later, when the header is read


def _records(feed: _Feed, delimiter: str, problems: Problems) -> Iterator[tuple[list[str], _Record]]:
    reader = csv.reader(feed, delimiter=delimiter, strict=True)
    while True:
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            problems.add(feed.take(delimiter).start, f"not CSV: {_in_words(error)}")
            continue
        record = feed.take(delimiter)
        if cells:
            yield cells, record


def _in_words(error: csv.Error) -> str:
    text = str(error)
    if "unexpected end" in text:
        return "a quote is opened and not closed; close it, or double a quote that is text"
    if "new-line" in text:
        return "a carriage return inside a line; save the file with \\n or \\r\\n at the end of lines"
    return f"{text}; double a quote that is text, and put the cell in quotes"


def _typed(names: list[str], cells: list[str], record: _Record, columns: Columns, problems: Problems) -> Json | None:
    """Return the cells as JSON values. Report problems and return None if a cell has another type."""
    data: Json = {}
    whole = True
    for index, (name, text) in enumerate(zip(names, cells, strict=True)):
        if not columns.wanted(name):
            continue
        try:
            value = columns.cell(name, text)
        except JsonError as fault:
            problems.add(record.place(index), str(fault))
            whole = False
            continue
        if value is not ABSENT:
            data[name] = value
    return data if whole else None


def _find(names: list[str], record: _Record, path: ValuePath, part: str) -> Place:
    if not path or path[0] not in names:
        return record.start
    offset = record.offset(names.index(str(path[0])))
    inside = record.text.find(part, offset) if part else -1
    return place(record.text, max(inside, offset), record.start)
