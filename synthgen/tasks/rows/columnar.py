"""Read rows of typed tables: Parquet files and Hugging Face datasets. A place is a row number and a column name.

Only values that JSON can represent are read. If the task's schema does not allow null, null means that the row lacks
the field. A ClassLabel, which such files store as a number, becomes its name.
"""

import json
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from synthgen.records import Json
from synthgen.tasks.rows import limits
from synthgen.tasks.rows.columns import ABSENT, Columns
from synthgen.tasks.rows.located import Path as ValuePath
from synthgen.tasks.rows.located import Place, Problems, Row
from synthgen.tasks.rows.stream import open_file

BATCH = 1000
"""Most rows in memory at a time."""


def parquet_rows(path: Path, columns: Columns, problems: Problems) -> Iterator[Row]:
    """Yield the rows of a Parquet file."""
    with open_file(path, problems.file_bytes) as raw:
        if raw.read(1):
            raw.seek(0)
            schema, batches = _opened(raw, columns, problems)
            yield from table_rows(schema, batches, columns, problems)


def table_rows(schema: Any, batches: Iterable[Any], columns: Columns, problems: Problems) -> Iterator[Row]:
    """Yield the rows of Arrow record batches or tables of `schema`, which `checked_names` accepted."""
    features = _features(schema)
    number = size = 0
    for batch in batches:
        size += batch.nbytes
        if size > problems.file_bytes:
            problems.stop((number + 1, 1), f"more than the {problems.file_bytes:,} bytes that are read; split the file")
        for row in _read(batch, number, problems):
            number += 1
            if row is None:
                continue
            named = {name: _named(value, features.get(name)) for name, value in row.items()}
            data = {name: columns.value(name, value) for name, value in named.items()}
            data = {name: value for name, value in data.items() if value is not ABSENT}
            if (fault := _fault(data)) is None:
                yield Row(data, (number, 1), partial(_find, number))
            else:
                problems.add((number, fault[0]), fault[1])


def checked_names(schema: Any, rows: int, columns: Columns, problems: Problems) -> list[str]:
    """Return the columns to read. Stop at a table with too many rows, or without the task's fields."""
    if rows > problems.file_rows:
        problems.stop((0, 1), f"{rows:,} rows is more than the {problems.file_rows:,} that are read; split the file")
    for index, cause in columns.problems(schema.names):
        problems.add((0, schema.names[index] or index + 1), cause)
    problems.raise_any()
    names = [name for name in schema.names if columns.wanted(name)]
    for name in names:
        if not _plain(schema.field(name).type):
            problems.add((0, name), f"JSON has no {schema.field(name).type}; store the column as text or numbers")
    problems.raise_any()
    return names


def _opened(raw: Any, columns: Columns, problems: Problems) -> tuple[Any, Iterator[Any]]:
    """Return the Arrow schema and the record batches of a Parquet file."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    def guarded(batches: Iterator[Any]) -> Iterator[Any]:
        try:
            yield from batches
        except (pa.ArrowException, OSError, ValueError) as error:
            problems.stop((1, 1), _unreadable(error))

    try:
        file = pq.ParquetFile(raw)
        schema, rows = file.schema_arrow, file.metadata.num_rows
        size = sum(file.metadata.row_group(group).total_byte_size for group in range(file.num_row_groups))
    except (pa.ArrowException, OSError, ValueError) as error:
        problems.stop((1, 1), _unreadable(error))
    if size > problems.file_bytes:
        problems.stop((0, 1), f"{size:,} bytes is more than the {problems.file_bytes:,} that are read; split the file")
    names = checked_names(schema, rows, columns, problems)
    return schema, guarded(file.iter_batches(BATCH, columns=names))


def _unreadable(error: Exception) -> str:
    first = str(error).strip().partition("\n")[0]
    return f"not a readable Parquet file ({first}); write it anew"


def _plain(kind: Any, depth: int = 0) -> bool:
    """Return True when every value of an Arrow type is a JSON value."""
    from pyarrow import types

    if depth > limits.DEPTH:
        return False
    if types.is_dictionary(kind) or types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind):
        return _plain(kind.value_type, depth + 1)
    if types.is_struct(kind):
        parts = [kind.field(index) for index in range(kind.num_fields)]
        return len({part.name for part in parts}) == len(parts) and all(_plain(part.type, depth + 1) for part in parts)
    text = types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind)
    number = types.is_integer(kind) or types.is_float32(kind) or types.is_float64(kind)
    return bool(text or number or types.is_boolean(kind) or types.is_null(kind))


def _read(batch: Any, before: int, problems: Problems) -> Iterator[Json | None]:
    """Yield the rows of a batch. Report a problem, and yield None, for a row whose text is not UTF-8."""
    try:
        yield from batch.to_pylist()
    except UnicodeDecodeError:
        for index in range(batch.num_rows):
            yield _read_one(batch.slice(index, 1), before + index + 1, problems)


def _read_one(batch: Any, number: int, problems: Problems) -> Json | None:
    row: Json = {}
    for name in batch.schema.names:
        try:
            row[name] = batch.column(name)[0].as_py()
        except UnicodeDecodeError as error:
            cause = f"not UTF-8 (byte 0x{error.object[error.start]:02x}); write the column anew as UTF-8 text"
            problems.add((number, name), cause)
            return None
    return row


def _features(schema: Any) -> dict[str, Any]:
    """Return the column features that `datasets` stored in a file, with the names of each ClassLabel."""
    noted = (schema.metadata or {}).get(b"huggingface")
    try:
        found = json.loads(noted)["info"]["features"] if noted else {}
    except (ValueError, KeyError, TypeError, RecursionError):
        return {}  # not written by `datasets`; numbers stay numbers, and the task's schema checks them
    return found if isinstance(found, dict) else {}


def _named(value: Any, feature: Any) -> Any:
    """Replace the numbers of ClassLabels in `value` with their names. -1 marks an unlabelled row."""
    if isinstance(value, list):
        inner = feature.get("feature") if isinstance(feature, dict) else None
        return [_named(part, inner) for part in value]
    if not isinstance(feature, dict):
        return value
    if isinstance(value, dict):
        return {name: _named(part, feature.get(name)) for name, part in value.items()}
    names = feature.get("names")
    if feature.get("_type") == "ClassLabel" and isinstance(names, list) and type(value) is int:
        return names[value] if 0 <= value < len(names) else (None if value == -1 else value)
    return value


def _fault(data: Json) -> tuple[str, str] | None:
    """Return the column and the reason if a row is not a JSON object within the size limit, else None."""
    size = 0
    for name, value in data.items():
        try:
            size += len(json.dumps(value, ensure_ascii=False, allow_nan=False))
        except ValueError:
            return name, "NaN and Infinity are not JSON; write a number or null"
        if size > limits.ROW_BYTES:
            return name, f"the row is longer than {limits.ROW_BYTES:,} characters; shorten it"
    return None


def _find(number: int, path: ValuePath, _part: str) -> Place:
    return (number, path[0] if path else 1)
