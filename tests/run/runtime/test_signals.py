"""Test what a person gets who presses Ctrl-C, once or more often, at any moment of a run."""

import fcntl
import json
import os
import select
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import forks
import pytest
from forks import SYNTHGEN

from synthgen.ledger import Reader

RUN = [*SYNTHGEN, "run", "experiment=smoke", "run.dir=out", "engine.delay=0.05"]
Moment = Callable[[Path], bool]


@pytest.fixture(autouse=True)
def hangups_are_heard() -> Iterator[None]:
    """Let children hear SIGHUP, also where `nohup` started the tests: it is ignored then, and children inherit that."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


def happened(kind: str) -> Moment:
    """Return whether the run in a folder has told of an event."""

    def told(folder: Path) -> bool:
        events = folder / "events.jsonl"
        return events.is_file() and f'"kind": "{kind}"' in events.read_text("utf-8")

    return told


def pressed(process: "subprocess.Popen[str]", folder: Path, *moments: Moment) -> tuple[int, str, str]:
    """Press Ctrl-C at each of these moments; return exit code, output and errors."""
    for moment in moments:
        deadline = time.monotonic() + 60
        while not moment(folder) and process.poll() is None:
            assert time.monotonic() < deadline
            time.sleep(0.002)
        process.send_signal(signal.SIGINT)
    output, errors = process.communicate(timeout=60)
    return process.returncode, output, errors


def started(*arguments: str) -> "subprocess.Popen[str]":
    return forks.Popen([*RUN, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def at_once(_: Path) -> bool:
    return True


@pytest.mark.parametrize(
    "moments",
    [
        [happened("engine_started"), at_once],
        [happened("engine_started"), happened("stopped")],
        [happened("engine_started"), happened("stopped"), at_once],
    ],
)
@pytest.mark.slow
def test_every_ctrl_c_ends_with_5_and_a_run_that_continues(
    moments: list[Moment], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    process = started("budget.target=100000")
    code, output, errors = pressed(process, tmp_path / "out", *moments)
    assert (code, errors) == (5, "")
    assert output.strip().splitlines()[-1] == "synthgen resume out"
    more = forks.run([*SYNTHGEN, "resume", "out", "budget.target=5"], capture_output=True, text=True)
    assert more.returncode == 0, more.stderr
    assert json.loads((tmp_path / "out/summary.json").read_text())["stopped_by"] == "target"


@pytest.mark.slow
def test_ctrl_c_when_the_loop_is_over_leaves_the_rest_to_a_resume(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    process = started("budget.target=5")
    assert pressed(process, tmp_path / "out", happened("stopped"))[0] in (0, 5)
    assert forks.run([*SYNTHGEN, "resume", "out"], capture_output=True).returncode == 0


GUARDED = """
import os, signal
from synthgen.run.runtime.signals import exit_with
def work():
    {body}
    return 0
exit_with(work)
"""


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ("signal.raise_signal(signal.SIGINT)", 5),
        ("exec('signal.raise_signal(signal.SIGINT)')", 5),
        ("signal.raise_signal(signal.SIGTERM)", 5),
        ("signal.raise_signal(signal.SIGHUP)", 5),
        (
            "\n    try: signal.raise_signal(signal.SIGINT)\n    finally: signal.raise_signal(signal.SIGINT)",
            5,
        ),
        ("\n    class Late:\n        __del__ = lambda self: signal.raise_signal(signal.SIGINT)\n    Late()", 5),
        ("import atexit; atexit.register(signal.raise_signal, signal.SIGINT)", 0),
        ("globals().update(late=type('Late', (), {'__del__': lambda self, kill=os.kill: kill(os.getpid(), 2)})())", 0),
    ],
    ids=["once", "in an exec", "SIGTERM", "SIGHUP", "while cleaning up", "in a finalizer", "at exit", "as modules are taken down"],
)  # fmt: skip
def test_no_signal_leaves_a_traceback(body: str, code: int) -> None:
    done = subprocess.run([sys.executable, "-c", GUARDED.format(body=body)], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (code, "")


def in_a_terminal(*arguments: str, nohup: bool = False) -> "tuple[subprocess.Popen[bytes], int]":
    """Start a run in the foreground of a terminal of its own. Return the process and the terminal's other end."""
    outer, inner = os.openpty()

    def lead() -> None:
        os.setsid()
        fcntl.ioctl(inner, termios.TIOCSCTTY, 0)
        if nohup:
            signal.signal(signal.SIGHUP, signal.SIG_IGN)

    process = subprocess.Popen([*RUN, *arguments], stdin=inner, stdout=inner, stderr=inner, preexec_fn=lead)
    os.close(inner)
    return process, outer


def closed_after_answers(outer: int, folder: Path) -> None:
    """Close a terminal when the run in it has accepted a sample."""
    deadline = time.monotonic() + 60
    while not happened("engine_started")(folder) or not accepted(folder):
        assert time.monotonic() < deadline
        if select.select([outer], [], [], 0.1)[0]:
            os.read(outer, 65536)
    os.close(outer)


def accepted(folder: Path) -> int:
    with Reader(folder / "ledger.sqlite") as reader:
        return int(reader.one("SELECT COUNT(*) FROM samples WHERE origin = 'synthetic'"))


def test_a_hangup_that_is_ignored_at_the_start_stays_ignored() -> None:
    code = GUARDED.format(body="signal.raise_signal(signal.SIGHUP)")
    ignore = partial(signal.signal, signal.SIGHUP, signal.SIG_IGN)
    assert subprocess.run([sys.executable, "-c", code], preexec_fn=ignore).returncode == 0


@pytest.mark.slow
def test_a_run_whose_terminal_is_closed_finishes_its_work_and_continues(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    process, outer = in_a_terminal("budget.target=100000")
    closed_after_answers(outer, tmp_path / "out")
    assert process.wait(60) == 5
    summary = json.loads((tmp_path / "out/summary.json").read_text())
    assert (summary["stopped_by"], summary["counts"]["accepted"] > 0) == ("signal", True)
    assert forks.run([*SYNTHGEN, "resume", "out", "budget.target=5"], capture_output=True).returncode == 0


@pytest.mark.slow
def test_under_nohup_a_run_whose_terminal_is_closed_reaches_its_target(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    process, outer = in_a_terminal("budget.target=300", nohup=True)
    closed_after_answers(outer, tmp_path / "out")
    assert process.wait(60) == 0
    assert json.loads((tmp_path / "out/summary.json").read_text())["stopped_by"] == "target"
