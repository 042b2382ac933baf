"""Write engine.log: the output of a server process, with every secret masked.

The process writes into a pipe, and a thread copies whole lines into the file. The thread never stops reading, even if
the disk is full, because a server that cannot print blocks.
"""

import os
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Literal

from synthgen.safety.secrets import Masker

_CHUNK = 65536
_PORT_TAKEN = re.compile("address already in use|EADDRINUSE", re.I)
_NO_MEMORY = re.compile("out of memory|no available memory|can't allocate memory|MemoryError", re.I)


class LogTail:
    """Follow what is written to `path` from now on; the log may begin with the output of earlier processes."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._start = path.stat().st_size if path.exists() else 0

    def failure_message(self, what: str) -> str:
        """Return `what`, followed by the log lines that explain it best."""
        lines = self._said().splitlines()
        telling = [line for line in lines if "Error" in line and "Traceback" not in line][-3:] or lines[-3:]
        return "\n".join([f"{what}; the end of {self.path}:", *(f"  {line[:300]}" for line in telling)])

    def missing_resource(self) -> Literal["port", "memory"] | None:
        """Return the resource that a failed process lacked, if its log states it."""
        said = self._said()
        if _NO_MEMORY.search(said):
            return "memory"
        return "port" if _PORT_TAKEN.search(said) else None

    def _said(self) -> str:
        with self.path.open("rb") as file:
            file.seek(self._start)
            return file.read().decode("utf-8", "replace")


@contextmanager
def masked_into(log: Path) -> Iterator[tuple[int, threading.Thread]]:
    """Return a file descriptor for a process to write to, and the thread that copies it, masked, to `log`."""
    target = log.open("ab", buffering=0)
    reading, writing = os.pipe()
    pump = threading.Thread(target=_pump, args=(reading, target), name="engine-log", daemon=True)
    pump.start()
    try:
        yield writing, pump
    finally:
        os.close(writing)


def _pump(reading: int, target: BinaryIO) -> None:
    mask, rest = Masker(), b""
    with open(reading, "rb", buffering=0) as source, target:
        while chunk := source.read(_CHUNK):
            rest += chunk
            whole = max(rest.rfind(b"\n"), rest.rfind(b"\r")) + 1
            if whole or len(rest) > _CHUNK:
                _write(target, mask, rest[: whole or None])
                rest = rest[whole:] if whole else b""
        _write(target, mask, rest)


def _write(target: BinaryIO, mask: Masker, lines: bytes) -> None:
    try:
        target.write(mask(lines.decode("utf-8", "surrogateescape")).encode("utf-8", "surrogateescape"))
    except OSError:  # a run must not end because its log cannot be written
        return
