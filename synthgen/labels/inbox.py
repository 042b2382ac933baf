"""Write people's answers to a ledger, even while another process is writing it.

An answer is first appended to an inbox file in the run folder. The process that holds the folder's lock moves the lines
from the inbox into the ledger. This is the active run, or `synthgen label` itself. A kill at any point loses no answer,
because lines stay in the inbox until the ledger has them. Applying a line twice does no harm, because lines are always
applied in order.
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

import msgspec

from synthgen.errors import RunFolderError, WriteError
from synthgen.ledger import Ledger, Reader, check, check_writable, free_lock, holder, upgrade
from synthgen.ledger.durable import cure, sync
from synthgen.records import Correction, PersonAnswer, Sample, Withdrawal

NAME = ".answers.inbox"
Change = PersonAnswer | Withdrawal | Correction

_TAKE_SECONDS = 0.25
_POLL_SECONDS = 0.05
_SLOW_SECONDS = 3.0


class Inbox:
    """Hold the answers of a run folder that are not in its ledger yet."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / NAME

    def append(self, changes: Sequence[Change]) -> None:
        """Append `changes`. They are on disk when this returns. Raise WriteError when they cannot be written."""
        lines = "".join(_line(change) for change in changes).encode()
        try:
            with self.path.open("ab+") as file, _locked(file):
                file.truncate(_complete(file))  # a partial line of a killed writer was never acknowledged
                file.write(lines)
                file.flush()
                os.fsync(file.fileno())
            sync(self.path.parent)
        except OSError as error:
            raise WriteError(
                f"{self.path}: the answer cannot be written: {error.strerror}; {cure(error)}, and answer again"
            ) from error

    def holds(self, changes: Sequence[Change]) -> bool:
        """Tell whether the inbox still contains any of `changes`."""
        return bool({_line(change).encode() for change in changes} & {*self.path.read_bytes().splitlines(True)})

    def take(self, ledger: Ledger) -> int:
        """Move all changes into the ledger and return their number. Return 0 while another process appends.

        Invalid lines, which only an edit by hand can cause, are dropped.
        """
        if not self.path.exists() or not self.path.stat().st_size:
            return 0
        with self.path.open("rb+") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return 0
            lines = file.read(_complete(file)).splitlines()
            changes = [change for line in lines if (change := _change(line)) is not None]
            ledger.take_answers(changes).result()
            file.truncate(0)
            os.fsync(file.fileno())
        return len(changes)


@contextlib.contextmanager
def taking_answers(folder: Path, ledger: Ledger) -> Iterator[None]:
    """Move answers into `ledger` as they arrive. Answers left by an earlier process are moved first.

    This uses a thread, because the start of the engine and the training of the student block for a long time.
    """
    inbox = Inbox(folder)
    inbox.take(ledger)
    over = threading.Event()

    def take() -> None:
        # A ledger that refuses writes ends the run by itself. The answers stay in the inbox.
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


class AnswerStore:
    """Write answers to the ledger of a run folder, even while a run is active there. Call `close` at the end.

    Raise RunFolderError when the ledger is damaged, or when an older synthgen that does not support answers is using it.
    """

    def __init__(self, folder: Path, say: Callable[[str], object]) -> None:
        self._folder = folder
        self._path = folder / "ledger.sqlite"
        self._inbox = Inbox(folder)
        self._say = say
        check_writable(folder)
        check(self._path)
        with free_lock(folder) as locked:
            if locked:
                upgrade(self._path)
                with Ledger.reopen(self._path) as ledger:
                    self._inbox.take(ledger)
        self.reader = Reader(self._path)
        if not self.reader.takes_answers:
            self.reader.close()
            raise RunFolderError(
                f"{folder}: an older version of synthgen is running in this folder, and it does not support answers; "
                "wait until it ends, then try again"
            )

    def close(self) -> None:
        self.reader.close()

    def put(self, changes: Sequence[Change]) -> None:
        """Write `changes` and return when they are in the ledger. Raise WriteError when they cannot be written.

        Raise RunFolderError for corrections and adjudications while an older version of synthgen uses the run folder,
        because it would drop them. It would also drop a guide's hash, which is then left out.
        """
        if not self.reader.takes_corrections:
            if any(isinstance(one, Correction) or (isinstance(one, PersonAnswer) and one.role) for one in changes):
                raise RunFolderError(
                    f"{self._folder}: an older version of synthgen is running in this folder, and it knows neither "
                    "corrections nor adjudications; wait until it ends, then try again"
                )
            changes = [one._replace(guide=None) if isinstance(one, PersonAnswer) else one for one in changes]
        self._inbox.append(changes)
        slow = time.monotonic() + _SLOW_SECONDS
        with Reader(self._path) as reader:  # a new reader, because the web page calls from other threads
            while not _taken(reader, changes):
                if not self._inbox.holds(changes):
                    return  # moved to the ledger, then replaced from another window of the same person
                if self._take():
                    continue
                if time.monotonic() > slow:
                    pid = holder(self._folder) or "unknown"
                    self._say(
                        f"saved; waiting for the process (PID {pid}) that uses this run folder to write it to the ledger"
                    )
                    slow = float("inf")
                time.sleep(_POLL_SECONDS)

    def _take(self) -> bool:
        """Move the inbox into the ledger if no process uses the run folder. Return True when that was the case."""
        if holder(self._folder) is not None:
            return False
        with free_lock(self._folder) as locked:
            if locked:
                with Ledger.reopen(self._path) as ledger:
                    self._inbox.take(ledger)
            return locked


def _taken(reader: Reader, changes: Sequence[Change]) -> bool:
    """Tell whether the ledger contains the final state of `changes`."""
    made = [change.sample.id for change in changes if isinstance(change, Correction)]
    last = {(one.sample_id, one.annotator): one for one in changes if not isinstance(one, Correction)}
    return all(reader.sample(key) is not None for key in made) and all(
        reader.people_answer(*key) == (change if isinstance(change, PersonAnswer) else None)
        for key, change in last.items()
    )


@contextlib.contextmanager
def _locked(file: IO[bytes]) -> Iterator[None]:
    fcntl.flock(file, fcntl.LOCK_EX)
    yield  # closing the file releases the lock


def _complete(file: IO[bytes]) -> int:
    """Return the number of bytes in complete lines, and move to the beginning of the file."""
    file.seek(0)
    length = file.read().rfind(b"\n") + 1
    file.seek(0)
    return length


def _line(change: Change) -> str:
    if isinstance(change, Correction):
        return json.dumps({"correction": change.sample.model_dump()}) + "\n"
    values = [*change]
    while len(values) > 4 and values[-1] is None:  # four values are a line that an older version reads too
        values.pop()
    return json.dumps(values) + "\n"


def _change(line: bytes) -> Change | None:
    try:
        values = json.loads(line)
        match values:
            case [str(sample_id), str(annotator), None | str() as answer, int() | float() as at, *more] if len(
                more
            ) <= 2 and all(one is None or isinstance(one, str) for one in more):
                return PersonAnswer(sample_id, annotator, answer, float(at), *more)
            case {"correction": dict() as sample}:
                return Correction(msgspec.convert(sample, Sample))
            case [str(sample_id), str(annotator)]:
                return Withdrawal(sample_id, annotator)
    except (ValueError, msgspec.ValidationError):
        pass
    return None
