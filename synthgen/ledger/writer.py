"""Writing the ledger: one connection, one thread, group commit.

Writes are queued and committed by one thread; `written()` or the future of a write tells when
they are on disk, and nothing may be called accepted before that.
"""

import asyncio
import contextlib
import os
import queue
import sqlite3
import threading
import time
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from synthgen.errors import RunFolderError, WriteError
from synthgen.ledger import schema
from synthgen.ledger.reader import Vector
from synthgen.ledger.schema import Statement
from synthgen.records import Candidate, Completion, Json, PlannedSlot, Request, Sample, Verdict, content_id, to_json

GROUP_RECORDS = 64
GROUP_SECONDS = 0.02


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
        self._known: dict[Hashable, str] = {}
        self._failure: BaseException | None = None
        self._closed = False
        self._thread = threading.Thread(target=self._write_loop, name="ledger", daemon=True)
        self._thread.start()

    @classmethod
    def create(
        cls, path: Path, meta: Json, samples: Sequence[Sample] = (), vectors: Mapping[str, Vector] | None = None
    ) -> "Ledger":
        """A new ledger with `meta` in it, and `samples` taken over from another run with what `vectors` they have.

        Raises RunFolderError if the file exists.
        """
        statements = [_meta_row(key, value) for key, value in meta.items()]
        for sample in samples:
            statements += _sample_rows(sample, (vectors or {}).get(sample.id))
        schema.make(path, statements)
        return cls(schema.connect(path), path)

    @classmethod
    def open(cls, path: Path) -> "Ledger":
        """An existing ledger, checked and brought to this version.

        Raises RunFolderError if it is missing, foreign or corrupt.
        """
        schema.check(path)
        schema.upgrade(path)
        return cls(schema.connect(path), path)

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
        return self._submit([_meta_row(key, value)])

    def plan(self, slots: Iterable[PlannedSlot]) -> Future[None]:
        return self._submit(
            [
                (
                    "INSERT INTO slots VALUES (?, ?, ?, ?, ?, 'planned')",
                    (s.slot, s.group, s.label, s.strategy, to_json(s.parents)),
                )
                for s in slots
            ]
        )

    def sent(self, request: Request, attempt: int, slot: int, kind: str) -> Future[None]:
        """Records a request before it is sent; its texts are kept once each."""
        statements: list[Statement] = []
        messages = [self._text((m.role, m.content), m.model_dump, statements) for m in request.messages]
        grammar, s = request.grammar, request.sampling
        spec = (grammar.key if grammar else None, s.temperature, s.top_p, s.min_p, s.max_tokens, s.logprobs)
        spec_id = self._text((*spec, request.priority), lambda: _spec(request), statements)
        statements.append((_REQUEST, (request.id, attempt, slot, kind, to_json(messages), spec_id, time.time())))
        return self._submit(statements)

    def answered(self, request_id: str, attempt: int, completion: Completion) -> Future[None]:
        c = completion
        logprobs = to_json(c.logprobs) if c.logprobs else None
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

    def add_vectors(self, vectors: Mapping[str, Vector]) -> Future[None]:
        """Embeddings of samples that are in the ledger without one, by sample id."""
        return self._submit([_vector_row(key, vector) for key, vector in vectors.items()])

    def event(self, kind: str, data: Json) -> Future[None]:
        body = to_json(data)
        return self._submit([("INSERT INTO events (at, kind, data) VALUES (?, ?, ?)", (time.time(), kind, body))])

    def begin_session(self, version: str) -> Future[None]:
        """Notes that this process goes to work; one that never comes to `end_session` was killed."""
        sql = "INSERT INTO sessions (began, pid, version) VALUES (?, ?, ?)"
        return self._submit([(sql, (time.time(), os.getpid(), version))])

    def end_session(self, exit_code: int) -> Future[None]:
        sql = "UPDATE sessions SET ended = ?, exit_code = ? WHERE seq = (SELECT MAX(seq) FROM sessions)"
        return self._submit([(sql, (time.time(), exit_code))])

    async def written(self) -> None:
        """Returns when everything submitted so far is on disk."""
        await asyncio.wrap_future(self._submit([]))

    # -- the writer ------------------------------------------------------------------------------

    def _text(self, key: Hashable, body: Callable[[], Json], statements: list[Statement]) -> str:
        """The id of a text that is kept once; `key` stands for it, so that a known one is not spelled again."""
        known = self._known.get(key)
        if known is None:
            if len(self._known) > 10_000:
                self._known.clear()
            text = body()
            known = self._known[key] = content_id(text)
            statements.append((_TEXT, (known, to_json(text))))
        return known

    def _submit(self, statements: list[Statement]) -> Future[None]:
        if self._failure is not None:
            raise WriteError(f"{self.path}: the ledger stopped writing: {self._failure}")
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
                failure = WriteError(f"{self.path}: cannot write the ledger: {error}")
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


def _spec(request: Request) -> Json:
    return {
        "grammar": request.grammar.model_dump() if request.grammar else None,
        "sampling": request.sampling.model_dump(exclude={"seed"}),
        "priority": request.priority,
    }


def _meta_row(key: str, value: Any) -> Statement:
    return "INSERT OR REPLACE INTO meta VALUES (?, ?)", (key, to_json(value))


def _candidate_rows(entry: Settled) -> list[Statement]:
    c = entry.candidate
    last = entry.verdicts[-1] if entry.verdicts and entry.sample is None else None
    data = None if c.data is None else to_json(c.data)
    values = (c.slot, c.item, c.id, c.label, c.text, data, c.finish_reason, to_json(c.parents), c.depth, c.strategy,
              c.template, "rejected" if entry.sample is None else "accepted", last.check if last else None,
              last.reason if last else None)  # fmt: skip
    rows: list[Statement] = [(_CANDIDATE, values)]
    for position, v in enumerate(entry.verdicts):
        details = to_json(v.details)
        rows.append((_VERDICT, (c.slot, c.item, position, v.check, v.outcome, v.reason, v.score, details)))
    return rows


def _sample_rows(s: Sample, vector: Vector | None) -> list[Statement]:
    values = (s.id, to_json(s.data), s.origin, s.label, s.slot, s.item, to_json(s.parents),
              s.depth, s.strategy, s.template, s.quality, s.novelty)  # fmt: skip
    rows: list[Statement] = [(_SAMPLE, values)]
    if vector is not None:
        rows.append(_vector_row(s.id, vector))
    return rows


def _vector_row(sample_id: str, vector: Vector) -> Statement:
    return _EMBEDDING, (sample_id, np.asarray(vector, dtype=np.float32).tobytes())
