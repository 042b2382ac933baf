"""A benchmark's child process ends with the benchmark, however that ends."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from benchmarks.common import run_child
from synthgen.ledger import holder

ROOT = Path(__file__).parents[2]
PARENT = """
import os, sys
from pathlib import Path
from benchmarks import common
from synthgen.run.runtime.signals import signals_interrupt
common.DRAIN_SECONDS = float(sys.argv[2])
with signals_interrupt():
    common.run_child([sys.executable, "-c", sys.argv[3], sys.argv[1]], dict(os.environ), Path(sys.argv[1] + ".log"))
"""
TELLS_ITS_ID = "import os, signal, sys, time; {0}; open(sys.argv[1], 'w').write(str(os.getpid())); time.sleep(60)"
DEAF = "signal.signal(signal.SIGTERM, signal.SIG_IGN)"


def started(told: Path, drain: float, child: str) -> tuple["subprocess.Popen[bytes]", int]:
    """A process that runs `child` with run_child, and the child's process id."""
    command = [sys.executable, "-c", PARENT, str(told), str(drain), TELLS_ITS_ID.format(child)]
    parent = subprocess.Popen(command, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, stderr=subprocess.DEVNULL)
    wait_until(lambda: told.exists() and told.read_text() != "")
    return parent, int(told.read_text())


def wait_until(holds: object, seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not holds():  # type: ignore[operator]
        assert time.monotonic() < deadline
        time.sleep(0.02)


def has_ended(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_a_child_process_ends_with_its_benchmark(tmp_path: Path, number: int) -> None:
    parent, child = started(tmp_path / "child", 60, "pass")
    parent.send_signal(number)
    parent.wait(20)
    wait_until(lambda: has_ended(child))


def test_a_child_that_does_not_drain_is_killed(tmp_path: Path) -> None:
    parent, child = started(tmp_path / "child", 0.1, DEAF)
    parent.terminate()
    parent.wait(20)
    assert has_ended(child)


def test_a_second_signal_kills_the_child(tmp_path: Path) -> None:
    parent, child = started(tmp_path / "child", 60, DEAF)
    parent.terminate()
    time.sleep(0.5)
    assert not has_ended(child)
    parent.terminate()
    parent.wait(20)
    assert has_ended(child)


def test_the_exit_code_and_the_output_of_a_child_are_kept(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("before\n")
    assert run_child([sys.executable, "-c", "print('now'); exit(3)"], os.environ, log) == 3
    assert log.read_text() == "before\nnow\n"


SERVES = (
    "import subprocess, sys, time; from pathlib import Path; {0}\n"
    "server = subprocess.Popen([sys.executable, '-c', 'import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN);"
    " time.sleep(60)'], start_new_session=True)\n"
    "Path(sys.argv[1]).write_text(str(server.pid))\ntime.sleep(60)"
)


@pytest.mark.parametrize("child", ["pass", f"import signal; {DEAF}"])
@pytest.mark.slow
def test_a_server_that_a_child_started_ends_with_the_benchmark(child: str, tmp_path: Path) -> None:
    told = tmp_path / "server"
    words = [sys.executable, "-c", PARENT, str(told), "0.3", SERVES.format(child)]
    parent = subprocess.Popen(words, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, stderr=subprocess.DEVNULL)
    wait_until(lambda: told.exists() and told.read_text() != "")
    server = int(told.read_text())
    parent.terminate()
    parent.wait(20)
    assert has_ended(server)


def test_a_child_is_ended_once_it_is_over(tmp_path: Path) -> None:
    began = time.monotonic()
    command = [sys.executable, "-c", "import time; time.sleep(60)"]
    assert run_child(command, os.environ, tmp_path / "log", lambda: time.monotonic() - began > 0.2) == -signal.SIGTERM


class Willing:
    """A known server that understands everything."""

    failure = None


@pytest.mark.slow
def test_a_run_against_the_known_generator_ends_with_the_benchmark(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from benchmarks.known.runs import _synthgen\n"
        "from tests.benchmarks.test_children import Willing; from synthgen.run.runtime.signals import signals_interrupt\n"
        "out = sys.argv[1]\n"
        "with signals_interrupt():\n"
        "    _synthgen(['run', 'experiment=smoke', 'run.dir=' + out, 'budget.target=100000', 'engine.delay=0.1',\n"
        "        'engine.in_flight=4'], Path(out + '.log'), Willing())"
    )
    out = tmp_path / "out"
    parent = subprocess.Popen([sys.executable, "-c", code, str(out)], cwd=ROOT, stderr=subprocess.DEVNULL)
    wait_until(lambda: (out / "ledger.sqlite").exists() and holder(out) is not None, 60)
    child = holder(out)
    assert child is not None
    parent.kill()
    parent.wait(20)
    wait_until(lambda: has_ended(child), 60)
