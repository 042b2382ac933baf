"""Run a `synthgen` that dies, or runs out of disk space, at a named point.

The program is the real one, with a few wrappers. One records each acknowledged sample. The others count how often a
point is passed and send SIGKILL to this process at the Nth time. A point is `none`, or one of `POINTS` followed by
`:N`.
"""

import os
import resource
import signal
import sqlite3
import sys
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

# A run imports these modules late. The server process that forks each child imports them once, before the first fork.
import faiss  # noqa: F401
import hydra  # noqa: F401
import scipy.optimize  # noqa: F401
import uvloop  # noqa: F401
import wordfreq  # noqa: F401

import synthgen.config
import synthgen.run.lifecycle  # noqa: F401
from synthgen import report
from synthgen.cli import dispatch
from synthgen.engines.fake.replay import ReplayEngine
from synthgen.ledger import schema
from synthgen.ledger.commits import Write
from synthgen.ledger.writer import Ledger, Settled

POINTS = (
    "statement",  # in the middle of a transaction
    "before-commit",
    "after-commit",  # on disk, but not acknowledged yet
    "acknowledged",
    "answered",  # the engine has answered, but nothing is written yet
    "before-rename",
    "after-rename",
    "full-export",  # from this point a file may have at most 100 bytes
)


class Trap:
    """Fire at the Nth passing of its point."""

    def __init__(self, point: str) -> None:
        self.point, _, count = point.partition(":")
        self.left = int(count or 1)

    def passes(self, point: str) -> None:
        if point != self.point:
            return
        self.left -= 1
        if self.left == 0:
            if point == "full-export":
                resource.setrlimit(resource.RLIMIT_FSIZE, (100, resource.RLIM_INFINITY))
            else:
                os.kill(os.getpid(), signal.SIGKILL)


class PassingConnection:
    """Wrap an SQLite connection so that it reports the points it passes."""

    def __init__(self, connection: sqlite3.Connection, trap: Trap) -> None:
        self._connection = connection
        self._trap = trap

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)

    def execute(self, *arguments: Any) -> Any:
        done = self._connection.execute(*arguments)
        self._trap.passes("statement")
        return done

    def commit(self) -> None:
        self._trap.passes("before-commit")
        self._connection.commit()
        self._trap.passes("after-commit")


def set_up(acknowledged: Path, trap: Trap) -> None:
    """Put the wrappers around the program."""
    told = os.open(acknowledged, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    connect, settle, complete = schema.connect, Ledger.settle, ReplayEngine.complete

    def settling(ledger: Ledger, slot: int, state: str, settled: list[Settled]) -> Write:
        future = settle(ledger, slot, state, settled)
        ids = [entry.sample.id for entry in settled if entry.sample is not None]

        def tell(done: Write) -> None:
            if done.exception() is None:
                os.write(told, "".join(f"{key}\n" for key in ids).encode())
                trap.passes("acknowledged")

        future.add_done_callback(tell)
        return future

    async def completing(engine: ReplayEngine, request: Any) -> Any:
        completion = await complete(engine, request)
        trap.passes("answered")
        return completion

    def around(rename: Callable[..., Any]) -> Callable[..., Any]:
        def renaming(*arguments: Any, **named: Any) -> Any:
            trap.passes("before-rename")
            done = rename(*arguments, **named)
            trap.passes("after-rename")
            return done

        return renaming

    def summarising(*arguments: Any) -> Any:
        trap.passes("full-export")
        return write_reports(*arguments)

    write_reports = report.write_reports
    report.write_reports = summarising
    schema.connect = lambda path: PassingConnection(connect(path), trap)  # type: ignore[assignment, return-value]
    Ledger.settle = settling  # type: ignore[method-assign, assignment]
    ReplayEngine.complete = completing  # type: ignore[method-assign]
    os.rename, os.replace = around(os.rename), around(os.replace)


def main(
    place: Path, acknowledged: Path, point: str, command: Sequence[str], printing: Connection, limit: int | None
) -> None:
    """Run a verb in `place` and end this process with its exit code; `limit` is the most bytes that a file may have."""
    os.chdir(place)
    os.dup2(printing.fileno(), 1)
    os.dup2(printing.fileno(), 2)
    printing.close()
    if limit is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    set_up(acknowledged, Trap(point))
    sys.exit(dispatch(command))
