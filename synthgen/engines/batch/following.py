"""Follow one batch at the host until it ends, and fetch its result files."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import fields
from typing import Any

from synthgen.engines.base import Tell
from synthgen.engines.batch.host import BatchApi
from synthgen.engines.batch.lines import Results, read_line
from synthgen.engines.batch.records import LOST, BatchRecord
from synthgen.engines.http.dialect import Dialect
from synthgen.errors import EngineError, EngineGoneError, RetryableError
from synthgen.numerics.durations import duration
from synthgen.records import Json

_GROWTH = 1.5
_FETCHES = 3  # of a result file that is cut off
_TOO_EARLY = ("batch_expired", "batch_cancelled")
_LOADED_CODES = ("token_limit_exceeded", "rate_limit_exceeded", "enqueued_token_limit", "request_limit_exceeded")


class SentBatch:
    """Hold a batch in this session. `earlier` is True if an earlier session sent it."""

    def __init__(self, record: BatchRecord, earlier: bool = False) -> None:
        self.record = record
        self.earlier = earlier
        self.is_followed = False
        """True once its end is waited for."""
        self.ended = asyncio.Event()
        """Set when the batch has ended and its results are here, or when `error` is known."""
        self.error: Exception | None = None
        """The reason for which the results cannot be had."""
        self.lines: dict[str, bytes] = {}
        """Lines of the result files that no request has taken yet, by custom_id. Lines that only say that the batch ended
        too early are left out."""
        self.errors = 0
        """Number of lines with an error in place of an answer."""
        self.refusal = ""
        """The host's words about a batch that failed."""
        self.is_held_back = False
        """True if it failed because the host has too much to do for this account."""

    def dialect(self) -> Dialect:
        """Return the dialect in which the requests of the batch are written."""
        known = {each.name for each in fields(Dialect)}
        kept: dict[str, Any] = {key: value for key, value in self.record.dialect.items() if key in known}
        return Dialect(**kept | {"answers_as": tuple(kept.get("answers_as", ()))})

    def unanswered(self) -> EngineError:
        """Return the error of a request that the batch has no answer to."""
        name, status = f"{self.record.name} ({self.record.id})", self.record.status
        if status == "cancelled" and not self.earlier:
            return EngineGoneError(
                f"{name} was cancelled at the host; its answers so far are used, and a resume asks for the others again"
            )
        if status in ("expired", "cancelled", LOST):
            return RetryableError(f"{name}: {status} at the host without an answer", charge=0.0)
        return RetryableError(f"{name}: the result files have no line for this request")


async def follow(batch: SentBatch, host: BatchApi, poll: float, tell: Tell, say: Callable[[str], None]) -> None:
    """Ask about a batch until it has ended, then fetch its lines. Raise EngineDeadErrors as `BatchApi` does."""
    record = batch.record
    pause = poll / 10
    while not record.has_ended:
        await asyncio.sleep(pause)
        pause = min(poll, _GROWTH * pause)
        if record.take(await host.batch(str(record.id))):
            record.save()
            if not record.has_ended:
                say(_progress(record))
    if record.status == "failed":
        batch.refusal, batch.is_held_back = _why(await host.batch(str(record.id)) or {})
    await _fetch(batch, host, tell)
    tell(f"batch_{record.status}", _outcome(batch))


async def _fetch(batch: SentBatch, host: BatchApi, tell: Tell) -> None:
    """Fetch the lines of the result files; fetch a file that is cut off again, a few times."""
    asked, record = {*batch.record.requests}, batch.record
    for file in record.results:
        for attempt in range(_FETCHES):
            results = Results()
            content = await host.content(file)
            if content is None:
                tell("batch_file", f"{record.name}: the host no longer has its result file {file}")
                break
            results.add(content, asked)
            if not results.unreadable:
                break
            await asyncio.sleep(0.5 * 2**attempt)
        if results.unreadable:
            tell("batch_file", f"{record.name}: {results.unreadable} lines of {file} are cut off or no JSON")
        if results.strangers:
            tell("batch_file", f"{record.name}: {results.strangers} lines of {file} answer no request of it; ignored")
        for key, each in results.lines.items():
            if (found := read_line(each)).code not in _TOO_EARLY and key not in batch.lines:
                batch.lines[key] = each
                batch.errors += found.status != 200


def _why(found: Json) -> tuple[str, bool]:
    """Return the host's words about a failed batch, and if the reason is its load."""
    listed = (found.get("errors") or {}).get("data") or [{}]
    words = "; ".join(f"{each.get('code')}: {each.get('message')}" for each in listed[:3] if isinstance(each, dict))
    first = listed[0] if isinstance(listed[0], dict) else {}
    code = str(first.get("code") or "")
    is_load = code in _LOADED_CODES or ("enqueued" in words.lower() and "limit" in words.lower())
    return words or "the host gives no reason", is_load


def _progress(record: BatchRecord) -> str:
    ago = duration(max(0.0, time.time() - record.sent_at))
    return f"{record.name}: {record.status}, {record.done} of {len(record.requests)} requests done after {ago}"


def _outcome(batch: SentBatch) -> str:
    record = batch.record
    left = len(record.requests) - len(batch.lines)
    words = f"{record.name} ({record.id}) {'is not known to the host' if record.status == LOST else record.status}"
    if batch.refusal:
        return f"{words}: {batch.refusal}"
    return (
        f"{words}: {len(batch.lines)} of {len(record.requests)} requests were answered"
        + (f", {batch.errors} of them with an error" if batch.errors else "")
        + (f"; {left} were not" if left else "")
    )
