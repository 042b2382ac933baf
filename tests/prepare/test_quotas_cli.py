"""A run generates what a prepared dataset lacks."""

import json
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from synthgen.cli import dispatch

LACKING = {"sport": 5, "science": 9}


@pytest.fixture
def clean(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> Path:
    """Return a prepared folder with quotas of two labels of the task news_topic."""
    monkeypatch.chdir(tmp_path)
    counts = {"business": 9, "sport": 4, "science": 0, "world": 9}
    rows = [{"text": f"news {n} of {label}", "label": label} for label, count in counts.items() for n in range(count)]
    Path("rows.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")
    assert dispatch(["prepare", "rows.jsonl", "--steps", "exact", "--write-quotas", "mine", "--out", "clean"]) == 0
    said = "what the labels lack: mine/budget/quotas.yaml; to generate it: synthgen run --config-dir mine budget=quotas"
    assert said in capsys.readouterr().out
    return tmp_path / "clean"


@pytest.mark.slow
def test_a_run_fills_the_quotas_and_no_other_label(clean: Path, capsys: Any) -> None:
    more = ["budget.quotas.science=9", "budget.target=100", "run.dir=out"]
    assert dispatch(["run", "--config-dir", "mine", "budget=quotas", "experiment=smoke", *more]) == 0
    counted = "SELECT label, COUNT(*) FROM samples WHERE origin = 'synthetic' GROUP BY 1"
    assert dict(sqlite3.connect("out/ledger.sqlite").execute(counted).fetchall()) == LACKING
    summary = json.loads(Path("out/summary.json").read_text(encoding="utf-8"))
    assert summary["labels"]["science"]["share"] == 9 and summary["labels"]["world"]["share"] == 0
    assert dispatch(["resume", "out"]) == 0
    assert "larger budget.quotas would make it larger" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("budget.quotas={sports: 3}", "budget.quotas: the task has no label 'sports'; did you mean sport?"),
        ("budget.per_label=3", "budget.quotas: excludes budget.per_label"),
        ("task=summary", "budget.quotas: only classification tasks"),
    ],
)
def test_quotas_that_do_not_fit_the_task_are_refused(clean: Path, capsys: Any, override: str, said: str) -> None:
    words = ["validate", "--config-dir", "mine", "budget=quotas", "engine=replay", "diversity=hash", override]
    assert dispatch(words) == 2
    assert said in capsys.readouterr().err
