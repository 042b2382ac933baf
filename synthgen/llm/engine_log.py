"""engine.log: what a server process prints, with every secret taken out on the way.

The process writes into a pipe; a thread of ours puts whole lines into the file. It never stops
reading, disk full or not, for a server that cannot print stands still.
"""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from synthgen.secrecy import Masker

_CHUNK = 65536


@contextmanager
def masked_into(log: Path) -> Iterator[tuple[int, threading.Thread]]:
    """A file descriptor for a process to write to, and the thread that is done when all of it is in `log`."""
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
    except OSError:  # the log is for people; a run does not end for want of it
        return
