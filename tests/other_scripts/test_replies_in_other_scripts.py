"""Run tasks in other languages on hand-written replies: what is accepted, and why the others are rejected.

Each line of replies/TASK.jsonl is a reply as a model could write it, and `expect`, the reason for which it must be rejected.
"""

import json
from collections.abc import Iterator
from itertools import cycle
from pathlib import Path
from typing import Any, cast

import pytest
from omegaconf import OmegaConf

from synthgen.config import from_saved
from synthgen.engines.fake.scripted import Writer, Written
from synthgen.ledger import Reader
from synthgen.records import Grammar, content_id
from synthgen.run.lifecycle import start
from synthgen.tasks.assets import root

FOLDER = Path(__file__).parent / "replies"
TASKS = sorted(path.stem for path in FOLDER.glob("*.jsonl"))


def test_six_tasks_have_replies() -> None:
    assert len(TASKS) == 6


@pytest.mark.slow
@pytest.mark.parametrize("name", TASKS)
def test_good_replies_are_accepted_and_bad_ones_rejected_for_their_reason(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    entries = [json.loads(line) for line in (FOLDER / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()]
    monkeypatch.setattr(Writer, "write", writing(cycle(entries)))
    task: Any = OmegaConf.to_container(OmegaConf.load(root() / f"conf/task/{name}.yaml"))
    task |= {"assign": [], "eval": None}  # so that every request takes every reply
    filters = OmegaConf.to_container(OmegaConf.load(root() / "conf/filters/default.yaml"))
    saved: Any = {"engine": {"kind": "replay"}, "task": task, "filters": filters}
    settings = [f"run.name={name}", f"run.dir={tmp_path / 'run'}", "diversity.embedder=hash", "student.kind=none"]
    settings += ["judge.label.enabled=false", "judge.rubric.enabled=false", "budget.target=200"]
    assert start(from_saved(saved, [*settings, f"budget.candidates={len(entries)}"]), [root()], lambda _: None) == 3
    with Reader(tmp_path / "run/ledger.sqlite") as reader:
        rows = reader.rows("SELECT data, reason FROM candidates ORDER BY slot DESC, item DESC")
        found = {content_id(unlabelled(json.loads(data), task)): reason for data, reason in rows}
    for entry in entries:
        assert found.get(content_id(entry["reply"]), "never given") == entry.get("expect"), entry


def unlabelled(data: dict[str, Any], task: dict[str, Any]) -> dict[str, Any]:
    """Return a candidate without the label of a classification, which no reply has."""
    return {key: value for key, value in data.items() if task["kind"] != "classification" or key not in task["target"]}


def writing(entries: Iterator[dict[str, Any]]) -> Any:
    def write(_self: Writer, _asked: str, _grammar: Grammar | None, _rng: object) -> Written:
        return Written(json.dumps(cast("Any", next(entries))["reply"], ensure_ascii=False), "stop", None)

    return write
