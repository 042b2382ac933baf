"""The scripts that print tables of many runs: one row a run or strategy, with both figures of the student."""

import runpy
import sys
from pathlib import Path
from typing import Any

import pytest

from synthgen.cli import dispatch

SCRIPTS = Path(__file__).parents[1] / "scripts"


def printed(script: str, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> str:
    capsys.readouterr()
    monkeypatch.setattr(sys, "argv", [script, str(folder)])
    runpy.run_path(str(SCRIPTS / script), run_name="__main__")
    return capsys.readouterr().out


@pytest.mark.slow
def test_the_table_of_strategies_has_a_row_for_each_and_names_runs_that_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    smoke = ["run", "experiment=smoke", "budget.target=20"]
    for name, weights in (("fewshot--news", "{fewshot: 1}"), ("mixed--news", "{fewshot: 1, seeds_only: 1}")):
        assert dispatch([*smoke, f"generate.strategies={weights}", f"run.dir={tmp_path / name}"]) == 0
        (tmp_path / f"{name}.log").touch()
    (tmp_path / "converse--news.log").write_text("starting\nsynthgen: no dialogue\n")
    said = printed("strategies_table.py", tmp_path, monkeypatch, capsys).splitlines()
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in said if line.startswith("|")]
    by_name = {(row[0], row[1]): row for row in rows}
    assert by_name["fewshot", "news"][2] == "20" and float(by_name["fewshot", "news"][5]) > 0
    assert {row[1] for row in rows if row[0] == "news"} == {"fewshot", "seeds_only"}
    assert said[-1] == "without figures: converse--news: synthgen: no dialogue"


@pytest.mark.slow
def test_the_examples_of_tasks_are_an_accepted_and_a_rejected_candidate(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert dispatch(["run", "experiment=smoke", "budget.target=20", f"run.dir={tmp_path / 'smoke'}"]) == 0
    monkeypatch.setattr(sys, "argv", ["tasks_table.py", str(tmp_path), "--examples"])
    capsys.readouterr()
    runpy.run_path(str(SCRIPTS / "tasks_table.py"), run_name="__main__")
    lines = capsys.readouterr().out.splitlines()
    assert lines[:3] == ["### `smoke`", "", "```"]
    assert lines[3].startswith("accepted (") and lines[4].startswith("rejected as ")


def test_the_table_of_tasks_shows_the_student_without_and_with_samples() -> None:
    student = runpy.run_path(str(SCRIPTS / "tasks_table.py"))["student"]

    def arm(mean: float) -> dict[str, Any]:
        return {"mean": mean, "low": mean - 0.1, "high": mean + 0.1}

    tagged = {"metric": "f1", "seeds_only": arm(0.5), "synthetic": arm(0.7)}
    assert student({"student": tagged}) == ["f1", "0.500 (0.400 to 0.600)", "0.700 (0.600 to 0.800)"]
    assert student({"student": tagged | {"described": arm(0.6)}})[1] == "0.600 (0.500 to 0.700)"
    assert student({"student": None}) == ["not trained", "", ""]
