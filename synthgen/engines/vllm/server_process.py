"""A server as a child process: a port for it, its end with all that it started, and what its log says.

Knows nothing of requests; `synthgen.engines.vllm.server` does.
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
_REST_SECONDS = 2.0  # what the rest of the group gets after the server itself has ended
_LOG_SECONDS = 1.0
_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None)  # loaded here: nothing may be loaded between fork and exec


class ServerProcess:
    """Hold a running server in its own process group. `name` stands in its command line."""

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

    def kill(self) -> None:
        """SIGKILL to the whole group, at once."""
        signal_group(self._process.pid, signal.SIGKILL)

    def stop(self) -> None:
        """SIGTERM to the process group, SIGKILL to what is left of it after a while."""
        _stop_group(self._process)
        (self._tail.path.parent / "engine.pid").unlink(missing_ok=True)

    def last_words(self, what: str) -> str:
        """Return `what`, and the log lines that explain it best."""
        self._settle()
        return self._tail.last_words(what)

    def complaint(self) -> Literal["port", "memory"] | None:
        """Return the resource that a failed server lacked, where its log says so."""
        self._settle()
        return self._tail.complaint()

    def _settle(self) -> None:
        """Wait until all output of an ended server is in the log."""
        if self.has_ended:
            self._pump.join(_LOG_SECONDS)  # longer only where a process that the server started outlives it


def free_port() -> int:
    """Return a port that nobody listens on now; another process may take it before the server does."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def stop_leftover(folder: Path) -> None:
    """End a server that an earlier, killed process of this run folder left running."""
    note = folder / "engine.pid"
    if not note.is_file():
        return
    with contextlib.suppress(ValueError, KeyError, TypeError, OSError):  # no such process, or no such note
        left: Json = json.loads(note.read_text())
        if str(left["name"]).encode() in Path(f"/proc/{left['pid']}/cmdline").read_bytes():
            signal_group(left["pid"], signal.SIGKILL)
    note.unlink(missing_ok=True)


def end_with_parent() -> None:
    """Ask the kernel for a SIGTERM when the parent is gone, even by SIGKILL; runs in the child, before exec."""
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
