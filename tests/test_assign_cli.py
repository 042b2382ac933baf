"""Test a run of a task with `assign` and declared checks, as a user starts it."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from synthgen.cli import dispatch
from synthgen.ledger import Reader

TASK: dict[str, Any] = {
    "name": "notes",
    "kind": "extraction",
    "description": "Travel notes.",
    "schema": {
        "type": "object",
        "properties": {
            "tone": {"enum": ["formal", "casual"]},
            "text": {"type": "string", "minLength": 10, "maxLength": 100},
            "places": {
                "type": "array", "maxItems": 3,
                "items": {
                    "type": "object", "required": ["name", "type"],
                    "properties": {"name": {"type": "string", "maxLength": 12}, "type": {"enum": ["city", "river"]}},
                },
            },
        },
        "required": ["tone", "text", "places"],
    },
    "input": ["text"],
    "target": ["places"],
    "labels": {"formal": "polite"},
    "assign": ["tone", "places[].type"],
    "prompts": "generation",
    "seeds": "seeds.jsonl",
    "checks": [
        {"kind": "offsets", "field": "places[].name", "in": "text", "overlap": True},
        {"kind": "length_ratio", "field": "places[].name", "to": "text", "max": 0.9},
        {"kind": "judge", "question": "Is it about travel?"},
    ],
}  # fmt: skip
SEEDS = [
    {"tone": "casual", "text": "Rome is hot, the Tiber is low.", "places": [
        {"name": "Rome", "type": "city"}, {"name": "Tiber", "type": "river"}]},
    {"tone": "formal", "text": "We arrived in Oslo.", "places": [{"name": "Oslo", "type": "city"}]},
]  # fmt: skip


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    (tmp_path / "mine" / "task").mkdir(parents=True)
    (tmp_path / "mine" / "task" / "notes.yaml").write_text(yaml.safe_dump(TASK, sort_keys=False))
    (tmp_path / "mine" / "seeds.jsonl").write_text("".join(json.dumps(seed) + "\n" for seed in SEEDS))
    return tmp_path / "mine"


def _words(mine: Path, *more: str) -> list[str]:
    fixed = ["engine=replay", "student=none", "diversity=hash", "filters.truncation=false"]
    return ["--config-dir", str(mine), "task=notes", *fixed, *more]


@pytest.mark.slow
def test_every_combination_gets_its_share_and_the_dataset_its_offsets(mine: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    assert dispatch(["run", *_words(mine, "budget.target=12", f"run.dir={folder}", "judge.rubric.enabled=false")]) == 0
    rows = [json.loads(line) for line in (folder / "dataset" / "train.jsonl").read_text().splitlines()]
    rows += [json.loads(line) for line in (folder / "dataset" / "validation.jsonl").read_text().splitlines()]
    summary = json.loads((folder / "summary.json").read_text())
    assert [row["accepted"] for row in summary["labels"].values()] == [3, 3, 3, 3]
    assert {"assigned", "offsets", "length_ratio", "judge"} <= summary["checks"].keys()
    for row in rows:
        for place in row["places"]:
            assert row["text"][place["start"] : place["end"]] == place["name"]
    with Reader(folder / "ledger.sqlite") as reader:
        made = [sample for sample in reader.samples() if sample.origin == "synthetic"]
        asked = reader.one("SELECT body FROM texts WHERE body LIKE '%At least one of places has type: river%' LIMIT 1")
    assert all(f"tone={sample.data['tone']}" in (sample.label or "") for sample in made)
    assert "tone: formal (polite)" in asked or "tone: casual" in asked


def test_a_seed_that_breaks_a_rule_of_its_task_is_named_by_line(mine: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bad = SEEDS[1] | {"text": "We arrived in Bergen."}
    (mine / "seeds.jsonl").write_text(json.dumps(SEEDS[0]) + "\n" + json.dumps(bad) + "\n")
    assert dispatch(["validate", *_words(mine)]) == 2
    said = capsys.readouterr().err
    assert "seeds.jsonl:2:" in said
    assert 'places[0].name: "Oslo" has no place of its own in text' in said


def test_values_without_a_seed_are_named(mine: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert dispatch(["validate", *_words(mine)]) == 0
    told = capsys.readouterr()
    assert "no seed has these values of task.assign: tone=formal, places[].type=river;" in told.out + told.err
