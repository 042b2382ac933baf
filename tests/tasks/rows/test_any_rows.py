"""Properties: what is written is what is read, in every format; no bytes give anything but rows or an InputError."""

import csv
import gc
import gzip
import io
import json
import sys
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from synthgen.errors import InputError
from synthgen.records import Json
from synthgen.tasks.rows import Row

Located = Callable[[Path], list[Row]]

pytestmark = pytest.mark.filterwarnings("error")  # no file is left open
quick = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)


@pytest.fixture(scope="module", autouse=True)
def _nothing_of_others() -> None:
    """Collect what earlier tests left open, which these tests would be blamed for."""
    with warnings.catch_warnings(), pytest.MonkeyPatch.context() as patch:
        warnings.simplefilter("ignore")
        patch.setattr(sys, "unraisablehook", lambda _: None)
        gc.collect()


TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20) | st.sampled_from(
    [
        "前锋梅开二度",
        '他说"好"',
        "a,b;c\td",
        "两行\n一行",
        "\r\n",
        "\u2028\u2029\x85",
        "<|im_start|>",
        "🏆",
        "\ufeff",
        "\\u0000",
        "'=1+1",
    ]
)
NUMBER = st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False)
ANYTHING = st.recursive(
    st.none() | st.booleans() | NUMBER | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)
FIELDS: dict[str, st.SearchStrategy[Any]] = {
    "label": st.sampled_from(["体育", "sport"]),
    "count": st.integers(-(2**63), 2**63 - 1),
    "share": st.floats(allow_nan=False, allow_infinity=False),
    "fine": st.booleans(),
    "tags": st.lists(TEXT, max_size=3),
}
TYPED = st.lists(st.fixed_dictionaries({"text": TEXT, "about": st.fixed_dictionaries({"who": TEXT})}, optional=FIELDS))
PLAIN = st.lists(st.dictionaries(TEXT, ANYTHING, max_size=4))


def back(located: Located, name: str, content: bytes) -> list[Json]:
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / name).write_bytes(content)
        return [row.data for row in located(Path(folder) / name)]


@pytest.mark.slow
@quick
@given(
    rows=PLAIN,
    ascii_only=st.booleans(),
    end=st.sampled_from(["\n", "\r\n", "\n\n"]),
    mark=st.sampled_from(["", "\ufeff"]),
)
def test_json_lines_read_back(rows: list[Json], ascii_only: bool, end: str, mark: str, located: Located) -> None:
    text = mark + "".join(json.dumps(row, ensure_ascii=ascii_only) + end for row in rows)
    assert back(located, "rows.jsonl", text.encode()) == rows
    assert back(located, "rows.ndjson.gz", gzip.compress(text.encode())) == rows


@quick
@given(rows=PLAIN, ascii_only=st.booleans(), indent=st.none() | st.integers(0, 3))
def test_a_json_array_reads_back(rows: list[Json], ascii_only: bool, indent: int | None, located: Located) -> None:
    text = json.dumps(rows, ensure_ascii=ascii_only, indent=indent)
    assert back(located, "rows.json", text.encode()) == rows


@quick
@given(rows=PLAIN.filter(bool), indent=st.none() | st.integers(0, 3), index=st.integers(0))
def test_a_value_is_at_the_line_and_column_reported_for_it(
    rows: list[Json], indent: int | None, index: int, located: Located
) -> None:
    text = json.dumps(rows, ensure_ascii=False, indent=indent)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rows.json"
        path.write_bytes(text.encode())
        row = located(path)[index % len(rows)]
    lines = text.split("\n")
    for name, value in row.data.items():
        line, column = row.find([name], "")
        assert isinstance(column, int)
        found = json.JSONDecoder().raw_decode("\n".join([lines[line - 1][column - 1 :], *lines[line:]]))[0]
        assert found == value


@quick
@given(
    rows=TYPED,
    delimiter=st.sampled_from(",;\t"),
    end=st.sampled_from(["\n", "\r\n"]),
    quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
)
def test_csv_reads_back(rows: list[Json], delimiter: str, end: str, quoting: Any, located: Located) -> None:
    rows = [row for row in rows if "\0" not in row["text"]]
    names = ["text", "about", *FIELDS]
    file = io.StringIO()
    if end == "\n":
        quoting = csv.QUOTE_ALL  # the writer leaves a lone \r without quotes here, which is not CSV
    writer = csv.writer(file, delimiter=delimiter, lineterminator=end, quoting=quoting)
    writer.writerow(names)
    for row in rows:
        cells = [row.get(name, "") for name in names]
        writer.writerow([cell if isinstance(cell, str) else json.dumps(cell) for cell in cells])
    assert back(located, "rows.tsv" if delimiter == "\t" else "rows.csv", file.getvalue().encode()) == rows


@quick
@given(rows=TYPED, size=st.integers(1, 5))
def test_parquet_reads_back(rows: list[Json], size: int, located: Located) -> None:
    schema = pa.schema({
        "text": pa.string(), "label": pa.string(), "count": pa.int64(), "share": pa.float64(), "fine": pa.bool_(),
        "tags": pa.list_(pa.string()), "about": pa.struct({"who": pa.string()}),
    })  # fmt: skip
    file = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows, schema), file, row_group_size=size)
    wanted = [{**row, "share": row.get("share")} for row in rows]  # whose schema allows null
    assert back(located, "rows.parquet", file.getvalue()) == wanted


NAMES = ["r.jsonl", "r.json", "r.csv", "r.tsv", "r.parquet", "r.jsonl.gz", "r.json.gz", "r.csv.gz", "r.txt"]
PIECES = st.sampled_from([
    b'{"text": ', b'"', b"[", b"]", b"{", b"}", b",", b":", b"\n", b"\r", b"\\", b"text,count\n", b"text;label\n", b"PAR1",
    b"\0", b"NaN", b"1e999", b"\xef\xbb\xbf", b"\xff\xfe", b"\xed\xa0\x80", "球".encode(), b'"\\ud800"', gzip.compress(b"{}\n"),
])  # fmt: skip
BYTES = st.binary(max_size=200) | st.lists(PIECES, max_size=30).map(b"".join)


@settings(quick, max_examples=150)
@given(name=st.sampled_from(NAMES), content=BYTES, packed=st.booleans())
def test_no_bytes_give_anything_but_rows_or_an_input_error(
    name: str, content: bytes, packed: bool, located: Located
) -> None:
    try:
        rows = back(located, name, gzip.compress(content) if packed else content)
    except InputError as error:
        assert str(error).isprintable() or "\n" in str(error)
        return
    for row in rows:
        json.dumps(row, allow_nan=False, ensure_ascii=False).encode()


@settings(quick, max_examples=100)
@given(at=st.integers(0, 2000), junk=st.binary(min_size=1, max_size=8), cut=st.integers(0, 2000))
def test_a_damaged_parquet_file_gives_rows_or_an_input_error(at: int, junk: bytes, cut: int, located: Located) -> None:
    file = io.BytesIO()
    pq.write_table(pa.table({"text": ["前锋", "梅开二度"] * 20, "count": list(range(40))}), file)
    content = bytearray(file.getvalue())
    content[at : at + len(junk)] = junk
    try:
        back(located, "rows.parquet", bytes(content[: len(content) - cut] if cut < 100 else content))
    except InputError:
        return
