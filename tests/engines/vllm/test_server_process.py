"""A server as a process, without a server: nothing of it is left behind, and its log says what went wrong."""

import json
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from synthgen.engines.vllm import server_process
from synthgen.engines.vllm.server_process import ServerProcess, free_port, stop_leftover

STUBBORN = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(60)"


def stubborn(*words: str) -> subprocess.Popen[bytes]:
    """A process group of its own that ignores SIGTERM."""
    process = subprocess.Popen(
        [sys.executable, "-S", "-c", STUBBORN, *words], stdout=subprocess.PIPE, start_new_session=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"up\n"
    return process


@pytest.fixture
def child() -> Iterator[subprocess.Popen[bytes]]:
    process = stubborn("synthgen-abc")
    yield process
    if process.poll() is None:
        process.kill()
    process.wait()


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_process, "_STOP_SECONDS", 0.1)
    monkeypatch.setattr(server_process, "_REST_SECONDS", 0.1)


def gone(pid: int) -> bool:
    """No such process, or only its entry is left for a parent that does not ask."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


def wait_until_gone(pid: int) -> bool:
    deadline = time.monotonic() + 5
    while not gone(pid) and time.monotonic() < deadline:
        time.sleep(0.01)
    return gone(pid)


def test_a_server_that_ignores_sigterm_is_killed(child: subprocess.Popen[bytes], impatient: None) -> None:
    server_process._stop_group(child)
    assert child.returncode == -signal.SIGKILL


def test_a_server_that_heeds_sigterm_is_not_killed() -> None:
    process = subprocess.Popen(["sleep", "60"], start_new_session=True)
    server_process._stop_group(process)
    assert process.returncode == -signal.SIGTERM


def test_child_processes_of_the_server_end_with_it(impatient: None) -> None:
    script = f"import subprocess, sys; c = subprocess.Popen([sys.executable, '-S', '-c', {STUBBORN!r}]); c.wait()"
    process = subprocess.Popen(
        [sys.executable, "-S", "-c", f"{script}"], stdout=subprocess.PIPE, start_new_session=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"up\n"
    (grandchild,) = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    server_process._stop_group(process)
    assert wait_until_gone(int(grandchild))


def test_stopping_a_server_that_died_already_is_no_error() -> None:
    process = subprocess.Popen(["true"], start_new_session=True)
    process.wait()
    server_process._stop_group(process)
    assert process.returncode == 0


def test_a_leftover_server_of_a_killed_run_is_ended(child: subprocess.Popen[bytes], tmp_path: Path) -> None:
    note = tmp_path / "engine.pid"
    note.write_text(json.dumps({"pid": child.pid, "name": "synthgen-abc"}))
    stop_leftover(tmp_path)
    assert child.wait(5) == -signal.SIGKILL
    assert not note.exists()


def test_another_process_that_reuses_a_leftover_pid_is_left_alone(
    child: subprocess.Popen[bytes], tmp_path: Path
) -> None:
    note = tmp_path / "engine.pid"
    note.write_text(json.dumps({"pid": child.pid, "name": "synthgen-other"}))
    stop_leftover(tmp_path)
    with pytest.raises(subprocess.TimeoutExpired):
        child.wait(0.2)
    assert not note.exists()


@pytest.mark.parametrize("note", ["", "not json", "[1]", "7", '{"pid": 4194305, "name": "x"}', '{"name": "x"}'])
def test_a_pid_file_that_names_no_process_is_removed(note: str, tmp_path: Path) -> None:
    (tmp_path / "engine.pid").write_text(note)
    stop_leftover(tmp_path)
    assert not (tmp_path / "engine.pid").exists()


def test_a_server_dies_with_its_parent(tmp_path: Path) -> None:
    parent = (
        "import subprocess, sys; from synthgen.engines.vllm.server_process import end_with_parent;"
        "c = subprocess.Popen(['sleep', '60'], preexec_fn=end_with_parent, start_new_session=True);"
        "print(c.pid, flush=True); sys.stdin.read()"
    )
    process = subprocess.Popen([sys.executable, "-c", parent], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdout is not None
    server = int(process.stdout.readline())
    assert not gone(server)
    process.kill()
    process.wait()
    assert wait_until_gone(server)


def test_a_free_port_can_be_listened_on() -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", free_port()))


# -- the log ---------------------------------------------------------------------------------------


def run(script: str, folder: Path) -> ServerProcess:
    """A process that has run `script` to its end."""
    process = ServerProcess.start([sys.executable, "-S", "-c", script], {}, "synthgen-1", folder)
    deadline = time.monotonic() + 5
    while not process.has_ended and time.monotonic() < deadline:
        time.sleep(0.01)
    return process


def test_the_quoted_errors_are_of_this_process_and_not_of_an_earlier_one(tmp_path: Path) -> None:
    (tmp_path / "engine.log").write_text("ValueError: of an earlier life\n")
    process = run("print('INFO up'); raise RuntimeError('no such model')", tmp_path)
    words = process.failure_message("it did not start").splitlines()
    assert words == [f"it did not start; the end of {tmp_path / 'engine.log'}:", "  RuntimeError: no such model"]
    process.stop()
    assert not (tmp_path / "engine.pid").exists()


@pytest.mark.parametrize(
    ("line", "missing_resource"),
    [
        ("torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 1.96 GiB.", "memory"),
        ("ValueError: No available memory for the cache blocks. Try increasing `gpu_memory_utilization`", "memory"),
        ("RuntimeError: [enforce fail at alloc_cpu.cpp:121] DefaultCPUAllocator: can't allocate memory", "memory"),
        ("OSError: [Errno 98] Address already in use", "port"),
        ("torch.distributed.DistNetworkError: The server socket has failed to listen: EADDRINUSE", "port"),
        ("ValueError: no such model", None),
    ],
)
def test_a_missing_system_library_is_read_from_the_servers_log(
    line: str, missing_resource: str | None, tmp_path: Path
) -> None:
    (tmp_path / "engine.log").write_text("CUDA out of memory, in an earlier life\n")
    process = run(f"print({line!r})", tmp_path)
    assert process.missing_resource() == missing_resource
    process.stop()
