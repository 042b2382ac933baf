"""Run a server as a child process: find a port, end it with all its children, and read its log.

`synthgen.engines.vllm.server` handles the requests.
"""

import contextlib
import ctypes
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Literal

from synthgen.engines.vllm.engine_log import LogTail, masked_into
from synthgen.records import Json

_STOP_SECONDS = 15.0
_REST_SECONDS = 2.0  # time for the rest of the process group after the server has ended
_LOG_SECONDS = 1.0
_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None)  # loaded early, because loading a library between fork and exec is unsafe


class ServerProcess:
    """Hold a running server in its own process group. Its command line contains `name`."""

    def __init__(self, process: subprocess.Popen[bytes], tail: LogTail, pump: threading.Thread) -> None:
        self._process = process
        self._tail = tail
        self._pump = pump

    @classmethod
    def start(cls, command: list[str], env: dict[str, str], name: str, folder: Path) -> "ServerProcess":
        """Run `command` in `folder`; its output goes to engine.log there. It ends with this process."""
        tail = LogTail(folder / "engine.log")
        with masked_into(tail.path) as (output, pump):
            process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, env=env, cwd=folder,
                start_new_session=True, preexec_fn=end_with_parent,
            )  # fmt: skip
        (folder / "engine.pid").write_text(json.dumps({"pid": process.pid, "name": name}))
        return cls(process, tail, pump)

    @property
    def log(self) -> Path:
        return self._tail.path

    @property
    def has_ended(self) -> bool:
        return self._process.poll() is not None

    @property
    def was_lost(self) -> bool:
        """Return False, because this machine is still there."""
        return False

    async def settled(self) -> None:
        """Return at once, because the state of a child process is always known."""

    def kill(self) -> None:
        """Send SIGKILL to the whole process group, at once."""
        signal_group(self._process.pid, signal.SIGKILL)

    def stop(self) -> None:
        """Send SIGTERM to the process group, and SIGKILL to its remaining processes after a while."""
        _stop_group(self._process)
        (self._tail.path.parent / "engine.pid").unlink(missing_ok=True)

    def wait(self) -> None:
        """Block until the server has ended."""
        self._process.wait()

    def failure_message(self, what: str) -> str:
        """Return `what`, followed by the log lines that explain it best."""
        self._settle()
        return self._tail.failure_message(what)

    def missing_resource(self) -> Literal["port", "memory"] | None:
        """Return the resource that a failed server lacked, if its log states it."""
        self._settle()
        return self._tail.missing_resource()

    def _settle(self) -> None:
        """Wait until all output of an ended server is in the log."""
        if self.has_ended:
            self._pump.join(_LOG_SECONDS)  # the pipe stays open longer only if a child of the server outlives it


def free_port(host: str = "127.0.0.1") -> int:
    """Return a port that is free now at `host`; another process may take it before the server does."""
    with socket.socket() as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])


def stop_leftovers(folder: Path) -> None:
    """End the servers, or replicas, that an earlier, killed process of this run folder left running."""
    for place in (folder, *folder.glob("replicas/*")):
        stop_leftover(place)


def stop_leftover(folder: Path) -> None:
    """End the server whose process id is in `folder`, if it still runs."""
    note = folder / "engine.pid"
    if not note.is_file():
        return
    with contextlib.suppress(ValueError, KeyError, TypeError, OSError):  # no such process, or no record of one
        left: Json = json.loads(note.read_text())
        if str(left["name"]).encode() in Path(f"/proc/{left['pid']}/cmdline").read_bytes():
            signal_group(left["pid"], signal.SIGKILL)
    note.unlink(missing_ok=True)


def end_with_parent() -> None:
    """Request a SIGTERM from the kernel when the parent dies, even by SIGKILL. It runs in the child, before exec."""
    if sys.platform == "linux":
        _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def _stop_group(process: subprocess.Popen[bytes]) -> None:
    signal_group(process.pid, signal.SIGTERM)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(_STOP_SECONDS)
    deadline = time.monotonic() + _REST_SECONDS
    while signal_group(process.pid, 0) and time.monotonic() < deadline:
        time.sleep(0.05)
    signal_group(process.pid, signal.SIGKILL)
    process.wait()


def signal_group(group: int, number: int) -> bool:
    """Signal a process group; return False when it has no process left."""
    try:
        os.killpg(group, number)
    except (ProcessLookupError, PermissionError):
        return False
    return True
