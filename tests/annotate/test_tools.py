"""Files of other annotation tools: what they are given, and what is read back."""

import json
import uuid
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from synthgen.annotate.controls import ChoiceQuestion, RatingQuestion, TextQuestion, layout
from synthgen.annotate.label_studio import config
from synthgen.cli import dispatch
from synthgen.records import Json, PersonAnswer, Sample

Make = Callable[..., Path]
Answers = Callable[[Path], list[PersonAnswer]]
Accepted = Callable[[Path], list[Sample]]


def written(tool: str, run: str = "run", count: int = 3) -> Path:
    batch = ["--sample", "random", "--count", str(count), "--annotators", "anna,ben"]
    assert dispatch(["review", run, *batch, "--to", tool, "--out", "out"]) == 0
    return Path("out")


def task(properties: Json, target: list[str], checks: list[Json] | None = None) -> Json:
    schema = {"type": "object", "properties": {"text": {"type": "string"}, **properties}}
    return {
        "name": "t",
        "kind": "extraction",
        "schema": schema,
        "input": ["text"],
        "target": target,
        "checks": checks or [],
    }


def test_every_part_of_a_schema_gets_its_control() -> None:
    made = layout(
        task(
            {
                "tone": {"enum": ["calm", "<angry> & loud"]},
                "topics": {"type": "array", "items": {"enum": ["a", "b"]}},
                "stars": {"type": "integer", "minimum": 1, "maximum": 5},
                "spam": {"type": "boolean"},
                "summary": {"type": "string"},
                "turns": {"type": "array", "items": {"type": "object", "properties": {"role": {"type": "string"}}}},
            },
            ["tone", "topics", "stars", "spam", "summary", "turns"],
        )
    )
    assert [type(one) for one in made.controls] == [
        ChoiceQuestion,
        ChoiceQuestion,
        RatingQuestion,
        ChoiceQuestion,
        TextQuestion,
        TextQuestion,
    ]
    assert [one.as_json for one in made.controls if isinstance(one, TextQuestion)] == [False, True]
    view = ElementTree.fromstring(config(made))
    assert [one.get("value") for one in view.iterfind("Choices[@name='tone']/Choice")] == ["calm", "<angry> & loud"]
    assert view.find("Choices[@name='topics']").get("choice") == "multiple"  # type: ignore[union-attr]
    assert view.find("Rating").get("maxRating") == "5"  # type: ignore[union-attr]
    names = [one.get("name") for one in view.iter() if one.get("name")]
    assert len(names) == len(set(names)), "Label Studio refuses two tags of one name"


@pytest.mark.slow
@pytest.mark.thorough
def test_spans_and_relations_are_found_by_the_checks_of_a_task(task_run: Make) -> None:
    task_run("relations")
    out = written("label-studio", "relations")
    view = ElementTree.parse(out / "label_config.xml").getroot()
    assert [one.get("value") for one in view.iterfind("Labels/Label")] == ["organisation", "person", "place"]
    assert "works_for" in [one.get("value") for one in view.iterfind("Relations/Relation")]
    tasks = json.loads((out / "tasks.json").read_text())
    for one in tasks:
        spans = {part["id"]: part["value"] for part in one["predictions"][0]["result"] if part["type"] == "labels"}
        assert all(one["data"]["text"][value["start"] : value["end"]] == value["text"] for value in spans.values())
        relations = [part for part in one["predictions"][0]["result"] if part["type"] == "relation"]
        assert len(relations) == 2 and all(part["from_id"] in spans and part["to_id"] in spans for part in relations)


def test_answers_in_label_studios_json_keep_their_people_and_times(
    make_run: Make, answers_of: Answers, capsys: pytest.CaptureFixture[str]
) -> None:
    run = make_run(6)
    tasks = json.loads((written("label-studio") / "tasks.json").read_text())

    def annotation(by: Any, answer: str, **more: Any) -> Json:
        value = {"choices": [answer]}
        result = [{"from_name": "label", "to_name": "text_shown", "type": "choices", "value": value}]
        return {"completed_by": by, "result": result, "updated_at": "2026-11-29T10:00:00Z", **more}

    tasks[0]["annotations"] = [annotation({"id": 1, "email": "a@x.org"}, "sport"), annotation(2, "not a sample")]
    tasks[1]["data"]["synthgen_guide"] = ["edited"]
    tasks[1]["annotations"] = [annotation(2, "world"), annotation(1, "sport", was_cancelled=True)]
    Path("done.json").write_text(json.dumps(tasks))
    assert dispatch(["review", "run", "--from", "label-studio", "--file", "done.json"]) == 0
    given = {(one.sample_id, one.annotator): one for one in answers_of(run)}
    first, second = (tasks[number]["data"]["synthgen_id"] for number in (0, 1))
    assert {key: one.answer for key, one in given.items()} == {
        (first, "a@x.org"): "sport", (first, "user 2"): None, (second, "user 2"): "world",
    }  # fmt: skip
    assert given[first, "a@x.org"].at == 1795946400.0
    assert given[second, "user 2"].guide == given[first, "a@x.org"].guide, "the guide in force"
    assert "people differ on 1 sample" in capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.parametrize(
    "tool",
    ["label-studio", *(pytest.param(name, marks=pytest.mark.thorough) for name in ("argilla", "doccano"))],
)
def test_texts_of_a_classification_that_people_changed_make_corrections(
    tool: str, task_run: Make, answers_of: Answers, accepted_of: Accepted, capsys: pytest.CaptureFixture[str]
) -> None:
    run = task_run("news_topic")
    out, text = written(tool, "news_topic"), "A corrected text about the last match of the season."

    def chosen(name: str, kind: str, value: Json) -> Json:
        return {"from_name": name, "to_name": "text_shown", "type": kind, "value": value}

    if tool == "label-studio":
        tasks = json.loads((out / "tasks.json").read_text())
        label, area = chosen("label", "choices", {"choices": ["sport"]}), {"text": [text]}
        done = [
            [label, chosen("text_corrected", "textarea", area)],
            [label],
            [chosen("text_corrected", "textarea", area)],
        ]
        for one, result in zip(tasks, done, strict=True):
            one["annotations"] = [{"completed_by": {"email": "anna"}, "result": result}]
        ids = [one["data"]["synthgen_id"] for one in tasks]
        Path("answers").write_text(json.dumps(tasks))
    elif tool == "argilla":
        records = json.loads((out / "records.json").read_text())
        user = str(uuid.UUID(int=1 << 100))
        for one, name in zip(records, ("text_corrected", "none", "draft"), strict=True):
            answered = {"label": "sport", "text_corrected": text if name == "text_corrected" else None}
            status = "draft" if name == "draft" else "submitted"
            one["responses"] = {
                key: [{"user_id": user, "value": value, "status": status}] for key, value in answered.items()
            }
        ids = [one["id"] for one in records]
        Path("answers").write_text(json.dumps(records))
    else:
        rows = [json.loads(line) for line in (out / "samples.jsonl").read_text().splitlines()]
        rows = [{**row, "label": ["sport"]} for row in rows]
        rows[0]["text"], rows[2]["label"] = text, []
        ids = [row["synthgen_id"] for row in rows]
        Path("answers").write_text("".join(json.dumps(row) + "\n" for row in rows))
    person = ["--annotator", "anna"]
    for _ in range(2):
        assert dispatch(["review", "news_topic", "--from", tool, "--file", "answers", *person]) == 0
    said = capsys.readouterr().out
    assert (
        "2 answers of anna: 3 new in the ledger, 1 correction" in said
        and "0 new in the ledger, 3 known already" in said
    )
    assert ("task 3, anna: no label was chosen" in said) is (tool == "label-studio")
    (made,) = [sample for sample in accepted_of(run) if sample.strategy == "correction"]
    assert (made.data, made.parents) == ({"text": text, "label": "sport"}, (ids[0],))
    assert {one.sample_id: one.answer for one in answers_of(run)} == {made.id: "sport", ids[0]: None, ids[1]: "sport"}


@pytest.mark.slow
def test_spans_that_people_changed_make_corrections_and_those_left_alone_do_not(
    task_run: Make, answers_of: Answers, accepted_of: Accepted, capsys: pytest.CaptureFixture[str]
) -> None:
    run = task_run("relations")
    before = {sample.id: sample for sample in accepted_of(run)}
    rows = [json.loads(line) for line in (written("doccano", "relations") / "samples.jsonl").read_text().splitlines()]
    rows[0]["relations"] = rows[0]["relations"][:1]
    rows[1]["entities"].reverse()
    rows[2]["entities"][0]["label"] = "not a sample"
    Path("anna.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    with zipfile.ZipFile("export.zip", "w") as archive:
        archive.write("anna.jsonl")
    for _ in range(2):
        assert dispatch(["review", "relations", "--from", "doccano", "--file", "export.zip"]) == 0
    said = capsys.readouterr().out
    assert (
        "3 answers of anna: 4 new in the ledger, 1 correction" in said
        and "0 new in the ledger, 4 known already" in said
    )
    (new,) = [sample for sample in accepted_of(run) if sample.id not in before]
    assert new.parents == (rows[0]["synthgen_id"],) and len(new.data["relations"]) == 1
    given = {one.sample_id: one.answer for one in answers_of(run)}
    assert [given[row["synthgen_id"]] for row in rows] == [None, "good", None] and given[new.id] == "good"


@pytest.mark.slow
@pytest.mark.thorough
def test_texts_written_in_doccano_are_corrections_too(task_run: Make, accepted_of: Accepted) -> None:
    run = task_run("instruction")
    rows = [json.loads(line) for line in (written("doccano", "instruction") / "samples.jsonl").read_text().splitlines()]
    rows[0]["label"] = ["A wholly different answer."]
    rows[1]["label"] = ["not a sample"]
    Path("ben.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert dispatch(["review", "instruction", "--from", "doccano", "--file", "ben.jsonl"]) == 0
    (new,) = [sample for sample in accepted_of(run) if sample.strategy == "correction"]
    assert new.data["output"] == "A wholly different answer."


def test_responses_of_argilla_are_read_by_user(make_run: Make, answers_of: Answers) -> None:
    run = make_run(6)
    out = written("argilla")
    settings = json.loads((out / ".argilla" / "settings.json").read_text())
    assert [one["type"] for one in settings["questions"]] == ["label_selection", "text"]
    assert "Annotation guide" in settings["guidelines"] and settings["distribution"]["min_submitted"] == 2
    records = json.loads((out / "records.json").read_text())
    users = [str(uuid.UUID(int=number << 100)) for number in (1, 2)]
    records[0]["responses"] = {
        "label": [{"value": "sport", "user_id": users[0]}, {"value": "not a sample", "user_id": users[1]}]
    }
    (out / "records.json").write_text(json.dumps(records))
    assert dispatch(["review", "run", "--from", "argilla", "--file", "out"]) == 0
    assert {one.annotator: one.answer for one in answers_of(run)} == {"user 00000010": "sport", "user 00000020": None}


@pytest.mark.parametrize(
    ("tool", "content", "words"),
    [
        ("label-studio", "{", "not JSON"),
        ("label-studio", "{}", "not a list of tasks"),
        ("label-studio", '[{"data": {"text": "x"}}]', "task 1: lacks 'synthgen_id'"),
        ("label-studio", '[{"data": {"synthgen_id": "0"}}]', "this run accepted no sample 0"),
        ("label-studio", "[]", "has no annotations"),
        ("doccano", '{"text": "x"}', "answers:1: lacks 'synthgen_id'"),
        ("doccano", "[]", "answers:1: not an object"),
        ("argilla", "[]", "has no responses"),
        ("argilla", "{}", "not a list of records"),
        (
            "label-studio",
            '[{"data": {"synthgen_id": "ID"}, "annotations": {}}]',
            "task 1: cannot be read (Expected `arr",
        ),
        (
            "label-studio",
            '[{"data": {"synthgen_id": "ID"}, "annotations": ["x"]}]',
            "got `str` - at `$.annotations[0]`",
        ),
        (
            "label-studio",
            '[{"data": {"synthgen_id": "ID"}, "annotations": [{"result": [7]}]}]',
            "annotations[0].result",
        ),
        ("doccano", '{"synthgen_id": "ID", "label": "sport"}', "answers:1: cannot be read (Expected `array"),
        ("doccano", '{"synthgen_id": "ID", "label": [null]}', "at `$[0]`"),
        ("argilla", '[{"metadata": {"synthgen_id": "ID"}, "responses": []}]', "has no responses"),
        ("argilla", '[{"metadata": {"synthgen_id": "ID"}, "responses": [1]}]', "record 1: cannot be read"),
        ("argilla", '[{"metadata": {"synthgen_id": "ID"}, "responses": {"label": ["x"]}}]', "at `$[...][0]`"),
        ("argilla", '[{"metadata": ["x"]}]', "record 1: lacks 'synthgen_id'"),
    ],
)
def test_a_file_that_cannot_be_read_is_named_with_its_place(
    tool: str, content: str, words: str, make_run: Make, accepted_of: Accepted, capsys: pytest.CaptureFixture[str]
) -> None:
    run = make_run(3)
    Path("answers").write_text(content.replace("ID", accepted_of(run)[0].id))
    assert dispatch(["review", "run", "--from", tool, "--file", "answers"]) == 2
    assert words in capsys.readouterr().err


def test_of_two_answers_of_one_person_the_latest_counts_and_without_times_they_are_refused(
    make_run: Make, answers_of: Answers, capsys: pytest.CaptureFixture[str]
) -> None:
    run = make_run(6)
    tasks = json.loads((written("label-studio") / "tasks.json").read_text())[:1]

    def annotation(answer: str, **more: str) -> Json:
        result = [{"from_name": "label", "to_name": "text_shown", "type": "choices", "value": {"choices": [answer]}}]
        return {"completed_by": 1, "result": result, **more}

    tasks[0]["annotations"] = [annotation("sport"), annotation("world")]
    Path("done.json").write_text(json.dumps(tasks))
    assert dispatch(["review", "run", "--from", "label-studio", "--file", "done.json"]) == 2
    assert "task 1: user 1 gives another answer in done.json: task 1; remove one of them" in capsys.readouterr().err
    late, early = "2026-11-29T10:00:01Z", "2026-11-29T10:00:00Z"
    tasks[0]["annotations"] = [annotation("sport", updated_at=late), annotation("world", updated_at=early)]
    Path("done.json").write_text(json.dumps(tasks))
    for _ in range(2):
        assert dispatch(["review", "run", "--from", "label-studio", "--file", "done.json"]) == 0
    assert [one.answer for one in answers_of(run)] == ["sport"]
    assert "1 answer of user 1: 0 new in the ledger, 1 known already" in capsys.readouterr().out


def test_a_label_that_the_task_lacks_is_refused_and_nothing_is_written(
    make_run: Make, answers_of: Answers, capsys: pytest.CaptureFixture[str]
) -> None:
    run = make_run(6)
    rows = [json.loads(line) for line in (written("doccano") / "samples.jsonl").read_text().splitlines()]
    rows[0]["label"] = ["sports"]
    Path("anna.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert dispatch(["review", "run", "--from", "doccano", "--file", "anna.jsonl"]) == 2
    assert "anna.jsonl:1: 'sports' is not a label of the task" in capsys.readouterr().err
    assert answers_of(run) == []


def test_files_with_answers_are_not_overwritten_and_a_token_is_needed(
    make_run: Make, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    make_run(6)
    written("doccano")
    assert dispatch(["review", "run", "--to", "doccano", "--out", "out"]) == 2
    assert "may contain answers" in capsys.readouterr().err
    monkeypatch.delenv("LABEL_STUDIO_API_KEY", raising=False)
    assert dispatch(["review", "run", "--to", "label-studio", "--url", "http://127.0.0.1:1"]) == 2
    assert "LABEL_STUDIO_API_KEY is not set" in capsys.readouterr().err
    monkeypatch.setenv("LABEL_STUDIO_API_KEY", "x" * 40)
    assert dispatch(["review", "run", "--to", "label-studio", "--url", "http://127.0.0.1:1"]) == 2
    assert "Label Studio does not answer" in capsys.readouterr().err
