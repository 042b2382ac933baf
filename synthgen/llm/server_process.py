"""A server as a child process: a port for it, its end with all that it started, and what its log says.

Knows nothing of requests; `synthgen.llm.vllm_server` does.
"""

import contextlib
import ctypes
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Literal

from synthgen.llm.engine_log import masked_into
from synthgen.records import Json

_STOP_SECONDS = 15.0
_REST_SECONDS = 2.0  # what the rest of the group gets after the server itself has ended
_LOG_SECONDS = 1.0
_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None)  # loaded here: nothing may be loaded between fork and exec
_PORT_TAKEN = re.compile("address already in use|EADDRINUSE", re.I)
_NO_MEMORY = re.compile("out of memory|no available memory|can't allocate memory|MemoryError", re.I)


class ServerProcess:
    """A running server in a process group of its own. `name` stands in its command line."""

    def __init__(self, process: subprocess.Popen[bytes], log: Path, log_start: int, pump: threading.Thread) -> None:
        self._process = process
        self._log = log
        self._log_start = log_start
        self._pump = pump

    @classmethod
    def start(cls, command: list[str], env: dict[str, str], name: str, folder: Path) -> "ServerProcess":
        """Runs `command` in `folder`; what it prints goes to engine.log there. It ends when this process does."""
        log = folder / "engine.log"
        start = log.stat().st_size if log.exists() else 0
        with masked_into(log) as (output, pump):
            process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, env=env, cwd=folder,
                start_new_session=True, preexec_fn=_die_with_parent,
            )  # fmt: skip
        (folder / "engine.pid").write_text(json.dumps({"pid": process.pid, "name": name}))
        return cls(process, log, start, pump)

    @property
    def log(self) -> Path:
        return self._log

    @property
    def has_ended(self) -> bool:
        return self._process.poll() is not None

    def kill(self) -> None:
        """SIGKILL to the whole group, at once."""
        _signal_group(self._process.pid, signal.SIGKILL)

    def stop(self) -> None:
        """SIGTERM to the process group, SIGKILL to what is left of it after a while."""
        _stop_group(self._process)
        (self._log.parent / "engine.pid").unlink(missing_ok=True)

    def last_words(self, what: str) -> str:
        """`what`, and the lines of the log that tell most of why."""
        lines = self._said().splitlines()
        telling = [line for line in lines if "Error" in line and "Traceback" not in line][-3:] or lines[-3:]
        return "\n".join([f"{what}; the end of {self._log}:", *(f"  {line[:300]}" for line in telling)])

    def complaint(self) -> Literal["port", "memory"] | None:
        """What a server that did not come up lacked, where its log says so."""
        said = self._said()
        if _NO_MEMORY.search(said):
            return "memory"
        return "port" if _PORT_TAKEN.search(said) else None

    def _said(self) -> str:
        """What this process printed; the log may begin with what others before it did."""
        if self.has_ended:
            self._pump.join(_LOG_SECONDS)  # longer only where a process that the server started outlives it
        with self._log.open("rb") as file:
            file.seek(self._log_start)
            return file.read().decode("utf-8", "replace")


def free_port() -> int:
    """A port that nobody listens on now; somebody may by the time that a server does."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def stop_leftover(folder: Path) -> None:
    """Ends a server that an earlier, killed process of this run folder left behind."""
    note = folder / "engine.pid"
    if not note.is_file():
        return
    with contextlib.suppress(ValueError, KeyError, TypeError, OSError):  # no such process, or no such note
        left: Json = json.loads(note.read_text())
        if str(left["name"]).encode() in Path(f"/proc/{left['pid']}/cmdline").read_bytes():
            _signal_group(left["pid"], signal.SIGKILL)
    note.unlink(missing_ok=True)


def _die_with_parent() -> None:
    """In the child, before exec: a SIGTERM from the kernel when the parent is gone, even by SIGKILL."""
    if sys.platform == "linux":
        _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def _stop_group(process: subprocess.Popen[bytes]) -> None:
    _signal_group(process.pid, signal.SIGTERM)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(_STOP_SECONDS)
    deadline = time.monotonic() + _REST_SECONDS
    while _signal_group(process.pid, 0) and time.monotonic() < deadline:
        time.sleep(0.05)
    _signal_group(process.pid, signal.SIGKILL)
    process.wait()


def _signal_group(group: int, number: int) -> bool:
    """False when no process of the group is left."""
    try:
        os.killpg(group, number)
    except (ProcessLookupError, PermissionError):
        return False
    return True
