"""Parquet: only what JSON can say, in batches, each problem at its row and column."""

from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from synthgen.errors import InputError
from synthgen.records import Json
from synthgen.tasks.rows import Row, columnar, limits

Located = Callable[[Path], list[Row]]


@pytest.fixture
def refused(tmp_path: Path, located: Located) -> Callable[[Any], list[str]]:
    """The problems of a table, without the path."""

    def make(table: Any) -> list[str]:
        path = tmp_path / "rows.parquet"
        pq.write_table(table, path)
        with pytest.raises(InputError) as caught:
            located(path)
        return [line.removeprefix(f"{path}:") for line in str(caught.value).splitlines()[1:]]

    return make


def read(path: Path, located: Located, table: Any) -> list[Json]:
    pq.write_table(table, path)
    return [row.data for row in located(path)]


def test_rows_are_read_with_their_number_and_column(tmp_path: Path, located: Located) -> None:
    wanted: list[Json] = [
        {
            "text": "前锋梅开二度",
            "label": "体育",
            "count": 2,
            "share": 0.5,
            "fine": True,
            "tags": ["进球"],
            "about": {"who": "她"},
        },
        {"text": "", "label": "sport", "count": -1, "share": None, "fine": False, "tags": [], "about": {"who": "x"}},
    ]
    path = tmp_path / "rows.parquet"
    pq.write_table(pa.Table.from_pylist(wanted), path)
    rows = located(path)
    assert [row.data for row in rows] == wanted
    assert [row.place for row in rows] == [(1, 1), (2, 1)]
    assert rows[1].find(["about", "who"], "x") == (2, "about")


def test_null_is_a_field_that_is_not_there_unless_the_schema_allows_null(tmp_path: Path, located: Located) -> None:
    table = pa.table({
        "text": ["好", "坏"], "count": [None, 1], "share": [None, 0.5],
        "about": [{"who": None, "age": None}, {"who": "他", "age": 3}],
    })  # fmt: skip
    assert read(tmp_path / "a.parquet", located, table)[0] == {"text": "好", "share": None, "about": {"age": None}}


def test_a_class_label_is_read_as_its_name(tmp_path: Path, located: Located) -> None:
    names = datasets.ClassLabel(names=["sport", "体育"])
    columns = datasets.Features({"text": datasets.Value("string"), "label": names, "tags": datasets.List(names)})
    rows = {"text": ["一", "二", "三"], "label": [1, 0, -1], "tags": [[0, 1], [], [1]]}
    path = tmp_path / "rows.parquet"
    datasets.Dataset.from_dict(rows, features=columns).to_parquet(path)
    assert [row.data for row in located(path)] == [
        {"text": "一", "label": "体育", "tags": ["sport", "体育"]},
        {"text": "二", "label": "sport", "tags": []},
        {"text": "三", "tags": ["体育"]},
    ]


def test_categories_are_text(tmp_path: Path, located: Located) -> None:
    table = pa.table({"text": pa.array(["好", "坏", "好"]).dictionary_encode()})
    assert read(tmp_path / "a.parquet", located, table) == [{"text": "好"}, {"text": "坏"}, {"text": "好"}]


@pytest.mark.parametrize(
    ("column", "kind"),
    [
        (pa.array([datetime(2026, 1, 1)]), "timestamp[us]"),
        (pa.array([b"x"]), "binary"),
        (pa.array([[b"x"]]), "list<element: binary>"),
        (pa.array([[("a", 1)]], pa.map_(pa.string(), pa.int64())), "map<string, int64 ('tags')>"),
        (pa.array([1], pa.decimal128(3)), "decimal128(3, 0)"),
    ],
)
def test_a_type_without_a_json_equivalent_is_refused_by_name(
    column: Any, kind: str, refused: Callable[[Any], list[str]]
) -> None:
    found = refused(pa.table({"text": ["好"], "tags": column}))
    assert found == [f"0:tags: JSON has no {kind}; store the column as text or numbers"]


def test_columns_that_are_wrong_are_named(refused: Callable[[Any], list[str]]) -> None:
    assert refused(pa.table({"label": ["体育"], "标签": ["x"]})) == [
        "0:label: the column 'text' is missing; add it",
        "0:标签: the task has no field '标签'; remove it, or rename it",
    ]


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_number_without_a_json_equivalent_is_named_by_row_and_column(
    value: float, refused: Callable[[Any], list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(columnar, "BATCH", 2)
    table = pa.table({"text": ["a", "b", "c", "d"], "share": [0.0, value, 1.0, value]})
    assert refused(table) == [
        "2:share: NaN and Infinity are not JSON; write a number or null",
        "  and 1 more row with the same mistake: 4",
    ]


def test_bad_utf8_is_named_by_row_and_column(refused: Callable[[Any], list[str]]) -> None:
    raw = pa.array(["好".encode(), b"caf\xe9", b"ok"], pa.binary())
    table = pa.table({"label": ["体育"] * 3, "text": pa.Array.from_buffers(pa.string(), 3, raw.buffers())})
    assert refused(table) == ["2:text: not UTF-8 (byte 0xe9); write the column anew as UTF-8 text"]


def test_a_table_that_unpacks_to_too_much_is_not_read_on(
    refused: Callable[[Any], list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "FILE_BYTES", 100_000)
    (said,) = refused(pa.table({"text": ["好" * 1000] * 5000}))  # a few hundred bytes on disk
    assert said.endswith(": more than the 100,000 bytes that are read; split the file")


def test_a_row_and_a_table_have_limits(refused: Callable[[Any], list[str]], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "ROW_BYTES", 50)
    assert refused(pa.table({"text": ["好", "字" * 60]})) == [
        "2:text: the row is longer than 50 characters; shorten it"
    ]
    monkeypatch.setattr(limits, "FILE_ROWS", 2)
    assert refused(pa.table({"text": ["好"] * 3})) == ["0:1: 3 rows is more than the 2 that are read; split the file"]


def test_a_file_that_is_cut_off_is_no_parquet_file(tmp_path: Path, located: Located) -> None:
    path = tmp_path / "rows.parquet"
    pq.write_table(pa.table({"text": ["好"] * 100}), path)
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(InputError, match=r"rows\.parquet:1:1: not a readable Parquet file \(.+\); write it anew"):
        located(path)


def test_a_page_that_is_damaged_is_an_input_error(tmp_path: Path, located: Located) -> None:
    path = tmp_path / "rows.parquet"
    pq.write_table(pa.table({"text": [f"第{n}行" for n in range(1000)]}), path, use_dictionary=False)
    damaged = bytearray(path.read_bytes())
    damaged[40:400] = b"\xff" * 360
    path.write_bytes(damaged)
    with pytest.raises(InputError, match=r"rows\.parquet:"):
        located(path)
