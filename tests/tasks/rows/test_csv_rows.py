"""CSV: cells typed by the schema, records that span lines, and every problem at its cell."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from synthgen.records import Json
from synthgen.tasks.rows import Row, limits

Located = Callable[[Path], list[Row]]
Read = Callable[..., list[Json]]
Refused = Callable[..., list[str]]


@pytest.mark.parametrize(
    ("column", "cell", "value"),
    [
        ("count", "3", 3),
        ("count", " -12 ", -12),
        ("share", "0.5", 0.5),
        ("share", "3", 3),
        ("share", "null", None),
        ("fine", "true", True),
        ("fine", "FALSE", False),
        ("tags", '"[""进球"", ""b""]"', ["进球", "b"]),
        ("about", '"{""who"": ""她"", ""age"": null}"', {"who": "她", "age": None}),
        ("label", "体育", "体育"),
        ("label", "3", "3"),
    ],
)
def test_a_cell_is_read_as_the_type_of_its_field(column: str, cell: str, value: Any, read: Read) -> None:
    assert read("rows.csv", f"text,{column}\n007,{cell}\n") == [{"text": "007", column: value}]


def test_text_stays_text_whatever_it_looks_like(read: Read) -> None:
    cells = ["007", "1e5", "true", "null", " 两端有空格 ", "=1+1", "[1]", "NaN"]
    assert [row["text"] for row in read("rows.csv", "text\n" + "\n".join(cells))] == cells


def test_an_empty_cell_is_a_field_that_is_not_there_unless_it_must_be(read: Read) -> None:
    assert read("rows.csv", "text,count,label\n,,\n") == [{"text": ""}]


def test_a_quoted_cell_may_hold_quotes_delimiters_and_line_breaks(tmp_path: Path, located: Located) -> None:
    path = tmp_path / "rows.csv"
    path.write_bytes('text,label\r\n"他说 ""好"",\r\n\n然后走了",sport\r\n\r\n短讯,体育'.encode())
    rows = located(path)
    assert [row.data for row in rows] == [
        {"text": '他说 "好",\r\n\n然后走了', "label": "sport"},
        {"text": "短讯", "label": "体育"},
    ]
    assert [row.place for row in rows] == [(2, 1), (6, 1)]
    assert rows[0].find(["label"], "") == (4, 7)
    assert rows[0].find(["text"], "走了") == (4, 3)
    assert rows[1].find(["label"], "") == (6, 4)


@pytest.mark.parametrize("mark", [",", ";", "\t"])
def test_the_header_says_what_splits_it(mark: str, read: Read) -> None:
    assert read("rows.csv", f"text{mark}label\n一，二{mark}sport\n") == [{"text": "一，二", "label": "sport"}]


def test_of_two_delimiters_the_one_that_gives_known_columns_is_taken(read: Read) -> None:
    changes: Json = {"others": "keep"}
    assert read("rows.csv", '"a;b",text\n1,好\n', **changes) == [{"a;b": "1", "text": "好"}]


def test_a_header_that_two_delimiters_may_split_is_refused(refused: Refused) -> None:
    found = refused("rows.csv", "text;a,label\n1;2,3\n")
    assert found == ["1:1: the header may be split at ',' and ';'; use commas, or tabs and the name .tsv"]


def test_a_tsv_file_is_split_at_tabs(read: Read) -> None:
    assert read("rows.tsv", "text\n一,二;三\n") == [{"text": "一,二;三"}]


def test_columns_that_are_not_wanted_are_not_looked_at(read: Read) -> None:
    schema: Json = {"type": "object", "properties": {"text": {"type": "string"}}}
    changes: Json = {"schema": schema, "others": "drop"}
    assert read("rows.csv", "id,text,count\nx,好,many\n", **changes) == [{"text": "好"}]


def test_every_column_that_is_wrong_is_named_at_its_place(refused: Refused) -> None:
    assert refused("rows.csv", "label,标签,,label\n") == [
        "1:1: the column 'text' is missing; add it",
        "1:7: the task has no field '标签'; remove it, or rename it",
        "1:10: a column without a name; name it, or remove it",
        "1:11: the column 'label' appears twice; rename or remove one",
    ]


def test_header_names_in_another_case_are_reported_with_the_fields_meant(refused: Refused) -> None:
    assert refused("rows.csv", "Text;Label\n好;sport\n") == [
        "1:1: the task has no field 'Text'; did you mean 'text'? rename the column",
        "1:6: the task has no field 'Label' (did you mean 'label'?); remove it, or rename it",
    ]
    assert refused("rows.csv", "Text;label\n好;sport\n") == [
        "1:1: the task has no field 'Text'; did you mean 'text'? rename the column",
    ]


def test_a_misspelt_column_is_named_also_where_others_are_left_alone(refused: Refused) -> None:
    assert refused("rows.csv", "TEXT,note\n好,x\n", others="drop") == [
        "1:1: the task has no field 'TEXT'; did you mean 'text'? rename the column",
    ]


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ("好,很多", "2:3: count: '很多' is not an integer; write it as JSON"),
        ("好,3.5", "2:3: count: '3.5' is not an integer; write it as JSON"),
        ("好,007", "2:3: count: '007' is not an integer; write it as JSON"),
        ('好,"""3"""', "2:4: count: '\"3\"' is not an integer; write it as JSON"),
        ("好, ", "2:3: count: ' ' is not an integer; write it as JSON"),
        ("好,NaN", "2:3: not usable JSON: NaN is not JSON; "),
        ("好," + "9" * 5000, "2:3: not usable JSON: the number 99999999999999999999... is too large"),
        ("好," + "[" * 100_000, "2:3: not usable JSON: nested deeper than 100 levels"),
        ("好", "2:1: 1 cells, and the header has 2; quote a cell that holds ','"),
        ("好,3,4,5", "2:5: 4 cells, and the header has 2; quote a cell that holds ','"),
        ('"好"吗,3', "2:1: not CSV: ',' expected after '\"'; double a quote that is text, and put the cell in quotes"),
        ('"好\n\n,3', "2:1: not CSV: a quote is opened and not closed; close it, or double a quote that is text"),
        ("好\r坏,3\n", "2:1: not CSV: a carriage return inside a line; save the file with \\n or \\r\\n"),
    ],
)
def test_a_bad_record_is_named_at_its_cell(row: str, problem: str, refused: Refused) -> None:
    assert refused("rows.csv", f"text,count\n{row}")[0].startswith(problem)


def test_reading_continues_behind_a_bad_record(refused: Refused) -> None:
    found = refused("rows.csv", 'text,count\n"两\n行",x\n好\n好,1\n"a"b,1\n好,y\n')
    assert [problem.split(": ")[0] for problem in found] == ["3:4", "4:1", "6:1", "7:3"]


def test_a_record_of_many_lines_has_a_limit(refused: Refused, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "ROW_BYTES", 100)
    found = refused("rows.csv", 'text,count\n"open\n' + "一行\n" * 50)
    assert found == ["2:1: the record is longer than 100 bytes; is a quote left open?"]


def test_bad_bytes_do_not_hide_what_else_is_wrong(refused: Refused) -> None:
    found = refused("rows.csv", b"text,count\n\xff,1\na\0b,2\nc,x\n")
    assert [problem.split(": ")[0] for problem in found] == ["2:1", "3:2", "4:3"]
