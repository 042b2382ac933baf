"""Brings people's answers into a ledger that another process may be writing.

An answer is first appended to a file in the run folder. Whoever holds the folder's lock moves the file's lines into the
ledger: the run that is at work, or `synthgen label` itself. A kill at any point loses no answer and applies none twice
with another result, because the lines are kept until the ledger has them and are always applied in order.
"""

import contextlib
import fcntl
import json
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO

from synthgen.errors import RunFolderError, WriteError
from synthgen.ledger import Ledger, Reader, check, check_writable, free_lock, holder, upgrade
from synthgen.ledger.durable import cure, sync
from synthgen.records import PersonAnswer, Withdrawal

NAME = ".answers.inbox"
Change = PersonAnswer | Withdrawal

_TAKE_SECONDS = 0.25
_POLL_SECONDS = 0.05
_SLOW_SECONDS = 3.0


class Inbox:
    """Hold the answers of a run folder that are not in its ledger yet."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / NAME

    def append(self, changes: Sequence[Change]) -> None:
        """Write `changes` behind what is there, on disk when this returns. Raises WriteError."""
        lines = "".join(_line(change) for change in changes).encode()
        try:
            with self.path.open("ab+") as file, _held(file):
                file.truncate(_whole(file))  # a killed writer's half line was never acknowledged
                file.write(lines)
                file.flush()
                os.fsync(file.fileno())
            sync(self.path.parent)
        except OSError as error:
            raise WriteError(
                f"{self.path}: the answer cannot be written: {error.strerror}; {cure(error)}, and answer again"
            ) from error

    def holds(self, changes: Sequence[Change]) -> bool:
        """Tell whether any of `changes` still waits here."""
        return bool({_line(change).encode() for change in changes} & {*self.path.read_bytes().splitlines(True)})

    def take(self, ledger: Ledger) -> int:
        """Move what is there into the ledger and return how many changes that were; 0 while somebody appends.

        Lines that are no answers, which only an edit by hand can leave, are dropped.
        """
        if not self.path.exists() or not self.path.stat().st_size:
            return 0
        with self.path.open("rb+") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return 0
            lines = file.read(_whole(file)).splitlines()
            changes = [change for line in lines if (change := _change(line)) is not None]
            ledger.take_answers(changes).result()
            file.truncate(0)
            os.fsync(file.fileno())
        return len(changes)


@contextlib.contextmanager
def taking_answers(folder: Path, ledger: Ledger) -> Iterator[None]:
    """Move answers into `ledger` as they come, from a thread: the engine's start and the student's training take long.

    What an earlier process left in the inbox is moved before this begins.
    """
    inbox = Inbox(folder)
    inbox.take(ledger)
    over = threading.Event()

    def take() -> None:
        # A ledger that takes no more writes ends the run by itself; the answers stay in the inbox.
        with contextlib.suppress(WriteError, OSError):
            while not over.wait(_TAKE_SECONDS):
                inbox.take(ledger)

    thread = threading.Thread(target=take, name="answers", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
        with contextlib.suppress(WriteError, OSError):
            inbox.take(ledger)


class Store:
    """Write answers to the ledger of a run folder, also while a run is at work there. Close it.

    Raises RunFolderError where the ledger is damaged, or held by a version of synthgen that takes no answers.
    """

    def __init__(self, folder: Path, say: Callable[[str], object]) -> None:
        self._folder = folder
        self._path = folder / "ledger.sqlite"
        self._inbox = Inbox(folder)
        self._say = say
        check_writable(folder)
        check(self._path)
        with free_lock(folder) as held:
            if held:
                upgrade(self._path)
                with Ledger.reopen(self._path) as ledger:
                    self._inbox.take(ledger)
        self.reader = Reader(self._path)
        if not self.reader.takes_answers:
            self.reader.close()
            raise RunFolderError(
                f"{folder}: an older version of synthgen is at work here, which takes no answers; "
                "wait until it ends, then try again"
            )

    def close(self) -> None:
        self.reader.close()

    def put(self, changes: Sequence[Change]) -> None:
        """Return when `changes` are in the ledger. Raises WriteError where the disk refuses them."""
        self._inbox.append(changes)
        slow = time.monotonic() + _SLOW_SECONDS
        with Reader(self._path) as reader:  # its own: a page calls from other threads
            while not _taken(reader, changes):
                if not self._inbox.holds(changes):
                    return  # taken, and replaced since by another window of the same person
                if self._take():
                    continue
                if time.monotonic() > slow:
                    pid = holder(self._folder) or "unknown"
                    self._say(
                        f"saved; waiting for the process (PID {pid}) that works in this run folder to take it over"
                    )
                    slow = float("inf")
                time.sleep(_POLL_SECONDS)

    def _take(self) -> bool:
        """Move the inbox into the ledger if no process works in the run folder; tells whether none does."""
        if holder(self._folder) is not None:
            return False
        with free_lock(self._folder) as held:
            if held:
                with Ledger.reopen(self._path) as ledger:
                    self._inbox.take(ledger)
            return held


def _taken(reader: Reader, changes: Sequence[Change]) -> bool:
    """Tell whether the ledger says what `changes` come to."""
    last: dict[tuple[str, str], Change] = {(change.sample_id, change.annotator): change for change in changes}
    sql = "SELECT sample_id, annotator, answer, at FROM answers WHERE sample_id = ? AND annotator = ?"
    return all(
        next((PersonAnswer(*row) for row in reader.rows(sql, key)), None)
        == (change if isinstance(change, PersonAnswer) else None)
        for key, change in last.items()
    )


@contextlib.contextmanager
def _held(file: IO[bytes]) -> Iterator[None]:
    fcntl.flock(file, fcntl.LOCK_EX)
    yield  # closing the file gives it back


def _whole(file: IO[bytes]) -> int:
    """Return how many bytes of the file are whole lines, and go to its beginning."""
    file.seek(0)
    length = file.read().rfind(b"\n") + 1
    file.seek(0)
    return length


def _line(change: Change) -> str:
    return json.dumps([*change]) + "\n"


def _change(line: bytes) -> Change | None:
    try:
        values = json.loads(line)
        match values:
            case [str(sample_id), str(annotator), None | str() as answer, int() | float() as at]:
                return PersonAnswer(sample_id, annotator, answer, float(at))
            case [str(sample_id), str(annotator)]:
                return Withdrawal(sample_id, annotator)
    except ValueError:
        pass
    return None
