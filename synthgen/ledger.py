"""The durable truth of a run: one SQLite file, one writing connection, group commit.

Writes are queued and committed by one thread; `written()` or the future of a write tells when
they are on disk, and nothing may be called accepted before that. Reading is for any number of
connections; figures for reports are computed in `synthgen.report`.
"""

import asyncio
import contextlib
import fcntl
import json
import os
import queue
import sqlite3
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from synthgen.errors import RunFolderError
from synthgen.records import Candidate, Completion, Json, PlannedSlot, Request, Sample, Verdict, content_id

SCHEMA_VERSION = 1
APPLICATION_ID = 0x73796E67  # "syng" in the file header: tells a ledger from any other SQLite file
GROUP_RECORDS = 64
GROUP_SECONDS = 0.02

_SCHEMA = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE texts (id TEXT PRIMARY KEY, body TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE slots (slot INTEGER PRIMARY KEY, grp INTEGER NOT NULL, label TEXT, strategy TEXT NOT NULL,
  parents TEXT NOT NULL, state TEXT NOT NULL);
CREATE TABLE requests (id TEXT NOT NULL, attempt INTEGER NOT NULL, slot INTEGER NOT NULL, kind TEXT NOT NULL,
  messages TEXT NOT NULL, spec TEXT NOT NULL, sent_at REAL NOT NULL, state TEXT NOT NULL, error TEXT,
  text TEXT, finish_reason TEXT, logprobs TEXT, prompt_tokens INTEGER, cached_tokens INTEGER,
  completion_tokens INTEGER, engine TEXT, seconds REAL, PRIMARY KEY (id, attempt)) WITHOUT ROWID;
CREATE TABLE candidates (slot INTEGER NOT NULL, item INTEGER NOT NULL, id TEXT NOT NULL, label TEXT, text TEXT NOT NULL,
  data TEXT, finish_reason TEXT NOT NULL, parents TEXT NOT NULL, depth INTEGER NOT NULL, strategy TEXT NOT NULL,
  template TEXT NOT NULL, outcome TEXT NOT NULL, "check" TEXT, reason TEXT, PRIMARY KEY (slot, item)) WITHOUT ROWID;
CREATE TABLE verdicts (slot INTEGER NOT NULL, item INTEGER NOT NULL, position INTEGER NOT NULL, "check" TEXT NOT NULL,
  outcome TEXT NOT NULL, reason TEXT, score REAL, details TEXT NOT NULL,
  PRIMARY KEY (slot, item, position)) WITHOUT ROWID;
CREATE TABLE samples (id TEXT PRIMARY KEY, position INTEGER NOT NULL UNIQUE, data TEXT NOT NULL, origin TEXT NOT NULL,
  label TEXT, slot INTEGER, item INTEGER, parents TEXT NOT NULL, depth INTEGER NOT NULL, strategy TEXT NOT NULL,
  template TEXT NOT NULL, quality REAL NOT NULL, novelty REAL NOT NULL);
CREATE UNIQUE INDEX samples_by_slot ON samples (slot, item) WHERE slot IS NOT NULL;
CREATE INDEX requests_by_slot ON requests (slot);
CREATE TABLE embeddings (sample_id TEXT PRIMARY KEY REFERENCES samples (id), vector BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE events (seq INTEGER PRIMARY KEY, at REAL NOT NULL, kind TEXT NOT NULL, data TEXT NOT NULL);
"""

Statement = tuple[str, Sequence[Any]]
Vector = npt.NDArray[np.float32]

_REQUEST = (
    "INSERT OR REPLACE INTO requests (id, attempt, slot, kind, messages, spec, sent_at, state)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, 'sent')"
)
_ANSWER = (
    "UPDATE requests SET state = 'answered', text = ?, finish_reason = ?, logprobs = ?, prompt_tokens = ?,"
    " cached_tokens = ?, completion_tokens = ?, engine = ?, seconds = ? WHERE id = ? AND attempt = ?"
)
_FAILURE = "UPDATE requests SET state = 'failed', error = ? WHERE id = ? AND attempt = ?"
_TEXT = "INSERT OR IGNORE INTO texts VALUES (?, ?)"
_CANDIDATE = "INSERT INTO candidates VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
_VERDICT = "INSERT INTO verdicts VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
_SAMPLE = (
    "INSERT INTO samples VALUES"
    " (?, (SELECT COALESCE(MAX(position), -1) + 1 FROM samples), ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
_EMBEDDING = "INSERT INTO embeddings VALUES (?, ?)"


@dataclass(frozen=True)
class Settled:
    """One candidate with its verdicts, and the sample it became if it was accepted."""

    candidate: Candidate
    verdicts: tuple[Verdict, ...]
    sample: Sample | None = None


class Ledger:
    """The writing side. Make one with `create` or `open`; close it, or use it as a context."""

    def __init__(self, connection: sqlite3.Connection, path: Path) -> None:
        self.path = path
        self._connection = connection
        self._queue: queue.SimpleQueue[tuple[list[Statement], Future[None]] | None] = queue.SimpleQueue()
        self._known: set[str] = set()
        self._failure: BaseException | None = None
        self._closed = False
        self._thread = threading.Thread(target=self._write_loop, name="ledger", daemon=True)
        self._thread.start()

    @classmethod
    def create(cls, path: Path, meta: Json) -> "Ledger":
        """A new ledger with `meta` in it. Raises RunFolderError if the file exists."""
        if path.exists():
            raise RunFolderError(f"{path} exists already; a ledger is never overwritten")
        unfinished = path.with_name(f"{path.name}.new")  # a kill in here leaves no half ledger at `path`
        unfinished.unlink(missing_ok=True)
        connection = _connect(unfinished)
        connection.executescript(_SCHEMA)
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
        rows = [(key, json.dumps(value, ensure_ascii=False)) for key, value in meta.items()]
        connection.executemany("INSERT INTO meta VALUES (?, ?)", rows)
        connection.commit()
        connection.close()
        unfinished.rename(path)
        return cls(_connect(path), path)

    @classmethod
    def open(cls, path: Path) -> "Ledger":
        """An existing ledger, checked. Raises RunFolderError if it is missing, foreign or corrupt."""
        check(path)
        return cls(_connect(path), path)

    def __enter__(self) -> "Ledger":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Commits what is queued and closes the file."""
        self._closed = True
        if self._thread.is_alive():
            self._queue.put(None)
            self._thread.join()
            self._connection.close()

    # -- writes: each returns a future that is done when the write is on disk --------------------

    def set_meta(self, key: str, value: Any) -> Future[None]:
        return self._submit(
            [("INSERT OR REPLACE INTO meta VALUES (?, ?)", (key, json.dumps(value, ensure_ascii=False)))]
        )

    def plan(self, slots: Iterable[PlannedSlot]) -> Future[None]:
        return self._submit(
            [
                (
                    "INSERT INTO slots VALUES (?, ?, ?, ?, ?, 'planned')",
                    (s.slot, s.group, s.label, s.strategy, json.dumps(s.parents)),
                )
                for s in slots
            ]
        )

    def sent(self, request: Request, attempt: int, slot: int, kind: str) -> Future[None]:
        """Records a request before it is sent; its texts are kept once each."""
        statements: list[Statement] = []
        messages = [self._text(message.model_dump(), statements) for message in request.messages]
        grammar = request.grammar.model_dump() if request.grammar else None
        spec = {
            "grammar": grammar,
            "sampling": request.sampling.model_dump(exclude={"seed"}),
            "priority": request.priority,
        }
        spec_id = self._text(spec, statements)
        statements.append((_REQUEST, (request.id, attempt, slot, kind, json.dumps(messages), spec_id, time.time())))
        return self._submit(statements)

    def answered(self, request_id: str, attempt: int, completion: Completion) -> Future[None]:
        c = completion
        logprobs = json.dumps(c.logprobs) if c.logprobs else None
        figures = (c.prompt_tokens, c.cached_tokens, c.completion_tokens, c.engine, c.seconds)
        return self._submit([(_ANSWER, (c.text, c.finish_reason, logprobs, *figures, request_id, attempt))])

    def failed(self, request_id: str, attempt: int, error: str) -> Future[None]:
        return self._submit([(_FAILURE, (error, request_id, attempt))])

    def settle(self, slot: int, state: str, settled: Sequence[Settled]) -> Future[None]:
        """One transaction: a slot's candidates, verdicts, samples and embeddings, and its end."""
        statements: list[Statement] = [("UPDATE slots SET state = ? WHERE slot = ?", (state, slot))]
        for entry in settled:
            statements += _candidate_rows(entry)
            if entry.sample is not None:
                statements += _sample_rows(entry.sample, entry.candidate.embedding)
        return self._submit(statements)

    def add_seeds(self, seeds: Sequence[Sample], vectors: Sequence[Vector]) -> Future[None]:
        return self._submit(
            [row for sample, vector in zip(seeds, vectors, strict=True) for row in _sample_rows(sample, vector)]
        )

    def event(self, kind: str, data: Json) -> Future[None]:
        body = json.dumps(data, ensure_ascii=False)
        return self._submit([("INSERT INTO events (at, kind, data) VALUES (?, ?, ?)", (time.time(), kind, body))])

    async def written(self) -> None:
        """Returns when everything submitted so far is on disk."""
        await asyncio.wrap_future(self._submit([]))

    # -- the writer ------------------------------------------------------------------------------

    def _text(self, body: Json, statements: list[Statement]) -> str:
        key = content_id(body)
        if key not in self._known:
            if len(self._known) > 100_000:
                self._known.clear()
            self._known.add(key)
            statements.append((_TEXT, (key, json.dumps(body, ensure_ascii=False))))
        return key

    def _submit(self, statements: list[Statement]) -> Future[None]:
        if self._failure is not None:
            raise RunFolderError(f"{self.path}: the ledger stopped writing: {self._failure}")
        if self._closed:
            raise RunFolderError(f"{self.path}: the ledger is closed")
        future: Future[None] = Future()
        future.set_running_or_notify_cancel()  # who waits may be cancelled, the write may not
        self._queue.put((statements, future))
        return future

    def _write_loop(self) -> None:
        open_for_more = True
        while open_for_more:
            batch, open_for_more = self._next_group()
            try:
                if self._failure is not None:  # order is part of the promise: nothing after a lost write
                    raise self._failure
                for statements, _ in batch:
                    for sql, values in statements:
                        self._connection.execute(sql, values)
                self._connection.commit()
            except BaseException as error:  # handed to every waiter: whoever waits for the disk learns of it
                self._failure = error
                with contextlib.suppress(sqlite3.Error):
                    self._connection.rollback()
                failure = RunFolderError(f"{self.path}: cannot write the ledger: {error}")
                for _, future in batch:
                    future.set_exception(failure)
                continue
            for _, future in batch:
                future.set_result(None)

    def _next_group(self) -> tuple[list[tuple[list[Statement], Future[None]]], bool]:
        """Waits for a write, then takes what else comes within GROUP_SECONDS or GROUP_RECORDS."""
        batch: list[tuple[list[Statement], Future[None]]] = []
        entry = self._queue.get()
        deadline = time.monotonic() + GROUP_SECONDS
        while entry is not None:
            batch.append(entry)
            if len(batch) >= GROUP_RECORDS:
                return batch, True
            try:
                entry = self._queue.get(timeout=max(0.0, deadline - time.monotonic()))
            except queue.Empty:
                return batch, True
        return batch, False


class Reader:
    """A read-only view of a ledger, with the queries that a run and its resume need."""

    def __init__(self, path: Path) -> None:
        self._connection = _read_only(path)

    def __enter__(self) -> "Reader":
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def rows(self, sql: str, values: Sequence[Any] = ()) -> Iterator[tuple[Any, ...]]:
        return iter(self._connection.execute(sql, values))

    def one(self, sql: str, values: Sequence[Any] = ()) -> Any:
        row = self._connection.execute(sql, values).fetchone()
        return None if row is None else row[0]

    def meta(self, key: str) -> Any:
        value = self.one("SELECT value FROM meta WHERE key = ?", (key,))
        return None if value is None else json.loads(value)

    def samples(self) -> list[Sample]:
        """Seeds and accepted samples in the order they came."""
        return [
            Sample(
                id=row[0], data=json.loads(row[1]), origin=row[2], label=row[3], slot=row[4], item=row[5],
                parents=tuple(json.loads(row[6])), depth=row[7], strategy=row[8], template=row[9],
                quality=row[10], novelty=row[11],
            )
            for row in self.rows(
                "SELECT id, data, origin, label, slot, item, parents, depth, strategy, template, quality, novelty"
                " FROM samples ORDER BY position"
            )
        ]  # fmt: skip

    def embeddings(self) -> dict[str, Vector]:
        return {
            key: np.frombuffer(blob, dtype=np.float32)
            for key, blob in self.rows("SELECT sample_id, vector FROM embeddings")
        }

    def planned(self) -> list[PlannedSlot]:
        """Slots that were planned and are not settled, in order."""
        sql = "SELECT slot, grp, label, strategy, parents FROM slots WHERE state = 'planned' ORDER BY slot"
        return [
            PlannedSlot(slot=slot, group=group, label=label, strategy=strategy, parents=tuple(json.loads(parents)))
            for slot, group, label, strategy, parents in self.rows(sql)
        ]

    def answers(self, from_slot: int) -> dict[str, Completion]:
        """Answers on disk for slots from `from_slot` on, by request id."""
        return self._answers("slot >= ?", from_slot)

    def answers_before_slots(self) -> dict[str, Completion]:
        """Answers to what is asked before the first slot, which every session needs again."""
        return self._answers("slot = ?", -1)

    def _answers(self, where: str, slot: int) -> dict[str, Completion]:
        sql = (
            "SELECT id, text, finish_reason, logprobs, prompt_tokens, cached_tokens, completion_tokens, engine, seconds"
            f" FROM requests WHERE state = 'answered' AND {where}"
        )
        return {
            row[0]: Completion(
                text=row[1], finish_reason=row[2], logprobs=tuple(json.loads(row[3])) if row[3] else (),
                prompt_tokens=row[4], cached_tokens=row[5], completion_tokens=row[6], engine=row[7], seconds=row[8],
            )
            for row in self.rows(sql, (slot,))
        }  # fmt: skip

    def groups(self) -> list[tuple[int, str]]:
        """(group, label) of every planned group, in order; label is empty where the task has none."""
        return [
            (group, label or "")
            for group, label in self.rows("SELECT grp, MAX(label) FROM slots GROUP BY grp ORDER BY grp")
        ]

    def deaths(self, from_slot: int) -> dict[str, int]:
        """How many engine deaths each request from `from_slot` on was in flight at."""
        sql = "SELECT id, COUNT(*) FROM requests WHERE slot >= ? AND error LIKE 'EngineD%' GROUP BY id"
        return dict(self.rows(sql, (from_slot,)))

    def outcomes(self) -> Iterator[tuple[str | None, float | None]]:
        """(label, cosine to the nearest neighbour if accepted, else None) of every candidate, in order."""
        sql = (
            "SELECT c.label, 1.0 - s.novelty FROM candidates c LEFT JOIN samples s ON s.slot = c.slot AND s.item = c.item"
            " ORDER BY c.slot, c.item"
        )
        return ((label, similarity) for label, similarity in self.rows(sql))

    def attempts(self, from_slot: int) -> dict[str, int]:
        """How often each request from `from_slot` on has been sent."""
        return dict(self.rows("SELECT id, MAX(attempt) FROM requests WHERE slot >= ? GROUP BY id", (from_slot,)))


def check(path: Path) -> None:
    """Raises RunFolderError unless `path` is a whole ledger of a version this program can read."""
    with contextlib.closing(_read_only(path)) as connection, _damage_named(path):
        finding = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
        if finding != "ok":
            raise sqlite3.DatabaseError(finding)


def _read_only(path: Path) -> sqlite3.Connection:
    """A connection for reading. Raises RunFolderError if `path` is missing, foreign or of another version."""
    if not path.is_file():
        raise RunFolderError(f"{path}: no ledger here; is this a run folder?")
    connection = sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)
    try:
        with _damage_named(path):
            application = connection.execute("PRAGMA application_id").fetchone()[0]
            version = connection.execute("PRAGMA user_version").fetchone()[0]
        if application != APPLICATION_ID:
            raise RunFolderError(f"{path}: an SQLite file, but not a synthgen ledger; it is left as it is")
        if version != SCHEMA_VERSION:
            raise RunFolderError(
                f"{path}: written by ledger version {version}, this program reads version {SCHEMA_VERSION}; "
                "use the synthgen that made it"
            )
    except RunFolderError:
        connection.close()
        raise
    return connection


@contextlib.contextmanager
def _damage_named(path: Path) -> Iterator[None]:
    try:
        yield
    except sqlite3.DatabaseError as error:
        raise RunFolderError(
            f"{path}: not a readable ledger ({error}); it is left as it is. Restore it from a copy, or start a new run"
        ) from error


@contextlib.contextmanager
def run_lock(folder: Path) -> Iterator[None]:
    """Holds the run folder for this process. Raises RunFolderError, with the holder's PID, if taken."""
    with (folder / ".lock").open("a+") as file:
        _take(file, folder)
        yield


def _take(file: IO[str], folder: Path) -> None:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        file.seek(0)
        holder = file.read().strip() or "unknown"
        raise RunFolderError(
            f"{folder}: another synthgen process (PID {holder}) is working in this run folder"
        ) from error
    file.truncate(0)
    file.write(str(os.getpid()))
    file.flush()


def _connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, check_same_thread=False, cached_statements=64)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    return connection


def _candidate_rows(entry: Settled) -> list[Statement]:
    c = entry.candidate
    last = entry.verdicts[-1] if entry.verdicts and entry.sample is None else None
    data = None if c.data is None else json.dumps(c.data, ensure_ascii=False)
    values = (c.slot, c.item, c.id, c.label, c.text, data, c.finish_reason, json.dumps(c.parents), c.depth, c.strategy,
              c.template, "rejected" if entry.sample is None else "accepted", last.check if last else None,
              last.reason if last else None)  # fmt: skip
    rows: list[Statement] = [(_CANDIDATE, values)]
    for position, v in enumerate(entry.verdicts):
        details = json.dumps(v.details, ensure_ascii=False)
        rows.append((_VERDICT, (c.slot, c.item, position, v.check, v.outcome, v.reason, v.score, details)))
    return rows


def _sample_rows(s: Sample, vector: Vector | None) -> list[Statement]:
    values = (s.id, json.dumps(s.data, ensure_ascii=False), s.origin, s.label, s.slot, s.item, json.dumps(s.parents),
              s.depth, s.strategy, s.template, s.quality, s.novelty)  # fmt: skip
    rows: list[Statement] = [(_SAMPLE, values)]
    if vector is not None:
        rows.append((_EMBEDDING, (s.id, np.asarray(vector, dtype=np.float32).tobytes())))
    return rows
