"""Commit the writes of many callers in groups, in one thread.

Writes are numbered as they are submitted and reach the disk in that order. Waiting for a write is cheap: it takes no
operating-system object and does not wake the thread. The thread announces each group once to all who wait for it.
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
from synthgen.numerics.rate import Rate

GROUP_RECORDS = 256
GROUP_SECONDS = 0.02
"""Seconds to collect a group while there are many writes, because a commit costs CPU time and a wait for the disk."""
_SOON = 0.001
_MANY = 500.0  # writes a second; with fewer, waiting fills no group and only delays the requests that wait for it

T = TypeVar("T")


class Write:
    """Track a submitted write. Await it, or call `result`, to wait until it is on disk. It cannot be cancelled."""

    __slots__ = ("_commits", "_number")

    def __init__(self, commits: "Commits", number: int) -> None:
        self._commits = commits
        self._number = number

    def done(self) -> bool:
        """Return True when the write is on disk, or lost."""
        return self._commits.reached(self._number) or self._commits.failure is not None

    def exception(self) -> WriteError | None:
        """Return the error that prevented the write, or None."""
        return None if self._commits.reached(self._number) else self._commits.failure

    def result(self, timeout: float | None = None) -> None:
        """Block until the write is on disk. Raise WriteError when it is lost, TimeoutError after `timeout` seconds."""
        self._commits.wait_for(self._number, timeout)
        if (error := self.exception()) is not None:
            raise error

    def add_done_callback(self, callback: "Callable[[Write], object]") -> None:
        """Call `callback` once with this write when it is done: now, or later in the committing thread."""
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
        """The error that ended the writing. Every write after number `_committed` is lost."""
        self._closed = False
        self._rate = Rate()
        self._executing = threading.Lock()  # held while statements are executed and committed
        self._lock = threading.Lock()  # used directly where no notification is needed, because a Condition is slower
        self._changed = threading.Condition(self._lock)
        self._some, self._enough = threading.Event(), threading.Event()
        self._callbacks: deque[tuple[int, Callable[[], object]]] = deque()
        self._waiters: deque[tuple[int, asyncio.Future[None]]] = deque()
        self._thread = threading.Thread(target=self._run, name="ledger", daemon=True)
        self._thread.start()

    def submit(self, statements: list[Statement]) -> Write:
        """Queue statements that are committed together. Raise WriteError after an earlier write was lost."""
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

    def exclusively(self, work: Callable[[sqlite3.Connection], None]) -> None:
        """Call `work` with the connection between two groups of writes, in this thread, and commit its writes.

        Raise WriteError if the disk refuses it; nothing of it is written then.
        """
        with self._executing:
            try:
                work(self._connection)
                self._connection.commit()
            except sqlite3.OperationalError as error:
                self._connection.rollback()
                raise WriteError(f"{self._path}: cannot write the ledger: {error}") from error
            except BaseException:
                self._connection.rollback()
                raise

    def close(self) -> None:
        """Commit all queued statements and close the file."""
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
        """Wait for a write. Raise TimeoutError after `timeout` seconds."""
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
        """Return a future of the running event loop that completes when the write is on disk or lost."""
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
                with self._executing:
                    for sql, values in together([row for statements in group for row in statements]):
                        self._connection.execute(sql, values)
                    self._connection.commit()
            except BaseException as error:  # every caller that waits for a write gets the error
                with contextlib.suppress(sqlite3.Error):
                    self._connection.rollback()
                lost = WriteError(f"{self._path}: cannot write the ledger: {error}")
                lost.__cause__ = error
                self._announce(0, lost)
                return  # writes reach the disk in order, so none may follow a lost one
            self._announce(len(group), None)

    def _next_group(self) -> list[list[Statement]] | None:
        """Wait for a write, collect up to GROUP_RECORDS for a while, and return them; None at the end."""
        self._some.wait()
        self._enough.wait(GROUP_SECONDS if self._rate.per_second() > _MANY else _SOON)
        with self._lock:
            group = [self._queue.popleft() for _ in range(min(len(self._queue), GROUP_RECORDS))]
            self._rate.add(len(group))
            if not self._closed:
                if len(self._queue) < GROUP_RECORDS:
                    self._enough.clear()
                if not self._queue:
                    self._some.clear()
            return group or (None if self._closed else [])

    def _announce(self, count: int, lost: WriteError | None) -> None:
        """Notify all who wait for a group that is on disk. When it is lost, notify all who wait for any write."""
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
            with contextlib.suppress(RuntimeError):  # the event loop is closed, so nothing waits there any more
                loop.call_soon_threadsafe(_finish, futures)


def _until(entries: "deque[tuple[int, T]]", number: int) -> list[T]:
    """Remove and return the entries up to `number`. A misplaced entry, which is rare, waits for the next group."""
    taken = []
    while entries and entries[0][0] <= number:
        taken.append(entries.popleft()[1])
    return taken


def _finish(futures: "list[asyncio.Future[None]]") -> None:
    for future in futures:
        if not future.done():
            future.set_result(None)
