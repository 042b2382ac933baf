"""Rated rows: read like seeds, refused by file and line, and never eval rows."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from synthgen.errors import ConfigError, InputError
from synthgen.judge.judge import JudgeConfig, read_calibration
from synthgen.judge.labelled import Rated, read_rated
from synthgen.judge.rubric import RubricConfig
from synthgen.records import Json
from synthgen.tasks.task import Task


def row(number: int, rating: Any, **changes: Any) -> Json:
    return {"text": f"The striker scored {number} times.", "label": "sport", "rating": rating, **changes}


ENOUGH = [row(number, "good" if number < 5 else "bad") for number in range(10)]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "rated.jsonl"


def read(file: Path, rows: list[Json], task: Task, eval_rows: list[Json] | None = None) -> list[Rated]:
    file.write_text("".join(json.dumps(one) + "\n" for one in rows), encoding="utf-8")
    return read_rated(file, task, eval_rows or [])


def refusal(file: Path, rows: list[Json], task: Task, eval_rows: list[Json] | None = None) -> str:
    with pytest.raises(InputError) as caught:
        read(file, rows, task, eval_rows)
    return str(caught.value)


def test_good_bad_and_grades_are_read(file: Path, news_task: Task) -> None:
    more = [row(20, {"natural": 5, "fitting": 4}), row(21, {"fitting": 1.5}), row(22, {"natural": 4, "fitting": 2})]
    found = read(file, [*ENOUGH, *more], news_task)
    assert [one.good for one in found] == [True] * 5 + [False] * 5 + [True, False, None]
    assert found[10].data == {"text": "The striker scored 20 times.", "label": "sport"}
    assert found[12].grades == {"natural": 4.0, "fitting": 2.0}
    assert [found[12].good_by(name) for name in ("natural", "fitting")] == [True, False]
    assert found[0].good_by("natural") is True
    assert len({one.id for one in found}) == 13


def test_a_table_has_its_grades_as_json(file: Path, news_task: Task) -> None:
    table = file.with_suffix(".csv")
    lines = [f"The striker scored {n} times.,sport,{'good' if n < 5 else 'bad'}" for n in range(10)]
    lines.append('Shares fell.,business,"{""natural"": 5, ""fitting"": 4}"')
    table.write_text("\n".join(["text,label,rating", *lines]) + "\n", encoding="utf-8")
    found = read_rated(table, news_task, [])
    assert len(found) == 11
    assert found[-1].grades == {"natural": 5.0, "fitting": 4.0}


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (row(20, "fine"), ':11:70: rating: \'fine\' is not "good", "bad", or grades from 1 to 5'),
        (row(20, 4), ':11:70: rating: write "good"'),
        (row(20, {}), ':11:70: rating: write "good"'),
        (row(20, {"nature": 4}), ":11:70: rating: 'nature' is not a criterion of task.rubric; it has natural, fitting"),
        (row(20, {"natural": 6}), ":11:70: rating.natural: 6 is not a grade from 1 to 5"),
        (row(20, {"natural": "5"}), ":11:70: rating.natural: '5' is not a grade from 1 to 5"),
        (row(20, {"natural": True}), ":11:70: rating.natural: True is not a grade from 1 to 5"),
        ({"text": "Shares fell today.", "label": "business"}, ":11:1: lacks the field 'rating'; add it"),
        (row(20, "good", label="Sport"), "(did you mean 'sport'?)"),
        (row(20, "good", text="Goal <|im_end|> again"), "is a control token of chat templates"),
        (row(0, "bad"), ":11:1: repeats the sample of"),
    ],
)
def test_a_row_that_cannot_be_used_is_named_with_cause_and_cure(
    bad: Json, message: str, file: Path, news_task: Task
) -> None:
    said = refusal(file, [*ENOUGH, bad], news_task)
    assert said.startswith(f"the calibration file cannot be used:\n{file}:11:")
    assert message in said


def test_an_eval_row_is_refused_however_it_is_written(file: Path, news_task: Task) -> None:
    held_out = [{"text": "the STRIKER  scored 3 times.", "label": "world"}]
    said = refusal(file, ENOUGH, news_task, held_out)
    assert f"{file}:4:1: a row of" in said
    assert "has the same input; a judge must not be calibrated on eval rows" in said


def test_too_few_of_a_kind_are_refused(file: Path, news_task: Task) -> None:
    said = refusal(file, ENOUGH[:9], news_task)
    assert said.startswith(f"{file}: 5 good and 4 bad rows; calibrating a judge needs at least 5 of each")


def test_a_task_with_a_field_called_rating_is_refused(file: Path, news_task: Task) -> None:
    properties = {**news_task.schema["properties"], "rating": {"type": "string"}}
    task = replace(news_task, schema={**news_task.schema, "properties": properties})
    assert "the task has a field 'rating' of its own" in refusal(file, ENOUGH, task)


def test_rows_for_a_judge_that_the_run_has_not_are_refused(file: Path, news_task: Task) -> None:
    cfg = JudgeConfig(rubric=RubricConfig(enabled=False), calibration=str(file))
    with pytest.raises(ConfigError, match="this run has no rubric judge to calibrate"):
        read_calibration(cfg, news_task, [], [])
