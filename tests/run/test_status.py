"""Test where a run stands: while it works, after it ended, after it was killed; for a person and for a program."""

import asyncio
import io
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import forks
import pytest
from forks import SYNTHGEN
from rich.console import Console

from synthgen.cli import dispatch
from synthgen.ledger import Ledger, holder, run_lock
from synthgen.run.display import following
from synthgen.run.engine import start_engine
from synthgen.run.status import lines, status

ENDLESS = ["run", "experiment=smoke", "run.dir=out", "budget.target=100000", "engine.delay=0.05", "engine.in_flight=8"]


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def working(tmp_path: Path) -> Iterator["subprocess.Popen[bytes]"]:
    """A run that is at work in `out`, and has said how it goes at least twice."""
    process = forks.Popen([*SYNTHGEN, *ENDLESS], stdout=subprocess.DEVNULL)
    until(lambda: (tmp_path / "out/ledger.sqlite").exists() and status(tmp_path / "out")["accepted_per_minute"])
    yield process
    process.kill()
    process.wait()


def until(true: Callable[[], Any]) -> None:
    deadline = time.monotonic() + 120
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.1)


@pytest.mark.slow
def test_a_working_run_says_how_far_it_is_and_how_fast(
    working: "subprocess.Popen[bytes]", tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert dispatch(["status", "out", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["state"], found["phase"], found["pid"]) == ("working", "generating", working.pid)
    assert 0 < found["accepted"] <= found["candidates"]
    assert found["candidates"] == round(found["accepted"] / found["acceptance"])
    left = found["target"] - found["accepted"]
    assert found["seconds_left"] == pytest.approx(60 * left / found["accepted_per_minute"], abs=1)
    assert found["candidates_per_minute"] >= found["accepted_per_minute"]
    assert found["output_tokens_per_s"] > 0
    assert 0 < found["in_flight"] < 100  # 8 slots, and what the judge is asked about their candidates
    assert found["command"] is None
    assert dispatch(["status", "out"]) == 0
    said = capsys.readouterr().out
    assert said.startswith(f"smoke is generating (PID {working.pid}, for ")
    assert "requests in flight, the last answer" in said


@pytest.mark.slow
def test_watching_ends_with_the_run(working: "subprocess.Popen[bytes]") -> None:
    watcher = forks.Popen([*SYNTHGEN, "status", "out", "--watch", "--json"], stdout=subprocess.PIPE, text=True)
    assert watcher.stdout is not None
    assert json.loads(watcher.stdout.readline())["state"] == "working"
    working.send_signal(signal.SIGINT)
    rest, _ = watcher.communicate(timeout=120)
    last = json.loads(rest.splitlines()[-1])
    assert (last["state"], last["exit_code"], last["command"]) == ("interrupted", 5, "synthgen resume out")
    assert watcher.returncode == 0


@pytest.mark.slow
def test_a_killed_run_is_distinguished_from_a_working_one(working: "subprocess.Popen[bytes]", tmp_path: Path) -> None:
    os.kill(working.pid, signal.SIGKILL)
    working.wait()
    found = status(tmp_path / "out")
    assert (found["state"], found["pid"], found["command"]) == ("killed", None, "synthgen resume out")
    assert found["accepted_per_minute"] is None
    assert lines(found)[0] == "smoke was killed, or its machine went down."
    assert lines(found)[-1] == "go on with  synthgen resume out"


@pytest.mark.slow
def test_a_run_at_its_target_offers_no_command_to_continue(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert dispatch(["run", "experiment=smoke", "run.dir=out"]) == 0
    capsys.readouterr()
    assert dispatch(["status", "out", "--watch"]) == 0
    first, second, *_ = capsys.readouterr().out.splitlines()
    assert first == "smoke reached its target."
    assert second.startswith("accepted    50 of 50 samples, ")
    assert status(tmp_path / "out")["command"] is None
    with run_lock(tmp_path / "out"):
        assert status(tmp_path / "out")["phase"] == "used by another verb"


@pytest.mark.slow
def test_a_budget_that_ended_the_run_is_named_with_the_command_that_continues_it(tmp_path: Path) -> None:
    assert dispatch(["run", "experiment=smoke", "run.dir=out", "budget.candidates=10"]) == 3
    found = status(tmp_path / "out")
    assert (found["state"], found["stopped_by"]) == ("ended", "candidates")
    assert lines(found)[0] == "smoke stopped at its budget of candidates."
    assert found["command"] == "synthgen resume out budget.candidates=20"


def test_a_word_that_is_no_option_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "out").mkdir()
    assert dispatch(["status", "out", "--wach"]) == 2
    assert "there is no option '--wach' here; did you mean '--watch'?" in capsys.readouterr().err


def test_who_holds_a_folder_is_looked_up_and_not_tried(tmp_path: Path) -> None:
    assert holder(tmp_path) is None
    with run_lock(tmp_path):
        assert holder(tmp_path) == os.getpid()
        assert holder(tmp_path, tmp_path / "no such table") == os.getpid()
    assert holder(tmp_path) is None


def test_without_the_kernels_table_a_process_that_is_gone_holds_nothing(tmp_path: Path) -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    (tmp_path / ".lock").write_text(str(gone.pid))
    assert holder(tmp_path, tmp_path / "no such table") is None
    (tmp_path / ".lock").write_text("")
    assert holder(tmp_path, tmp_path / "no such table") is None


def test_pages_follow_each_other_and_obey_no_escape() -> None:
    screen = io.StringIO()
    following([["first\x1b[2J", "line"], ["second"]], Console(file=screen, width=80))
    assert screen.getvalue() == "first\nline\n\nsecond\n"


def test_on_a_terminal_a_page_takes_the_place_of_the_one_before_and_the_last_one_stays() -> None:
    screen = io.StringIO()
    following([["first"], ["second"]], Console(file=screen, force_terminal=True, width=80))
    assert screen.getvalue().rstrip().endswith("second")
    assert "\x1b[2K" in screen.getvalue()  # the page before is wiped


@pytest.mark.slow
def test_the_time_beside_a_phase_is_that_phases_own(tmp_path: Path) -> None:
    assert dispatch(["run", "experiment=smoke", "run.dir=out", "budget.target=4"]) == 0
    out = tmp_path / "out"
    with run_lock(out), Ledger.open(out / "ledger.sqlite") as ledger:
        ledger.begin_session("test")
        time.sleep(0.3)
        ledger.event("stopped", {}).result()
        found = status(out, time.time() + 65)
    assert found["session_seconds"] - found["phase_seconds"] > 0.2
    assert lines(found)[0] == f"smoke is training its student (PID {os.getpid()}, for 1 min 05 s)."


@pytest.mark.slow
def test_an_engine_that_starts_slowly_is_no_part_of_the_loops_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def slowly(*given: Any) -> Any:
        await asyncio.sleep(2)
        return await start_engine(*given)

    monkeypatch.setattr("synthgen.run.running.start_engine", slowly)
    assert dispatch(["run", "experiment=smoke", "run.dir=out", "budget.target=4"]) == 0
    seconds = json.loads((tmp_path / "out/summary.json").read_text())["seconds"]
    assert seconds["engine_start"] >= 2
    assert seconds["total"] - seconds["loop"] >= 2


@pytest.mark.slow
def test_the_students_progress_is_reported_and_before_it_how_large_the_student_is(tmp_path: Path) -> None:
    assert dispatch(["run", "experiment=smoke", "run.dir=out", "budget.target=4"]) == 0
    out = tmp_path / "out"
    with run_lock(out), Ledger.open(out / "ledger.sqlite") as ledger:
        ledger.begin_session("test")
        ledger.set_meta("student_outlook", "9 fits, 1,240 steps at most")
        ledger.event("engine_started", {}).result()
        assert "student     follows: 9 fits, 1,240 steps at most" in lines(status(out))
        ledger.event("stopped", {}).result()
        assert status(out)["student"] is None
        for step in (20, 120):
            ledger.event("student_progress", {"line": f"student: fit 2 of 3, step {step} of 400"}).result()
        found = status(out, time.time() + 65)
        assert found["phase"] == "training its student"
        assert "student     fit 2 of 3, step 120 of 400 (1 min 05 s ago)" in lines(found)
