"""Runs without seeds: each strategy that needs none reaches its end, resumes exactly, and says what it cannot tell."""

import json
import random
from pathlib import Path
from typing import Any

import pytest
import yaml

from synthgen.cli import dispatch
from synthgen.ledger import Reader
from synthgen.records import Json
from synthgen.tasks.assets import root

WORDS = (
    "river harbour council market laser protein striker referee budget tariff glacier orbit painter winter cousin lantern "
    "cabbage theatre engine morning village feather promise kitchen thunder doctor island blanket mirror chapter"
)
LABELS = ("business", "science", "sport", "world")
PLAIN = ["engine=replay", "engine.in_flight=4", "diversity=hash", "judge=none", "student=none", "budget.target=8"]
TABLE: Json = {
    "name": "table",
    "kind": "classification",
    "schema": {
        "type": "object",
        "properties": {"text": {"type": "string", "maxLength": 120}, "label": {"enum": ["book", "cancel"]}},
        "required": ["text", "label"],
    },
    "input": ["text"],
    "target": ["label"],
    "prompts": "classification",
    "templates": {
        "sentences": {
            "book": [
                "Please book a table for {{ who }} at {{ place }}",
                "Has {{ place }} a table {{ when }} for {{ who }}?",
            ],
            "cancel": ["Cancel {{ place }} for {{ who }}", "We cannot come to {{ place }} {{ when }}, drop the table"],
        },
        "slots": {
            "who": ["two", "three", "the four of us", "seven guests"],
            "place": ["the Lamb", "Luigi's", "the harbour grill", "the old mill"],
            "when": ["tonight", "tomorrow", "on Sunday", "next week"],
        },
    },
}
PLACES: Json = {
    "name": "places",
    "kind": "generation",
    "schema": {
        "type": "object",
        "properties": {"ask": {"type": "string", "maxLength": 90}, "reply": {"type": "string", "maxLength": 90}},
        "required": ["ask", "reply"],
    },
    "input": ["ask"],
    "target": ["reply"],
    "prompts": "generation",
    "templates": {
        "sentences": [
            {"ask": "Where is {{ what }} of {{ town }}?", "reply": "{{ what }} is in the middle of {{ town }}."},
            {"ask": "Does {{ town }} have {{ what }}?", "reply": "Yes, {{ town }} has {{ what }} near the river."},
        ],
        "slots": {
            "town": ["Ulm", "Basel", "Ghent", "Turin"],
            "what": ["a market", "a harbour", "a theatre", "a bridge"],
        },
    },
}
CASES = {
    "taxonomy, labels": ["task=news_topic", "generate=taxonomy"],
    "taxonomy": ["task=instruction", "generate=taxonomy"],
    "template, labels": ["--config-dir", "conf", "task=table", "generate=template"],
    "template": ["--config-dir", "conf", "task=places", "generate=template"],
    "grounded, labels": ["task=news_topic", "generate=grounded", "task.documents=papers"],
    "grounded": ["task=instruction", "generate=grounded", "task.documents=papers"],
    "label_text, labels": ["task=news_topic", "generate=label_text", "task.texts=texts.txt"],
    "label_text": ["task=instruction", "generate=label_text", "task.input=[instruction]", "task.texts=texts.txt"],
    "magpie": ["task=instruction", "generate=magpie"],
    "a mix": [
        "task=news_topic",
        "generate.strategies={taxonomy: 1, fewshot: 1, paraphrase: 1, contrast: 1, augment_text: 1, seeds_only: 1}",
    ],
}


@pytest.fixture(autouse=True)
def _a_folder_of_texts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("conf/task").mkdir(parents=True)
    for task in (TABLE, PLACES):
        Path(f"conf/task/{task['name']}.yaml").write_text(yaml.safe_dump(task, sort_keys=False))
    rng, words = random.Random(0), WORDS.split()
    lines = [" ".join([LABELS[n % 4], *rng.sample(words, 6), LABELS[n % 4], "news."]) for n in range(60)]
    Path("texts.txt").write_text("\n".join(lines))
    Path("papers").mkdir()
    Path("papers/all.md").write_text("\n\n".join(lines))


def run(case: str, *more: str) -> int:
    return dispatch(["run", *CASES[case], *([] if "template" in case else ["task.seeds=null"]), *PLAIN, *more])


def samples(folder: str) -> list[tuple[Any, ...]]:
    with Reader(Path(folder) / "ledger.sqlite") as reader:
        return list(reader.rows("SELECT id, slot, label, parents, given FROM samples ORDER BY position"))


def summary(folder: str) -> Json:
    found: Json = json.loads(Path(folder, "summary.json").read_text())
    return found


@pytest.mark.parametrize("case", CASES)
@pytest.mark.slow
def test_a_run_without_seeds_reaches_its_target_and_resumes_exactly(case: str) -> None:
    assert run(case, "run.dir=whole") == 0
    codes = [run(case, "run.dir=cut", "engine.dies_after=7")]
    while codes[-1] == 4 and len(codes) < 15:
        codes.append(dispatch(["resume", "cut"]))
    assert codes[-1] == 0
    sends_requests = "template" not in case and case != "label_text, labels"
    assert len(codes) > sends_requests  # without requests its engine does not die
    assert samples("cut") == samples("whole") and len(samples("whole")) == 8
    assert summary("whole")["counts"]["seeds"] == 0 and summary("whole")["student"] is None
    rows = [json.loads(line) for line in Path("whole/dataset/train.jsonl").read_text().splitlines()]
    assert len(rows) + len(Path("whole/dataset/validation.jsonl").read_text().splitlines()) == 8


@pytest.mark.slow
def test_export_report_and_a_fork_with_seeds_work_on_a_run_without(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("taxonomy, labels", "run.dir=whole") == 0
    before = Path("whole/dataset/train.jsonl").read_bytes()
    assert dispatch(["export", "whole"]) == 0 and Path("whole/dataset/train.jsonl").read_bytes() == before
    assert dispatch(["export", "whole", "--format", "csv"]) == 0
    assert dispatch(["report", "whole"]) == 0 and dispatch(["status", "whole"]) == 0
    assert "the run started without samples that people wrote" in Path("whole/dataset/README.md").read_text()
    assert "lacks the run's seeds" not in "".join(capsys.readouterr())
    seeds = root() / "examples/news_topic/seeds.jsonl"
    assert dispatch(["resume", "whole", f"task.seeds={seeds}"]) == 2
    fork = ["--fork", "more", "budget.target=12", "generate=fewshot"]
    assert dispatch(["resume", "whole", f"task.seeds={seeds}", *fork]) == 0
    assert summary("more")["counts"]["seeds"] == 20 and summary("more")["counts"]["accepted"] == 12
    assert dispatch(["resume", "more", "task.seeds=null", "--fork", "less", "generate=taxonomy"]) == 0
    assert summary("less")["counts"]["seeds"] == 0 and summary("less")["counts"]["accepted"] == 12


@pytest.mark.slow
def test_the_student_is_compared_with_label_rows_alone(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("taxonomy, labels", "student=frozen", "run.dir=whole") == 0
    said = "".join(capsys.readouterr())
    assert "there is no seeds-only baseline: the student is compared with one of the labels' names" in said
    assert "with label names alone" in said and "seeds alone" not in said
    student = summary("whole")["student"]
    assert student["seeds_only"] is None and student["seed_rows"] == 0 and student["gain"]["mean"] is None
    assert student["gain_over_described"]["mean"] == pytest.approx(
        student["synthetic"]["mean"] - student["described"]["mean"]
    )
    page = Path("whole/report.html").read_text()
    assert "The task has no seeds." in page and "only seeds" not in page
    assert (
        "baseline is the same model, trained in the same way on a row for each label"
        in Path("whole/student/README.md").read_text()
    )


@pytest.mark.slow
def test_a_student_without_any_baseline_is_scored_alone(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("taxonomy, labels", "student=frozen", "student.label_rows=0", "run.dir=whole") == 0
    said = "".join(capsys.readouterr())
    assert "the student is compared with nothing" in said
    assert "trained and not compared: the task has no seeds and no label rows" in said
    assert "the task has no seeds, so there is no seeds-only student to compare with" in said
    assert "so the student is compared with no other" in Path("whole/report.html").read_text()


@pytest.mark.slow
def test_a_run_that_accepts_nothing_ends_without_a_student(capsys: pytest.CaptureFixture[str]) -> None:
    Path("texts.txt").write_text("short")  # below the minLength of the task
    assert run("label_text, labels", "student=frozen", "run.dir=none") == 3
    assert "no student is trained: the student has no sample to train on" in "".join(capsys.readouterr())
    assert summary("none")["student"] is None and not Path("none/dataset").exists()
    assert dispatch(["train", "none"]) == 2


@pytest.mark.slow
def test_with_a_judge_canaries_are_off_and_the_label_check_shows_no_examples() -> None:
    settings = ["judge=default", "judge.canaries.every=1", "run.round_slots=8", "run.dir=whole"]
    assert run("taxonomy, labels", *settings) in (0, 3)
    with Reader(Path("whole/ledger.sqlite")) as reader:
        asked = [key for (key,) in reader.rows("SELECT id FROM requests")]
    assert any("/label" in key for key in asked) and not any("canary" in key for key in asked)


@pytest.mark.parametrize("strategy", ["fewshot", "seeds_only", "augment_text", "paraphrase", "evolve", "contrast"])
def test_other_strategies_need_seeds_and_the_cure_is_named(strategy: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert dispatch(["validate", "task=news_topic", "task.seeds=null", f"generate={strategy}", "engine=replay"]) == 2
    said = capsys.readouterr().err
    assert f"task.seeds: {strategy} cannot start without seeds" in said and "generate=taxonomy" in said


def test_an_adapter_needs_seeds(capsys: pytest.CaptureFixture[str]) -> None:
    assert dispatch(["adapt", "judge", "task=news_topic", "task.seeds=null", "generate=taxonomy", "engine=replay"]) == 2
    assert "an adapter of the judge is trained on seeds" in capsys.readouterr().err
