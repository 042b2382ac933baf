"""Eval rows are real texts: types, fields and labels bind them; lengths and patterns, which are the generator's, do not."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from synthgen.cli import dispatch
from synthgen.errors import InputError
from synthgen.filters.rules import EvalOverlap, FiltersConfig
from synthgen.judge.labelled import read_rated
from synthgen.records import Candidate, Json
from synthgen.tasks.loading import load_task
from synthgen.tasks.schemas import without_bounds
from synthgen.tasks.seeds import read_samples
from synthgen.tasks.task import Task, TaskConfig

LONG = "The harbour authority said on Monday that the ferry would sail again. " * 300
EVAL: list[Json] = [
    {"text": "Goal!", "label": "sport"},
    {"text": "", "label": "world"},
    {"text": LONG, "label": "world"},
    {"text": "Banks raised their rates twice this year.", "label": "business"},
]


def written(path: Path, rows: list[Json]) -> Path:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return path


def free_task(properties: Json, **schema: Any) -> Task:
    """A task of these fields and a label."""
    label = {"enum": ["a", "b"]}
    return load_task(
        TaskConfig(
            name="free",
            kind="classification",
            schema={"type": "object", "properties": {**properties, "label": label}, "required": ["label"], **schema},
            input=[next(iter(properties))],
            target=["label"],
            prompts="classification",
            seeds="examples/news_topic/seeds.jsonl",
        )
    )


SHORT = {"type": "string", "minLength": 3, "maxLength": 5}
CODE = {"type": "string", "pattern": "^[A-Z]{3}$", "format": "hostname"}
PLACES: dict[str, tuple[Json, Json, Any]] = {
    "a field": (SHORT, {}, "longer than five"),
    "an empty text": (SHORT, {}, ""),
    "a pattern": (CODE, {}, "lower case, with blanks"),
    "an array that is too long": ({"type": "array", "items": SHORT, "maxItems": 1}, {}, ["abcd", "abce"]),
    "an array that is too short": ({"type": "array", "minItems": 2}, {}, []),
    "items of an array": ({"type": "array", "items": SHORT}, {}, ["x", "longer than five"]),
    "items one by one": ({"type": "array", "prefixItems": [SHORT, CODE]}, {}, ["longer than five", "x"]),
    "a field of an object": (
        {"type": "object", "properties": {"format": SHORT}, "additionalProperties": False}, {}, {"format": "too long"},
    ),
    "a definition": ({"$ref": "#/$defs/short"}, {"$defs": {"short": SHORT}}, "longer than five"),
    "one of several": ({"anyOf": [{"type": "null"}, SHORT]}, {}, "longer than five"),
    "one and no other": ({"oneOf": [{**SHORT, "maxLength": 4}, {"type": "string", "minLength": 9}]}, {}, "in the gap"[:6]),
    "all of several": ({"allOf": [{"type": "string"}, {"maxLength": 4}]}, {}, "longer than five"),
    "none of several": ({"type": "string", "not": {"pattern": "^http"}}, {}, "https://example.org"),
}  # fmt: skip


@pytest.mark.parametrize("place", PLACES)
def test_lengths_and_patterns_bind_seeds_and_no_eval_rows_wherever_they_stand(place: str, tmp_path: Path) -> None:
    field, more, value = PLACES[place]
    task = free_task({"field": field}, **more)
    file = written(tmp_path / "rows.jsonl", [{"field": value, "label": "a"}])
    assert read_samples(file, task, "eval") == [{"field": value, "label": "a"}]
    with pytest.raises(InputError, match=r"rows\.jsonl:1:"):
        read_samples(file, task, "seed")


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        (SHORT, 7, 'field: 7 is not of type "string"'),
        ({"type": "array", "items": SHORT}, [7], 'field.0: 7 is not of type "string"'),
        ({"enum": ["maxLength"]}, "minLength", 'field: "minLength" is not'),
        ({"const": {"maxLength": 3}}, {}, "field: "),
        ({"type": "integer", "maximum": 5}, 6, "field: 6 is greater than the maximum of 5"),
        ({"anyOf": [{"type": "null"}, SHORT]}, True, "field: true is not valid under any"),
        ({"oneOf": [{"type": "null"}, SHORT]}, True, "field: true is not valid under any"),
        ({"not": {"type": "string"}}, "text", "field: "),
    ],
)
def test_types_and_choices_bind_eval_rows(field: Json, value: Any, said: str, tmp_path: Path) -> None:
    task = free_task({"field": field})
    with pytest.raises(InputError) as caught:
        read_samples(written(tmp_path / "rows.jsonl", [{"field": value, "label": "a"}]), task, "eval")
    assert said in str(caught.value)


@pytest.mark.parametrize("row", [{"label": "c"}, {"field": "abc"}, {"field": "abc", "label": "a", "other": 1}])
def test_labels_and_fields_bind_eval_rows(row: Json, tmp_path: Path) -> None:
    with pytest.raises(InputError):
        read_samples(written(tmp_path / "rows.jsonl", [row]), free_task({"field": SHORT}), "eval")


def test_a_property_that_is_called_like_a_bound_stays_a_property() -> None:
    schema = {"properties": {"maxLength": {"type": "string", "maxLength": 3}}, "enum": [{"pattern": "x"}]}
    assert without_bounds(schema) == {"properties": {"maxLength": {"type": "string"}}, "enum": [{"pattern": "x"}]}


def test_rated_rows_stay_bound_as_seeds_are(tmp_path: Path, news_task: Task) -> None:
    rated = [{**row, "rating": "good"} for row in EVAL]
    with pytest.raises(InputError, match=r'rows\.jsonl:1:\d+: text: "Goal!" is shorter than 8 characters'):
        read_rated(written(tmp_path / "rows.jsonl", rated), news_task, [])


async def test_a_text_that_a_long_eval_row_holds_is_kept_out_of_the_pool(
    candidate: Callable[..., Candidate], news_task: Task
) -> None:
    check = EvalOverlap(news_task, FiltersConfig(), EVAL)
    verdict = await check(candidate("The harbour authority said on Monday that the ferry would sail again."))
    assert (verdict.reason, verdict.details) == ("eval_overlap", {"row": 2})
    assert (await check(candidate())).outcome == "pass"


@pytest.mark.slow
def test_a_run_is_scored_on_rows_of_any_length_and_so_is_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    written(tmp_path / "eval.jsonl", EVAL)
    hint = f"hint: {tmp_path / 'eval.jsonl'}: 3 of 4 rows are outside the lengths or patterns that task.schema lets"
    settings = ["experiment=smoke", "diversity=minilm", "student=frozen", "task.eval=eval.jsonl", "budget.target=8"]
    assert dispatch(["validate", *settings]) == 0
    assert hint in capsys.readouterr().out
    assert dispatch(["run", *settings, "run.dir=a"]) == 0
    assert hint in capsys.readouterr().err
    assert json.loads(Path("a/summary.json").read_text())["student"]["eval_rows"] == 4
    written(tmp_path / "more.jsonl", [*EVAL, {"text": f"{LONG}!", "label": "world"}])
    assert dispatch(["evaluate", "a", "more.jsonl"]) == 0
    said = capsys.readouterr()
    assert json.loads(said.out)["eval_rows"] == 5
    assert said.err.count(f"hint: {tmp_path / 'more.jsonl'}: 4 of 5 rows") == 1


def test_a_target_below_the_number_of_labels_is_warned_of(capsys: pytest.CaptureFixture[str]) -> None:
    def said(target: int) -> str:
        assert dispatch(["validate", "experiment=smoke", f"budget.target={target}"]) == 0
        return capsys.readouterr().out

    line = "warning: the target of 3 samples is below the 4 labels of task news_topic: some labels can get no sample"
    assert line in said(3)
    assert "warning" not in said(4)


def test_a_text_that_max_tokens_cannot_hold_is_hinted_at(capsys: pytest.CaptureFixture[str]) -> None:
    def said(max_tokens: int) -> str:
        assert dispatch(["validate", "experiment=smoke", f"generate.max_tokens={max_tokens}"]) == 0
        return " ".join(capsys.readouterr().out.split())

    assert "hint: task.schema: 'text' may have 180 characters" in said(40)
    assert "may have" not in said(128)
