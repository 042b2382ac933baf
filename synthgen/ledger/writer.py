"""Write the ledger: turn records into rows of its tables.

The thread of `synthgen.ledger.commits` writes the rows to disk. A sample counts as accepted only when the `Write` that
a method of this module returned is done.
"""

import itertools
import os
import sqlite3
import time
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from synthgen.ledger import schema
from synthgen.ledger.bulk import Bulk, Statement
from synthgen.ledger.commits import Commits, Write
from synthgen.ledger.reader import Vector
from synthgen.records import (
    SURPLUS,
    Candidate,
    Completion,
    Correction,
    Json,
    Message,
    Outcome,
    PersonAnswer,
    PlannedSlot,
    Request,
    Sample,
    Verdict,
    Withdrawal,
    content_id,
    to_json,
)

_NEXT_POSITION = "SELECT COALESCE(MAX(position), -1) + 1 FROM samples"
_KEPT_TEXTS = 10_000
_KEPT_PROMPTS = 256

_SLOT = Bulk("INSERT INTO slots VALUES ", "(?, ?, ?, ?, ?, 'planned', ?, ?)", table="slots", key=1)
_REQUEST = Bulk(
    "INSERT OR REPLACE INTO requests (id, attempt, slot, kind, messages, spec, sent_at, state) VALUES ",
    "(?, ?, ?, ?, ?, ?, ?, 'sent')",
    table="requests",
    key=2,
)
_ANSWER = Bulk(
    "WITH new (id, attempt, text, finish_reason, logprobs, prompt, cached, completion, engine, seconds, thinking, usd)"
    " AS (VALUES ",
    "(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    ") UPDATE requests SET state = 'answered', text = new.text, finish_reason = new.finish_reason,"
    " logprobs = new.logprobs, prompt_tokens = new.prompt, cached_tokens = new.cached,"
    " completion_tokens = new.completion, engine = new.engine, seconds = new.seconds,"
    " thinking = new.thinking, usd = new.usd"
    " FROM new WHERE requests.id = new.id AND requests.attempt = new.attempt",
    table="requests",
    key=2,
)
_FAILURE = Bulk(
    "WITH new (id, attempt, error) AS (VALUES ",
    "(?, ?, ?)",
    ") UPDATE requests SET state = 'failed', error = new.error FROM new"
    " WHERE requests.id = new.id AND requests.attempt = new.attempt",
    table="requests",
    key=2,
)
_SETTLED = Bulk(
    "WITH new (slot, state) AS (VALUES ",
    "(?, ?)",
    ") UPDATE slots SET state = new.state FROM new WHERE slots.slot = new.slot",
    table="slots",
    key=1,
)
_SHORTENED = Bulk(
    "WITH new (slot, parents) AS (VALUES ",
    "(?, ?)",
    ") UPDATE slots SET parents = new.parents FROM new WHERE slots.slot = new.slot",
    table="slots",
    key=1,
)
_TEXT = Bulk("INSERT OR IGNORE INTO texts VALUES ", "(?, ?)")
_CANDIDATE = Bulk("INSERT INTO candidates VALUES ", "(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)")
_VERDICT = Bulk("INSERT INTO verdicts VALUES ", "(?, ?, ?, ?, ?, ?, ?, ?)")
_SAMPLE = Bulk("INSERT INTO samples VALUES ", "(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)")
_CORRECTED = Bulk("INSERT OR IGNORE INTO samples VALUES ", "(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)")
_EMBEDDING = Bulk("INSERT INTO embeddings VALUES ", "(?, ?)")
_META = Bulk("INSERT OR REPLACE INTO meta VALUES ", "(?, ?)")
_EVENT = Bulk("INSERT INTO events (at, kind, data) VALUES ", "(?, ?, ?)")
_PERSON = Bulk("INSERT OR REPLACE INTO answers VALUES ", "(?, ?, ?, ?, ?, ?)", table="answers", key=2)
_WITHDRAWN = Bulk("DELETE FROM answers WHERE (sample_id, annotator) IN (VALUES ", "(?, ?)", ")", table="answers", key=2)
_SESSION = Bulk("INSERT INTO sessions (began, pid, version) VALUES ", "(?, ?, ?)")
_SESSION_END = Bulk(
    "WITH new (ended, exit_code) AS (VALUES ",
    "(?, ?)",
    ") UPDATE sessions SET ended = new.ended, exit_code = new.exit_code FROM new"
    " WHERE seq = (SELECT MAX(seq) FROM sessions)",
)


@dataclass(frozen=True)
class Settled:
    """Hold one candidate with its verdicts, and its sample if it was accepted."""

    candidate: Candidate
    verdicts: tuple[Verdict, ...]
    sample: Sample | None = None

    @property
    def outcome(self) -> Outcome:
        """Return the outcome of the candidate; `Reader.outcomes` later reads the same from the ledger."""
        if self.sample is not None:
            return Outcome(self.sample.label, 1.0 - self.sample.novelty, surplus=False)
        surplus = self.verdicts[-1].reason in SURPLUS
        label = self.verdicts[-1].details.get("label", self.candidate.label) if surplus else self.candidate.label
        return Outcome(label, None, surplus)


class Ledger:
    """Write the ledger. Make an instance with `create` or `open`; close it, or use it as a context manager."""

    def __init__(self, connection: sqlite3.Connection, path: Path) -> None:
        self.path = path
        # A counter is safe between threads: people's corrections are added in a thread of their own.
        self._positions: Iterator[int] = itertools.count(connection.execute(_NEXT_POSITION).fetchone()[0])
        self._commits = Commits(connection, path)
        self._submit = self._commits.submit
        self._known: dict[Hashable, str] = {}
        self._prompts: dict[int, tuple[tuple[Message, ...], str]] = {}

    @classmethod
    def create(
        cls,
        path: Path,
        meta: Json,
        samples: Sequence[Sample] = (),
        vectors: Mapping[str, Vector] | None = None,
        answers: Sequence[PersonAnswer] = (),
    ) -> "Ledger":
        """Create a ledger with `meta`, and with `samples` of another run and their `vectors`.

        `answers` are people's annotations of those samples. Raise RunFolderError if the file exists.
        """
        statements = [_meta_row(key, value) for key, value in meta.items()]
        for position, sample in enumerate(samples):
            statements += _sample_rows(sample, position, (vectors or {}).get(sample.id))
        statements += [(_PERSON, answer) for answer in answers]
        schema.make(path, statements)
        return cls(schema.connect(path), path)

    @classmethod
    def open(cls, path: Path) -> "Ledger":
        """Check an existing ledger, convert it to this version, and open it.

        Raise RunFolderError if the file is missing, corrupt or not a ledger.
        """
        schema.check(path)
        schema.upgrade(path)
        return cls(schema.connect(path), path)

    @classmethod
    def reopen(cls, path: Path) -> "Ledger":
        """Open a ledger that this process has opened before, without another check of the whole file."""
        return cls(schema.connect(path), path)

    def __enter__(self) -> "Ledger":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Commit all queued statements and close the file."""
        self._commits.close()

    # -- writes: each returns a `Write` that is done when it is on disk -----------------------------

    def set_meta(self, key: str, value: Any) -> Write:
        return self._submit([_meta_row(key, value)])

    def plan(self, slots: Iterable[PlannedSlot]) -> Write:
        return self._submit(
            [(_SLOT, (s.slot, s.group, s.label, s.strategy, _json(s.parents), s.model, _given(s.given))) for s in slots]
        )

    def shorten(self, slot: int, parents: Sequence[str]) -> Write:
        """Record that the prompt of a planned slot shows only these samples, because more did not fit."""
        return self._submit([(_SHORTENED, (slot, _json(parents)))])

    def sent(self, request: Request, attempt: int, slot: int, kind: str) -> Write:
        """Record a request before it is sent. Store each of its texts only once."""
        statements: list[Statement] = []
        messages = self._prompt(request.messages, statements)
        grammar, s = request.grammar, request.sampling
        spec = (
            grammar.key if grammar else None,
            s.temperature,
            s.top_p,
            s.min_p,
            s.max_tokens,
            s.logprobs,
            s.bad_words,
            s.thinking_tokens,
        )
        known = (*spec, request.priority, request.adapter, request.thinking, request.model, request.continues)
        spec_id = self._text(known, lambda: _spec(request), statements)
        statements.append((_REQUEST, (request.id, attempt, slot, kind, messages, spec_id, time.time())))
        return self._submit(statements)

    def answered(self, request_id: str, attempt: int, completion: Completion, usd: float | None = None) -> Write:
        """Record an answer, and its cost in US dollars where the price is known."""
        c = completion
        logprobs = to_json(c.logprobs) if c.logprobs else None
        figures = (c.prompt_tokens, c.cached_tokens, c.completion_tokens, c.engine, c.seconds, c.thinking or None, usd)
        return self._submit([(_ANSWER, (request_id, attempt, c.text, c.finish_reason, logprobs, *figures))])

    def failed(self, request_id: str, attempt: int, error: str) -> Write:
        return self._submit([(_FAILURE, (request_id, attempt, error))])

    def settle(self, slot: int, state: str, settled: Sequence[Settled]) -> Write:
        """Write a slot's final state with its candidates, verdicts, samples and embeddings, in one transaction."""
        statements: list[Statement] = [(_SETTLED, (slot, state))]
        for entry in settled:
            candidate, sample = entry.candidate, entry.sample
            data = None if candidate.data is None else to_json(candidate.data)
            statements += _candidate_rows(entry, data)
            if sample is not None:
                same = data if sample.data is candidate.data else None
                statements += _sample_rows(sample, self._position(), candidate.embedding, same)
        return self._submit(statements)

    def add_seeds(self, seeds: Sequence[Sample], vectors: Sequence[Vector]) -> Write:
        return self._submit(
            [
                row
                for sample, vector in zip(seeds, vectors, strict=True)
                for row in _sample_rows(sample, self._position(), vector)
            ]
        )

    def add_vectors(self, vectors: Mapping[str, Vector]) -> Write:
        """Write the embeddings of samples that have none in the ledger, by sample id."""
        return self._submit([_vector_row(key, vector) for key, vector in vectors.items()])

    def event(self, kind: str, data: Json) -> Write:
        body = to_json(data)
        return self._submit([(_EVENT, (time.time(), kind, body))])

    def take_answers(self, changes: Iterable[PersonAnswer | Withdrawal | Correction]) -> Write:
        """Apply people's annotations in order. Each replaces the person's earlier annotation of the same sample.

        A correction adds its sample, unless the ledger has it already.
        """
        statements: list[Statement] = []
        for change in changes:
            if isinstance(change, Correction):
                values = _sample_values(change.sample, self._position(), None)
                statements.append((_CORRECTED, values))
            else:
                statements.append((_PERSON if isinstance(change, PersonAnswer) else _WITHDRAWN, change))
        return self._submit(statements)

    def begin_session(self, version: str) -> Write:
        """Record that this process begins a session. A session without `end_session` counts as killed."""
        return self._submit([(_SESSION, (time.time(), os.getpid(), version))])

    def end_session(self, exit_code: int) -> Write:
        return self._submit([(_SESSION_END, (time.time(), exit_code))])

    def exclusively(self, work: Callable[[sqlite3.Connection], None]) -> None:
        """Call `work` with the writing connection, after everything submitted so far, and commit its writes.

        This is for `synthgen.ledger.absorb`, which copies rows from one ledger into another. Raise WriteError if the disk
        refuses it.
        """
        self.wait_written()
        self._commits.exclusively(work)

    def wait_written(self) -> None:
        """Block until everything submitted so far is on disk."""
        self._submit([]).result()

    async def written(self) -> None:
        """Wait, without blocking, until everything submitted so far is on disk."""
        await self._submit([])

    def _position(self) -> int:
        """Return the next position in the order of samples."""
        return next(self._positions)

    # -- texts that are stored once ----------------------------------------------------------------

    def _prompt(self, messages: tuple[Message, ...], statements: list[Statement]) -> str:
        """Return the ids of a prompt's texts as JSON. Cache them: requests of a group share one tuple of messages."""
        remembered = self._prompts.get(id(messages))
        if remembered is not None and remembered[0] is messages:
            return remembered[1]
        known = self._known.get  # each prompt of a judge is new, but all of its texts except the last are known
        ids = _json([known(message) or self._text(message, message.model_dump, statements) for message in messages])
        if len(self._prompts) >= _KEPT_PROMPTS:
            self._prompts.clear()
        self._prompts[id(messages)] = messages, ids
        return ids

    def _text(self, key: Hashable, body: Callable[[], Json], statements: list[Statement]) -> str:
        """Return the id of a text that is stored once. `key` identifies a known text without hashing it again."""
        known = self._known.get(key)
        if known is None:
            if len(self._known) > _KEPT_TEXTS:
                self._known.clear()
            text = body()
            known = self._known[key] = content_id(text)
            statements.append((_TEXT, (known, to_json(text))))
        return known


def _spec(request: Request) -> Json:
    sampling = request.sampling
    absent = {name for name in ("bad_words", "thinking_tokens") if not getattr(sampling, name)}
    return {
        "grammar": request.grammar.model_dump() if request.grammar else None,
        "sampling": sampling.model_dump(exclude={"seed", *absent}),
        "priority": request.priority,
        **({"adapter": request.adapter} if request.adapter is not None else {}),
        **({"model": request.model} if request.model is not None else {}),
        **({"thinking": request.thinking} if request.thinking is not None else {}),
        **({"continues": True} if request.continues else {}),
    }


def _meta_row(key: str, value: Any) -> Statement:
    return _META, (key, to_json(value))


def _candidate_rows(entry: Settled, data: str | None) -> list[Statement]:
    """Return the rows of a candidate and its verdicts. `data` is the candidate's data as JSON."""
    c = entry.candidate
    last = entry.verdicts[-1] if entry.verdicts and entry.sample is None else None
    values = (c.slot, c.item, c.id, c.label, c.text, data, c.finish_reason, _json(c.parents), c.depth, c.strategy,
              c.template, "rejected" if entry.sample is None else "accepted", last.check if last else None,
              last.reason if last else None)  # fmt: skip
    rows: list[Statement] = [(_CANDIDATE, values)]
    for position, v in enumerate(entry.verdicts):
        details = _json(v.details) if v.details else "{}"
        rows.append((_VERDICT, (c.slot, c.item, position, v.check, v.outcome, v.reason, v.score, details)))
    return rows


def _sample_rows(s: Sample, position: int, vector: Vector | None, data: str | None = None) -> list[Statement]:
    """Return the rows of a sample and its embedding. `data` is the sample's data as JSON, where it is known already."""
    rows: list[Statement] = [(_SAMPLE, _sample_values(s, position, data))]
    if vector is not None:
        rows.append(_vector_row(s.id, vector))
    return rows


def _sample_values(s: Sample, position: int, data: str | None) -> tuple[Any, ...]:
    return (s.id, position, data or to_json(s.data), s.origin, s.label, s.slot, s.item, _json(s.parents),
            s.depth, s.strategy, s.template, s.quality, s.novelty, s.model, _given(s.given))  # fmt: skip


def _vector_row(sample_id: str, vector: Vector) -> Statement:
    return _EMBEDDING, (sample_id, np.asarray(vector, dtype=np.float32).tobytes())


def _given(found: Json) -> str | None:
    return to_json(found) if found else None


def _json(value: Any) -> str:
    """Return a value made by synthgen as JSON. Use `to_json` for values that may have NaN or integers above 64 bits."""
    return orjson.dumps(value).decode()
