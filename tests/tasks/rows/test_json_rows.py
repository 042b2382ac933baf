"""JSON Lines and JSON arrays: every element at its own line and column, however the file is laid out."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from synthgen.records import Json
from synthgen.tasks.rows import Row, limits, textfiles

Located = Callable[[Path], list[Row]]
Read = Callable[..., list[Json]]
Refused = Callable[..., list[str]]


def test_an_elements_place_is_its_own_in_a_file_of_many_lines(tmp_path: Path, located: Located) -> None:
    path = tmp_path / "rows.json"
    path.write_text('[{"text": "一"}, {"text": "二"},\n\n\t{"text":\n  "三"}]\n', encoding="utf-8")
    rows = located(path)
    assert [row.place for row in rows] == [(1, 2), (1, 17), (3, 2)]
    assert rows[2].find(["text"], "") == (4, 3)


def test_a_value_is_found_by_its_path_and_a_part_of_it_too(tmp_path: Path, located: Located) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text('  {"a": {"text": 1}, "tags": ["x", {"}": "一"}], "text": "前锋 <s> 进球"}\n', encoding="utf-8")
    (row,) = located(path)
    line = path.read_text(encoding="utf-8")
    assert row.place == (1, 3)
    assert row.find(["text"], "") == (1, line.index('"前锋') + 1)
    assert row.find(["text"], "<s>") == (1, line.index("<s>") + 1)
    assert row.find(["a", "text"], "") == (1, line.index("1}") + 1)
    assert row.find(["tags", 1], "") == (1, line.index('{"}"') + 1)
    assert row.find(["tags", 1, "}"], "") == (1, line.index('"一"') + 1)
    assert row.find(["tags", 7], "") == (1, line.index('["x"') + 1)  # the nearest there is
    assert row.find([], "") == (1, 3)


def test_a_key_that_is_spelt_with_escapes_is_found(tmp_path: Path, located: Located) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text('{"\\u6587": 1, "text": "x"}\n')
    (row,) = located(path)
    assert row.find(["文"], "") == (1, 12)


@pytest.mark.parametrize("chunk", [1, 2, 3, 7, 64])
def test_elements_are_the_same_wherever_the_chunks_end(
    chunk: int, tmp_path: Path, located: Located, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(textfiles, "_CHUNK", chunk)
    wanted = [{"text": 'a "quoted" \\ [text], {too}'}, {"text": "前锋\n下半场🏆"}, {"text": "", "tags": ["]", "}"]}]
    path = tmp_path / "rows.json"
    for indent in (None, 2):
        path.write_text(json.dumps(wanted, ensure_ascii=False, indent=indent), encoding="utf-8")
        rows = located(path)
        assert [row.data for row in rows] == wanted
        lines = path.read_text(encoding="utf-8").split("\n")
        for row in rows:
            line, column = row.place
            assert isinstance(column, int)
            assert lines[line - 1][column - 1] == "{"


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("{}", "1:1: not an array; write one array of objects, [{...}, {...}]; if it holds one object a line, name it"),
        ("7", "1:1: not an array; write one array of objects"),
        ('[{"text": "一"}', "1:15: the array is not closed; write one array of objects"),
        ('[{"text": "一"},\n]', "2:1: an element is missing; "),
        ('[, {"text": "一"}]', "1:2: an element is missing; "),
        ('[{"text": "一"}] []', "1:17: text behind the array; "),
        ('[{"text": "一"} {"text": "二"}]', "1:16: not JSON: Extra data; "),
        ('[\n {"text": 一}]', "2:11: not JSON: Expecting value; "),
        ('[\n "球赛", 3]', "2:2: a text, not an object; "),
        ('[{"text": "一"}, {"text": "二]', "1:26: not JSON: Unterminated string starting at; "),
        (
            '[{"text": "一",\n  "a": {"b": 1,\n "b": 2}}]',
            "3:2: not usable JSON: the key 'b' appears twice in one object",
        ),
        ("[[[]}]", "1:5: not JSON: Expecting ',' delimiter; "),
        ("[", "1:2: an element is missing; "),
    ],
)
def test_a_problem_in_an_array_is_reported_with_its_place(content: str, problem: str, refused: Refused) -> None:
    assert refused("rows.json", content)[0].startswith(problem)


def test_reading_continues_behind_a_bad_element(refused: Refused) -> None:
    found = refused("rows.json", '[1,\n{"text": NaN},\n {"text": "好"}, "x"]')
    assert [problem.split(": ")[0] for problem in found] == ["1:2", "2:10", "3:17"]


def test_bad_utf8_in_an_array_is_named_by_line_and_column(refused: Refused) -> None:
    found = refused("rows.json", '[{"text": "好"},\n {"text": "球'.encode() + b"\xff")
    assert found == ["2:13: not UTF-8 (byte 0xff); save the file as UTF-8"]


def test_a_character_that_is_cut_off_at_the_end_is_not_utf8(refused: Refused) -> None:
    assert refused("rows.json", '[{"text": "球'.encode()[:-1])[0].startswith("1:12: not UTF-8 (byte 0xe7)")


def test_a_second_byte_order_mark_is_not_passed_over(refused: Refused) -> None:
    assert refused("rows.jsonl", '\ufeff{"text": "a"}\n\ufeff{"text": "b"}')[0].startswith(
        "2:1: not JSON: Unexpected UTF-8 BOM"
    )


def test_too_many_rows_are_refused(refused: Refused, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "FILE_ROWS", 2)
    assert refused("rows.jsonl", '{"text": "好"}\n' * 3) == ["3:1: more than 2 lines; split the file"]
    assert refused("rows.json", json.dumps([{"text": "好"}] * 3)) == ["1:41: more than 2 rows; split the file"]


def test_as_many_rows_as_are_allowed_are_read(read: Read, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "FILE_ROWS", 2)
    assert (
        len(read("rows.jsonl", '{"text": "好"}\n' * 2)) == len(read("rows.json", json.dumps([{"text": "a"}] * 2))) == 2
    )


def test_text_that_grows_past_the_limit_is_not_read_on(refused: Refused, monkeypatch: pytest.MonkeyPatch) -> None:
    import gzip

    monkeypatch.setattr(limits, "FILE_BYTES", 1000)
    said = refused("rows.jsonl.gz", gzip.compress('{"text": "好"}\n'.encode() * 200))
    assert said[0].endswith(": more than the 1,000 bytes that are read; split the file")


def test_a_file_that_cannot_be_read_on_is_an_input_error(refused: Refused, monkeypatch: pytest.MonkeyPatch) -> None:
    from synthgen.tasks.rows import stream

    class Failing:
        def __init__(self, *_: object, **__: object) -> None: ...

        def read1(self, _: int) -> bytes:
            raise OSError(5, "Input/output error")

    monkeypatch.setattr(stream.gzip, "GzipFile", Failing)  # type: ignore[attr-defined]
    assert refused("rows.jsonl.gz", b"x") == ["1:1: cannot be read on: Input/output error; check the disk"]


def test_what_a_message_quotes_cannot_move_the_cursor(refused: Refused) -> None:
    assert "\x1b" not in refused("rows.csv", "text,\x1b[2J\n")[0]
