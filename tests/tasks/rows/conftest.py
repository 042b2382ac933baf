"""A schema with a field of every type, and how the rows of a file are read against it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from synthgen.errors import InputError
from synthgen.records import Json
from synthgen.tasks.rows import Columns, Problems, Row, read_rows

SCHEMA: Json = {
    "type": "object",
    "properties": {
        "text": {"type": "string"},
        "label": {"enum": ["体育", "sport"]},
        "count": {"type": "integer"},
        "share": {"type": ["number", "null"]},
        "fine": {"type": "boolean"},
        "tags": {"type": "array", "items": {"type": "string"}},
        "about": {"$ref": "#/$defs/about"},
    },
    "required": ["text"],
    "$defs": {
        "about": {"type": "object", "properties": {"who": {"type": "string"}, "age": {"type": ["integer", "null"]}}}
    },
}
COLUMNS = Columns(SCHEMA, frozenset(SCHEMA["required"]), "refuse")


def rows_of(path: Path, columns: Columns = COLUMNS) -> list[Row]:
    """The rows of a file without problems. Raises InputError for one with."""
    problems = Problems(path, "seed")
    rows = list(read_rows(path, columns, problems))
    problems.raise_any()
    return rows


@pytest.fixture
def located() -> Callable[[Path], list[Row]]:
    """`located(path)`: the rows of a file, each with its place."""
    return rows_of


@pytest.fixture
def read(tmp_path: Path) -> Callable[..., list[Json]]:
    """`read(name, content)`: the data of a file's rows."""

    def make(name: str, content: str | bytes, **changes: Any) -> list[Json]:
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return [row.data for row in rows_of(path, Columns(**{**vars(COLUMNS), **changes}))]

    return make


@pytest.fixture
def refused(tmp_path: Path, read: Callable[..., list[Json]]) -> Callable[..., list[str]]:
    """`refused(name, content)`: the problems of a file, each without the path before its line and column."""

    def make(name: str, content: str | bytes, **changes: Any) -> list[str]:
        with pytest.raises(InputError) as caught:
            read(name, content, **changes)
        return [line.removeprefix(f"{tmp_path / name}:") for line in str(caught.value).splitlines()[1:]]

    return make
