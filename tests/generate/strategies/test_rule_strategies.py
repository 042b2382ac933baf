"""Strategies without a model: template, augment_text and augment_code, from the command line and on resume."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from synthgen.cli import dispatch
from synthgen.errors import ConfigError
from synthgen.filters.declared import sandbox
from synthgen.generate.templates import Templates
from synthgen.records import Json
from synthgen.tasks.assets import root
from synthgen.tasks.task import Task

COMMON = ["engine=replay", "judge=none", "student=none", "diversity=hash"]
TEMPLATES = {
    "sentences": {label: [f"{{{{ who }}}} {label} {{{{ what }}}} today"] for label in ("business", "science", "sport", "world")},
    "slots": {"who": ["Amara", "Boris", "Chen"], "what": ["rises sharply", "comes home", "breaks a record", "ends"]},
}  # fmt: skip


def lineage(folder: Path) -> list[Json]:
    rows = [json.loads(line) for line in (folder / "dataset/meta/lineage.jsonl").read_text().splitlines()]
    return [row for row in rows if row["origin"] == "synthetic"]


def with_templates(task: Task, templates: Json) -> Templates:
    return Templates(replace(task, templates=templates), 0)


@pytest.mark.parametrize(
    ("sentence", "slots", "words"),
    [
        ("{{ who }} wins", {}, r"sentences\.sport\[0\]: the slot 'who' is not in task\.templates\.slots"),
        ("{{ who", {"who": ["A"]}, r"sentences\.sport\[0\]: .*'{{ who'"),
        ("{{ who.__class__ }}", {"who": ["A"]}, r"sentences\.sport\[0\]: .*unsafe"),
        ("{{ who }} wins gold", {"who": ["A", "A"]}, r"slots\.who: the value 'A' is listed twice"),
        ("{{ who }} wins gold", {"who": ["A"], "x": ["B"]}, r"slots\.x: no sentence has this slot"),
        ("{{ who }}", {"who": ["A"]}, r"sentences\.sport\[0\]: filled in, it does not fit task\.schema"),
        ("{{ who }} wins gold", {"who": {"length": 3}}, r"slots\.who: .*no key 'length'"),
    ],
)
def test_a_faulty_sentence_or_slot_is_named(news_task: Task, sentence: str, slots: Json, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        with_templates(news_task, {"sentences": {"sport": [sentence]}, "slots": slots})


def test_values_are_data_and_never_templates(news_task: Task) -> None:
    given = {"sentences": {"sport": ["{{ who }} wins gold"]}, "slots": {"who": ["{{ 7 * 7 }}"]}}
    (sentence,) = with_templates(news_task, given).sentences
    assert sentence.fill(sentence.values(0)) == {"text": "{{ 7 * 7 }} wins gold"}


def run(folder: Path, *args: str) -> int:
    return dispatch(["run", *COMMON, *args, f"run.dir={folder}"])


def test_no_filled_sentence_is_used_twice_even_by_a_resumed_run(tmp_path: Path) -> None:
    conf = tmp_path / "conf" / "task"
    conf.mkdir(parents=True)
    written = yaml.safe_load(Path(root(), "conf/task/news_topic.yaml").read_text()) | {"templates": TEMPLATES}
    (conf / "own.yaml").write_text(yaml.safe_dump(written))
    task = ["--config-dir", str(conf.parent), "task=own", "generate=template", "diversity.threshold=0.999",
            "budget.target=24"]  # fmt: skip
    assert run(tmp_path / "cut", *task, "budget.candidates=9") in (0, 3)
    assert len(lineage(tmp_path / "cut")) < 24
    assert dispatch(["resume", str(tmp_path / "cut"), "budget.candidates=null"]) in (0, 3)
    used = [json.dumps([row["given"]["template"], row["given"]["values"]]) for row in lineage(tmp_path / "cut")]
    assert len(set(used)) == len(used) == 24


def test_changed_texts_keep_their_entities_and_name_their_parent(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    run(folder, "task=intent_slots", "generate=augment_text", "budget.target=30", "budget.candidates=60")
    rows = lineage(folder)
    assert rows and all(row["parents"] == [row["given"]["rewrites"]] and row["given"]["operations"] for row in rows)
    samples = [
        json.loads(line) for path in (folder / "dataset").glob("*.jsonl") for line in path.read_text().splitlines()
    ]
    for row in samples:
        assert all(row["text"][slot["start"] : slot["end"]] == slot["text"] for slot in row["slots"])


def test_generation_tasks_must_name_the_fields_that_may_change(capsys: pytest.CaptureFixture[str]) -> None:
    assert dispatch(["validate", "task=summary", "generate=augment_text", *COMMON]) == 2
    assert "generate.augment_text.fields" in capsys.readouterr().err


def test_code_cannot_be_rewritten_without_tests(capsys: pytest.CaptureFixture[str]) -> None:
    assert dispatch(["validate", "task=summary", "generate=augment_code", *COMMON]) == 2
    assert "no check that runs tests" in capsys.readouterr().err


@pytest.mark.skipif(sandbox.problem() is not None, reason="no sandbox")
def test_rewritten_code_passes_the_check_that_runs_its_tests(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    run(folder, "task=code_tests", "generate=augment_code", "diversity.threshold=0.999", "budget.target=4",
        "budget.candidates=20")  # fmt: skip
    rows = lineage(folder)
    assert rows and all(row["given"]["operations"] for row in rows)
