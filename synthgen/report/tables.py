"""Write the rows of a split as bytes: JSON Lines, CSV for spreadsheets, or Parquet.

JSON Lines and Parquet preserve every field, except that Parquet holds integers past 64 bits as text. CSV does not: it
has only text and numbers, a cell that a spreadsheet would take for a formula gets an apostrophe in front, and invisible
characters are replaced by their names.
"""

import csv
import io
import json
import re
from collections.abc import Sequence
from typing import Any

from synthgen.errors import ConfigError
from synthgen.records import Json
from synthgen.report.features import Kind
from synthgen.safety.untrusted import clean, escaped
from synthgen.tasks.task import as_text

FORMATS = ("jsonl", "csv", "parquet")

# Cells that spreadsheets take for a formula (OWASP, CSV Injection), including full-width forms and skipped characters.
_FORMULA = re.compile("[\\s'\"\u00a0\u3000\ufeff\x00]*[=+\\-@\uff1d\uff0b\uff0d\uff20\u2212]|[\t\r\n]")


def as_bytes(form: str, rows: Sequence[Json], columns: dict[str, Kind] | None) -> bytes:
    """Return `rows` as a file of `form`. `columns` are the features of all splits, or None if a column has mixed types.

    Raise ConfigError for Parquet if a column has mixed types.
    """
    match form:
        case "csv":
            return _csv(rows, columns)
        case "parquet":
            return _parquet(rows, columns)
        case _:
            return json_lines(rows)


def json_lines(rows: Sequence[Json]) -> bytes:
    return utf8("".join(_line(row) + "\n" for row in rows))


def utf8(text: str) -> bytes:
    """Encode text as UTF-8, with a question mark for each character that cannot be encoded."""
    return text.encode("utf-8", "replace")


def pretty(value: Any) -> bytes:
    """Return an indented JSON file, with hidden characters written as escapes."""
    return utf8(escaped(json.dumps(value, ensure_ascii=False, indent=2)) + "\n")


def harmless(text: str) -> str:
    """Return the text as a cell that no spreadsheet takes for a formula."""
    return f"'{text}" if _FORMULA.match(text) else text


def _line(row: Json) -> str:
    """Return one JSON line that is safe for readers that also split at Unicode line breaks."""
    return escaped(json.dumps(row, ensure_ascii=False))


def _csv(rows: Sequence[Json], columns: dict[str, Kind] | None) -> bytes:
    names = list(columns) if columns is not None else list(dict.fromkeys(name for row in rows for name in row))
    target = io.StringIO(newline="")
    writer = csv.writer(target, quoting=csv.QUOTE_NONNUMERIC, lineterminator="\n")
    writer.writerow([harmless(clean(name)) for name in names])
    writer.writerows([_cell(row.get(name)) for name in names] for row in rows)
    return utf8(target.getvalue())


def _cell(value: Any) -> str | int | float:
    if value is None:
        return ""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return value
    return harmless(clean(as_text(value)))


def _parquet(rows: Sequence[Json], columns: dict[str, Kind] | None) -> bytes:
    import pyarrow as pa
    import pyarrow.parquet as pq

    if columns is None:
        raise ConfigError("--format parquet: a field holds values of more than one type; use --format jsonl")
    target = pa.BufferOutputStream()
    pq.write_table(as_table(rows, columns), target)
    return bytes(target.getvalue())


def as_table(rows: Sequence[Json], columns: dict[str, Kind]) -> Any:
    """Return `rows` as a pyarrow table with these columns."""
    import pyarrow as pa

    schema = pa.schema([(name, _arrow(kind)) for name, kind in columns.items()])
    plain = [{name: _as_kind(row.get(name), kind) for name, kind in columns.items()} for row in rows]
    return pa.Table.from_pylist(plain, schema)


def _as_kind(value: Any, kind: Kind) -> Any:
    """Convert a value to its column's kind. pyarrow converts neither numbers to text nor large integers to floats."""
    match value, kind:
        case bool() | None, _:
            return value
        case int(), "float64":
            return float(value)
        case int(), "string":
            return str(value)
        case list(), {"list": item}:
            return [_as_kind(entry, item) for entry in value]
        case dict(), {"struct": parts}:
            return {name: _as_kind(entry, parts[name]) for name, entry in value.items()}
    return value


def _arrow(kind: Kind) -> Any:
    import pyarrow as pa

    if isinstance(kind, str):
        return {"bool": pa.bool_(), "int64": pa.int64(), "float64": pa.float64()}.get(kind, pa.string())
    if "list" in kind:
        return pa.list_(_arrow(kind["list"]))
    return pa.struct([(name, _arrow(child)) for name, child in kind["struct"].items()])
