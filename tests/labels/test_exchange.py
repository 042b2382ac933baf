"""Samples that go out in a file, and answers that come back."""

import csv
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from synthgen.cli import dispatch
from synthgen.records import PersonAnswer, Sample
from synthgen.run.labelling.options import LabelOptions

Make = Callable[..., Path]
Answers = Callable[[Path], list[PersonAnswer]]


def label(*arguments: str) -> int:
    return dispatch(["label", "run", *arguments])


def test_jsonl_goes_out_with_id_fields_and_labels_and_comes_back(
    make_run: Make, answers_of: Answers, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = make_run()
    assert label("--export", "out.jsonl", "--count", "8") == 0
    assert capsys.readouterr().out.splitlines()[-1] == "synthgen label run --import out.jsonl"
    assert answers_of(folder) == []
    rows = [json.loads(line) for line in Path("out.jsonl").read_text().splitlines()]
    assert len({row["id"] for row in rows}) == 8
    assert all(set(row) == {"id", "text", "label", "labels"} and row["labels"] == {row["label"]: 1.0} for row in rows)
    assert {row["label"] for row in rows} == {"business", "science", "sport", "world"}
    for number, row in enumerate(rows):
        row["answer"] = None if number == 0 else "sport"
        if number == 1:
            row["annotator"] = "ben"
    Path("back.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert label("--import", "back.jsonl") == 0
    assert "8 answers in" in (said := capsys.readouterr().out) and "8 new" in said
    found = {answer.sample_id: answer for answer in answers_of(folder)}
    assert found[rows[0]["id"]][1:3] == ("anna", None)
    assert found[rows[1]["id"]][1:3] == ("ben", "sport")
    before = answers_of(folder)
    assert label("--import", "back.jsonl") == 0
    assert answers_of(folder) == before, "a second import of the same file changes nothing"
    assert "0 new, 8 known already" in capsys.readouterr().out
    assert label("--export", "next.jsonl") == 0
    asked = {json.loads(line)["id"] for line in Path("next.jsonl").read_text().splitlines()}
    assert asked == _all(folder) - set(found) | {rows[1]["id"]}, "anna has not answered ben's"


def _all(folder: Path) -> set[str]:
    from synthgen.ledger import Reader

    with Reader(folder / "ledger.sqlite") as reader:
        return {key for (key,) in reader.rows("SELECT id FROM samples WHERE origin = 'synthetic'")}


def test_a_table_is_safe_for_spreadsheets_and_empty_answers_are_none_yet(
    make_run: Make, answers_of: Answers, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = make_run(["=HYPERLINK(1)", "two\nlines", "three", "four"])
    assert label("--export", "out.csv", "--annotator", "carl") == 0
    with Path("out.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert "'=HYPERLINK(1)" in {row["text"] for row in rows}
    assert all(row["answer"] == row["annotator"] == "" for row in rows)
    rows[0]["answer"], rows[1]["answer"] = "science", "null"
    with Path("out.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    assert label("--import", "out.csv", "--annotator", "carl") == 0
    assert {answer[:3] for answer in answers_of(folder)} == {
        (rows[0]["id"], "carl", "science"), (rows[1]["id"], "carl", None),
    }  # fmt: skip
    assert "2 rows without an answer left out" in capsys.readouterr().out


def test_every_bad_line_is_named_and_nothing_is_written(
    make_run: Make, answers_of: Answers, accepted_of: Callable[[Path], list[Sample]], capsys: pytest.CaptureFixture[str]
) -> None:
    folder = make_run()
    good, other, third, *_ = [sample.id for sample in accepted_of(folder)]
    from synthgen.ledger import Reader

    with Reader(folder / "ledger.sqlite") as reader:
        seed = reader.one("SELECT id FROM samples WHERE origin = 'seed'")
    lines = [
        json.dumps({"id": good, "answer": "sport"}),
        json.dumps({"id": "f" * 32, "answer": "sport"}),
        json.dumps({"id": other, "answer": "Sport"}),
        json.dumps({"id": other}),
        json.dumps({"answer": "sport"}),
        json.dumps({"id": third, "answer": 3}),
        json.dumps({"id": third, "answer": None, "annotator": "x\u001b[31m"}),
        json.dumps({"id": good, "answer": "world"}),
        json.dumps({"id": seed, "answer": "world"}),
        "{",
    ]
    Path("back.jsonl").write_text("\n".join(lines) + "\n")
    assert label("--import", "back.jsonl") == 2
    said = capsys.readouterr().err
    place = Path("back.jsonl").absolute()
    for number, words in {
        2: "accepted no sample",
        3: "did you mean 'sport'?",
        4: "lacks the field 'answer'",
        5: "lacks the field 'id'",
        6: "is not a valid answer; give one of business, science, sport, world",
        7: "annotator: give a name",
        8: "anna gives a different answer in",
        9: "is a seed",
        10: "",
    }.items():
        assert f"{place}:{number}:" in said and words in said, (number, said)
    assert answers_of(folder) == []


def test_a_task_without_labels_takes_good_and_nothing_else(
    make_run: Make, answers_of: Answers, accepted_of: Callable[[Path], list[Sample]], capsys: pytest.CaptureFixture[str]
) -> None:
    folder = make_run(labels={})
    one, two, *_ = [sample.id for sample in accepted_of(folder)]
    Path("back.jsonl").write_text(json.dumps({"id": one, "answer": "sport"}) + "\n")
    assert label("--import", "back.jsonl") == 2
    assert 'the task has no labels; give "good", or null' in capsys.readouterr().err
    rows = [{"id": one, "answer": "good"}, {"id": two, "answer": None}]
    Path("back.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert label("--import", "back.jsonl") == 0
    assert {answer[:3] for answer in answers_of(folder)} == {(one, "anna", "good"), (two, "anna", None)}


def test_the_command_that_goes_on_opens_the_page_on_the_same_port() -> None:
    assert LabelOptions(web=True, port=8010).page == ["--web", "--port", "8010"]
    assert LabelOptions(web=True).page == ["--web"] and LabelOptions(port=8010).page == []


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--export", "out.xlsx"], "name a file that ends in"),
        (["--export", "taken.jsonl"], "exists already and may contain answers"),
        (["--export", "nowhere/out.jsonl"], "there is no such folder"),
        (["--import", "empty.jsonl"], "no rows"),
        (["--import", "missing.jsonl"], "missing.jsonl"),
        (["--export", "a.jsonl", "--web"], "exclude each other"),
        (["--count", "0"], "whole number from 1"),
        (["--port", "x"], "whole number"),
        (["--then", "resume"], "--then: 'resume' is not 'train'"),
        (["--annotator", "a\u200bb"], "printable characters"),
        (["--colour"], "there is no option"),
    ],
)
def test_what_cannot_be_done_is_said_before_anything_is_asked(
    arguments: list[str], words: str, make_run: Make, capsys: pytest.CaptureFixture[str]
) -> None:
    make_run()
    Path("taken.jsonl").write_text("mine")
    Path("empty.jsonl").write_text("")
    assert label(*arguments) == 2
    assert words in capsys.readouterr().err
    assert Path("taken.jsonl").read_text() == "mine"


def test_a_field_that_the_file_needs_for_itself_is_refused(make_run: Make, capsys: pytest.CaptureFixture[str]) -> None:
    make_run(extra={"id": "x", "answer": "y"})
    assert label("--export", "out.jsonl") == 2
    assert "the task has a field 'id'" in capsys.readouterr().err
