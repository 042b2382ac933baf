"""One thread that commits what many submit, group by group.

Writes are numbered as they come and reach the disk in that order. Waiting for one costs no object of the
operating system's and no wake-up of the thread: a group is announced once, to all who wait for it.
"""

import asyncio
import contextlib
import sqlite3
import threading
from collections import deque
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any, TypeVar

from synthgen.errors import RunFolderError, WriteError
from synthgen.ledger.bulk import Statement, together

GROUP_RECORDS = 256
GROUP_SECONDS = 0.02

T = TypeVar("T")


class Write:
    """Follow a write under way. Await it, or call `result`, to know that it is on disk; it cannot be undone."""

    __slots__ = ("_commits", "_number")

    def __init__(self, commits: "Commits", number: int) -> None:
        self._commits = commits
        self._number = number

    def done(self) -> bool:
        """Return True when it is on disk, or lost."""
        return self._commits.reached(self._number) or self._commits.failure is not None

    def exception(self) -> WriteError | None:
        """Return the error that lost it, if any."""
        return None if self._commits.reached(self._number) else self._commits.failure

    def result(self, timeout: float | None = None) -> None:
        """Block until it is on disk. Raise WriteError when it is lost, TimeoutError after `timeout` seconds."""
        self._commits.wait_for(self._number, timeout)
        if (error := self.exception()) is not None:
            raise error

    def add_done_callback(self, callback: "Callable[[Write], object]") -> None:
        """Called once with this write when it is done: by the committing thread, or now."""
        self._commits.call_back(self._number, lambda: callback(self))

    def __await__(self) -> Generator[Any, None, None]:
        if not self.done():
            yield from self._commits.waiter(self._number)
        if (error := self.exception()) is not None:
            raise error


class Commits:
    """Execute statements, grouped into commits, on a connection that it owns."""

    def __init__(self, connection: sqlite3.Connection, path: Path) -> None:
        self._connection = connection
        self._path = path
        self._queue: deque[list[Statement]] = deque()
        self._submitted = 0
        self._committed = 0
        self.failure: WriteError | None = None
        """What ended the writing; every write after `_committed` is lost."""
        self._closed = False
        self._lock = threading.Lock()  # taken itself where nobody waits or is told: a condition's `with` is slow Python
        self._changed = threading.Condition(self._lock)
        self._some, self._enough = threading.Event(), threading.Event()
        self._callbacks: deque[tuple[int, Callable[[], object]]] = deque()
        self._waiters: deque[tuple[int, asyncio.Future[None]]] = deque()
        self._thread = threading.Thread(target=self._run, name="ledger", daemon=True)
        self._thread.start()

    def submit(self, statements: list[Statement]) -> Write:
        """Queue statements that become visible together. Raise WriteError once a write was lost."""
        with self._lock:
            if self.failure is not None:
                raise WriteError(f"{self._path}: the ledger stopped writing: {self.failure.__cause__}")
            if self._closed:
                raise RunFolderError(f"{self._path}: the ledger is closed")
            self._queue.append(statements)
            self._submitted += 1
            number, waiting = self._submitted, len(self._queue)
        if waiting == 1:
            self._some.set()
        if waiting == GROUP_RECORDS:
            self._enough.set()
        return Write(self, number)

    def close(self) -> None:
        """Commit the queue and close the file."""
        with self._changed:
            self._closed = True
        self._some.set()
        self._enough.set()
        self._thread.join()
        self._connection.close()

    # -- waiting -----------------------------------------------------------------------------------

    def reached(self, number: int) -> bool:
        return number <= self._committed

    def wait_for(self, number: int, timeout: float | None) -> None:
        """Wait for a write. Raise TimeoutError."""
        with self._changed:
            if not self._changed.wait_for(lambda: self._is_over(number), timeout):
                raise TimeoutError

    def call_back(self, number: int, callback: Callable[[], object]) -> None:
        with self._lock:
            if not self._is_over(number):
                self._callbacks.append((number, callback))
                return
        callback()

    def waiter(self, number: int) -> "asyncio.Future[None]":
        """Return a future of the running loop that completes with the write, whatever its outcome."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        with self._lock:
            if not self._is_over(number):
                self._waiters.append((number, future))
                return future
        future.set_result(None)
        return future

    def _is_over(self, number: int) -> bool:
        return self.reached(number) or self.failure is not None

    # -- the thread --------------------------------------------------------------------------------

    def _run(self) -> None:
        while (group := self._next_group()) is not None:
            try:
                for sql, values in together([row for statements in group for row in statements]):
                    self._connection.execute(sql, values)
                self._connection.commit()
            except BaseException as error:  # handed to every waiter: whoever waits for the disk learns of it
                with contextlib.suppress(sqlite3.Error):
                    self._connection.rollback()
                lost = WriteError(f"{self._path}: cannot write the ledger: {error}")
                lost.__cause__ = error
                self._announce(0, lost)
                return  # order is part of the promise: nothing after a lost write
            self._announce(len(group), None)

    def _next_group(self) -> list[list[Statement]] | None:
        """Wait for a write, then take what arrives within GROUP_SECONDS or GROUP_RECORDS; None at the end."""
        self._some.wait()
        self._enough.wait(GROUP_SECONDS)
        with self._lock:
            group = [self._queue.popleft() for _ in range(min(len(self._queue), GROUP_RECORDS))]
            if not self._closed:
                if len(self._queue) < GROUP_RECORDS:
                    self._enough.clear()
                if not self._queue:
                    self._some.clear()
            return group or (None if self._closed else [])

    def _announce(self, count: int, lost: WriteError | None) -> None:
        """Complete the waiters of a group that is on disk, or fail those of any later write when it is lost."""
        with self._changed:
            self._committed += count
            self.failure = lost
            over = self._submitted if lost is not None else self._committed
            callbacks = _until(self._callbacks, over)
            waiters = _until(self._waiters, over)
            self._changed.notify_all()
        for callback in callbacks:
            callback()
        loops: dict[asyncio.AbstractEventLoop, list[asyncio.Future[None]]] = {}
        for future in waiters:
            loops.setdefault(future.get_loop(), []).append(future)
        for loop, futures in loops.items():
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits there any more
                loop.call_soon_threadsafe(_finish, futures)


def _until(entries: "deque[tuple[int, T]]", number: int) -> list[T]:
    """Remove the entries up to `number`. They arrive nearly in order; a late one waits for one more group."""
    taken = []
    while entries and entries[0][0] <= number:
        taken.append(entries.popleft()[1])
    return taken


def _finish(futures: "list[asyncio.Future[None]]") -> None:
    for future in futures:
        if not future.done():
            future.set_result(None)
