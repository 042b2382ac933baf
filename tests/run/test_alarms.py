"""Alarms in whole runs on the replay engine: told once, rebuilt on resume, the same again."""

import json
import os
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from synthgen.cli import dispatch
from synthgen.ledger import Reader

SMOKE = ["run", "experiment=smoke", "judge=none", "engine.in_flight=8", "run.round_slots=32"]
DRIFTING = "diversity.alarms.seed_distance=0.5"  # what the scripted writer says is at 0.65


def run(name: str, *overrides: str) -> int:
    return dispatch([*SMOKE, f"run.dir={name}", DRIFTING, *overrides])


def query(name: str, sql: str) -> list[tuple[Any, ...]]:
    with Reader(Path(name) / "ledger.sqlite") as reader:
        return list(reader.rows(sql))


def alarms(name: str) -> list[dict[str, Any]]:
    with Reader(Path(name) / "ledger.sqlite") as reader:
        return reader.alarms()


@pytest.fixture(scope="module", autouse=True)
def _in_an_empty_folder(tmp_path_factory: pytest.TempPathFactory) -> Any:
    before = Path.cwd()
    os.chdir(tmp_path_factory.mktemp("runs"))
    yield
    os.chdir(before)


@pytest.fixture(scope="module")
def whole() -> str:
    """A run that nothing disturbed."""
    assert run("whole", "budget.target=130") == 0
    return "whole"


@pytest.fixture(scope="module")
def cut() -> str:
    """The same run, answered out of order, and killed with its engine on the way."""
    assert run("cut", "budget.target=130", "engine.jitter=0.02", "engine.dies_after=120") == 4
    assert dispatch(["resume", "cut"]) == 0
    return "cut"


@pytest.mark.slow
def test_an_interrupted_run_raises_the_alarms_of_an_uninterrupted_one(whole: str, cut: str) -> None:
    assert alarms(cut) == alarms(whole)
    assert [alarm["figure"] for alarm in alarms(whole)] == ["seed_distance"]


@pytest.mark.slow
def test_a_run_accepts_the_same_whatever_the_timing_and_the_interruptions(whole: str, cut: str) -> None:
    sql = "SELECT id, slot, item FROM samples WHERE origin = 'synthetic' ORDER BY position"
    assert query(cut, sql) == query(whole, sql)


@pytest.mark.slow
def test_an_alarm_that_a_kill_kept_from_the_ledger_is_reported_by_the_resume(whole: str) -> None:
    before = alarms(whole)
    with sqlite3.connect(Path(whole) / "ledger.sqlite") as connection:
        connection.execute("DELETE FROM events WHERE kind = 'alarm'")
    connection.close()
    assert dispatch(["resume", whole, "budget.target=131"]) == 0
    assert alarms(whole) == before


@pytest.mark.slow
def test_an_alarm_ends_a_run_where_it_may_and_says_how_to_continue(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("a", "budget.target=100", "diversity.alarms.stop=true") == 3
    out = capsys.readouterr().out
    assert out.splitlines()[-1] == "synthgen resume a diversity.alarms.stop=false"
    assert "smoke stopped because its accepted samples had drifted away from the seeds." in out
    assert "alarm       drift at slot 95: distance to seeds 0.6" in out
    summary = json.loads(Path("a/summary.json").read_text())
    assert summary["stopped_by"] == "drift"
    assert summary["diversity"]["alarms"] == alarms("a")
    events = map(json.loads, Path("a/events.jsonl").read_text().splitlines())
    (told,) = [event for event in events if event["kind"] == "alarm"]
    assert {key: told[key] for key in ("alarm", "figure", "bound", "slot")} == {
        "alarm": "drift", "figure": "seed_distance", "bound": 0.5, "slot": 95,
    }  # fmt: skip
    settled = "SELECT COUNT(*) FROM slots WHERE state = 'settled'"
    assert query("a", settled) == [(96,)]

    assert dispatch(["resume", "a"]) == 3  # nothing has changed
    assert query("a", settled) == [(96,)]
    assert dispatch(["resume", "a", "diversity.alarms.stop=false"]) == 0
    assert len(alarms("a")) == 1
