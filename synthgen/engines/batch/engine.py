"""Gather requests, send them to the host as batches, and answer them when their batch has ended.

A batch is sent when enough requests are gathered, or when the loop has asked for nothing new for a while and no chat
request is under way that may lead to one. `synthgen.engines.batch.records` keeps each batch on disk; requests of a batch
that an earlier session sent are answered from it.
"""

import asyncio
import contextlib
import dataclasses
import math
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path

from synthgen.engines.base import Tell
from synthgen.engines.batch import records
from synthgen.engines.batch.following import SentBatch, follow
from synthgen.engines.batch.gathering import BatchSettings, Gathered, choose
from synthgen.engines.batch.host import BatchApi, TooLargeError
from synthgen.engines.batch.lines import line, read_line
from synthgen.engines.batch.records import CREATING, LOST, WITH_ANSWERS, BatchRecord
from synthgen.engines.http.dialect import Dialect
from synthgen.engines.http.fleet import Fleet
from synthgen.errors import EngineGoneError, EngineRefusesError, FatalRequestError, RetryableError
from synthgen.records import Completion, Json, Request

_MOST_FRUITLESS = 3  # batches in a row that end without any answer


class BatchEngine:
    """Answer generation requests from batches, and the others through the same host's chat API.

    With `judge_batches` all requests go into batches.
    """

    name = "openai_batch"

    def __init__(
        self, plan: BatchSettings, fleet: Fleet, host: BatchApi, folder: Path, tell: Tell, say: Callable[[str], None]
    ):
        self._plan = plan
        self._fleet = fleet
        self._endpoint = fleet.endpoints[0]
        self._host = host
        self._folder = folder
        self._tell = tell
        self._say = say
        self._holding: dict[str, SentBatch] = {}
        self._gathered: deque[Gathered] = deque()
        self._stirred = asyncio.Event()
        """Set when a request was gathered."""
        self._moved = 0.0
        """Monotonic time of the last sign that more requests may come."""
        self._chatting = 0
        self._most_requests, self._most_bytes = plan.most_requests, plan.most_bytes
        self._fruitless = 0
        self._held_back_since: float | None = None
        """Monotonic time since which the host has refused every batch because of load."""
        self._pause = 0.0
        self._gathering = asyncio.create_task(self._gather())
        self._gathering.add_done_callback(_seen)
        self._following: set[asyncio.Task[None]] = set()

    def about(self) -> Json:
        return self._fleet.about()

    async def complete(self, request: Request) -> Completion:
        """Return the answer; wait for the batch with the request.

        Raise RetryableError if the batch ended without the answer, FatalRequestError if the host refused the request,
        and EngineDeadError if the host cannot be used.
        """
        if not self._plan.judge_batches and not _generates(request.id):
            return await self._chat(request)
        started = time.monotonic()
        batch = self._holding.pop(request.id, None) or await self._sent(request)
        if batch is None:
            return await self._chat(request)
        self._follow(batch)
        await batch.ended.wait()
        self._moved = time.monotonic()
        if batch.error is not None:
            raise _copy(batch.error)
        return self._answer(request, batch, time.monotonic() - started)

    async def recover(self) -> None:
        """Find the batches of earlier sessions again."""
        for record in records.load(self._folder):
            if record.status == CREATING:
                await self._look_up(record)
            if record.status in (LOST, "failed"):  # their requests are sent again
                continue
            batch = SentBatch(record, earlier=True)
            self._holding |= dict.fromkeys(record.requests, batch)
            if not record.has_ended:
                self._say(f"{record.name} with {len(record.requests)} requests is at the host since an earlier session")
                self._follow(batch)

    async def aclose(self) -> None:
        """Stop waiting. Batches at the host continue."""
        tasks = [self._gathering, *self._following]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._host.aclose()
        await self._fleet.aclose()

    async def _chat(self, request: Request) -> Completion:
        self._chatting += 1
        try:
            return await self._fleet.complete(request)
        finally:
            self._chatting -= 1
            self._moved = time.monotonic()

    # -- gathering and sending ---------------------------------------------------------------------

    async def _sent(self, request: Request) -> SentBatch | None:
        """Gather a request, and return its batch when that is sent; None if there are too few for a batch."""
        gathered = Gathered(request, asyncio.get_running_loop().create_future())
        self._gathered.append(gathered)
        self._moved = time.monotonic()
        self._stirred.set()
        return await gathered.sent

    async def _gather(self) -> None:
        while True:
            await self._stirred.wait()
            self._stirred.clear()
            while self._gathered:
                if (left := self._seconds_left()) > 0:
                    with contextlib.suppress(TimeoutError):
                        async with asyncio.timeout(left):
                            await self._stirred.wait()
                    self._stirred.clear()
                    continue
                chosen: list[Gathered] = []
                try:
                    await self._send(chosen)
                except Exception as error:  # the requests raise it
                    for each in chosen:
                        if not each.sent.done():
                            each.sent.set_exception(_copy(error))

    def _seconds_left(self) -> float:
        """Return the seconds until the gathered requests should be sent, as far as is known now."""
        now = time.monotonic()
        if now < self._pause:
            return min(self._plan.poll, self._pause - now)
        if len(self._gathered) >= self._most_requests:
            return 0.0
        if self._chatting:
            return max(0.01, self._plan.quiet)
        return self._moved + self._plan.quiet - now

    async def _send(self, chosen: list[Gathered]) -> None:
        """Move gathered requests into `chosen`, up to the limits, and send them as a batch."""
        dialect = self._endpoint.dialect
        most = self._most_requests, self._most_bytes
        content = choose(self._gathered, chosen, *most, lambda request: self._line(request, dialect))
        if len(chosen) < self._plan.least_requests and not self._gathered:
            for each in chosen:
                each.sent.set_result(None)
            return
        if not chosen:
            return
        self._say(f"uploading a batch of {len(chosen)} requests, {len(content) / 1e6:.1f} MB")
        try:
            file = await self._host.upload(f"synthgen-{int(time.time())}.jsonl", content)
        except TooLargeError as error:
            self._shrink(chosen, len(content), error)
            return
        ids = [each.request.id for each in chosen]
        record = records.add(self._folder, ids, file, dataclasses.asdict(dialect))
        record.take(await self._host.create(file, self._plan.path, self._plan.window))
        record.save()
        self._tell("batch_sent", f"{record.name} ({record.id}) with {len(ids)} requests is at the host")
        batch = SentBatch(record)
        self._follow(batch)
        for each in chosen:
            if not each.sent.done():
                each.sent.set_result(batch)

    def _line(self, request: Request, dialect: Dialect) -> bytes:
        try:
            spelled = line(request.id, self._plan.path, self._endpoint.request_body(request, dialect))
        except TypeError as error:  # in a key of engine.extra_body
            raise FatalRequestError(f"{request.id}: cannot be written as JSON: {error}") from error
        if len(spelled) > self._plan.most_bytes:
            raise FatalRequestError(
                f"{request.id}: its line of {len(spelled)} bytes is larger than a batch file may be "
                "(engine.batch_megabytes)"
            )
        return spelled

    def _shrink(self, chosen: list[Gathered], size: int, error: TooLargeError) -> None:
        """Put requests back that the host does not take in one file, and send half as much at once from now on."""
        if len(chosen) == 1:
            chosen[0].sent.set_exception(FatalRequestError(f"{chosen[0].request.id}: {error}"))
            return
        self._most_bytes = size // 2
        self._tell("batch_limit", f"the host takes no file of {size} bytes ({error}); files have half of that now")
        self._gathered.extendleft(reversed(chosen))
        chosen.clear()

    async def _look_up(self, record: BatchRecord) -> None:
        """Find out whether the host created a batch although it did not confirm it."""
        record.take(await self._host.find(record.file))
        record.save()

    # -- reading back ------------------------------------------------------------------------------

    def _follow(self, batch: SentBatch) -> None:
        """Wait for the end of a batch in a task of its own, unless this is done already."""
        if batch.is_followed:
            return
        batch.is_followed = True

        async def run() -> None:
            try:
                await follow(batch, self._host, self._plan.poll, self._tell, self._say)
                self._weigh(batch)
            except Exception as error:  # the requests of the batch raise it
                batch.error = error
            self._moved = time.monotonic()
            batch.ended.set()

        task = asyncio.create_task(run())
        self._following.add(task)
        task.add_done_callback(self._following.discard)
        task.add_done_callback(_seen)

    def _weigh(self, batch: SentBatch) -> None:
        """Adapt the size of the next batches to the end of this one.

        Raise EngineGoneError if no further batch should be sent.
        """
        now, status = time.monotonic(), batch.record.status
        if batch.is_held_back:
            self._held_back_since = self._held_back_since or now
            others = len(self._following) > 1
            if not others and now - self._held_back_since > self._plan.patience:
                raise EngineGoneError(f"the host refuses every batch because of load: {batch.refusal}")
            self._most_requests = max(self._plan.least_requests, len(batch.record.requests) // 2)
            held_back = now - self._held_back_since
            self._pause = math.inf if others else now + min(self._plan.poll, 1.0 + held_back)
            self._tell(
                "batch_limit",
                f"the host refuses {batch.record.name} because of load ({batch.refusal}); its requests are sent again in "
                f"batches of {self._most_requests} at most",
            )
            return
        self._held_back_since, self._pause = None, 0.0
        self._most_requests = min(self._plan.most_requests, 2 * self._most_requests)
        self._stirred.set()  # the pause is over
        if batch.lines:
            self._fruitless = 0
        elif status in WITH_ANSWERS and not batch.earlier:
            self._fruitless += 1
            if self._fruitless >= _MOST_FRUITLESS:
                raise EngineGoneError(
                    f"{self._fruitless} batches in a row ended without any answer, the last one {status} "
                    f"({batch.record.id})"
                )

    def _answer(self, request: Request, batch: SentBatch, seconds: float) -> Completion:
        """Return the answer that a batch has to a request; raise the error that it has instead."""
        dialect = batch.dialect()
        if batch.is_held_back:
            raise RetryableError(f"{batch.record.name}: {batch.refusal}", charge=0.0)
        if batch.refusal:
            self._refused(FatalRequestError(batch.refusal), request, dialect)
            raise EngineRefusesError(
                f"{self._host.url}: {batch.record.name} ({batch.record.id}) failed: {batch.refusal}"
            )
        raw = batch.lines.pop(request.id, None)
        if raw is None:
            raise batch.unanswered()
        found = read_line(raw)
        if found.status == 0:
            raise RetryableError(f"{batch.record.name}: {found.code}: {found.words}")
        try:
            outcome = self._endpoint.read(found.status, lambda _: None, found.body, request, dialect, seconds)
        except RetryableError as error:
            raise RetryableError(str(error)) from error  # in a batch nobody but the request itself pays for it
        if isinstance(outcome, Completion):
            return outcome
        self._refused(outcome, request, dialect)
        raise outcome

    def _refused(self, refusal: FatalRequestError, request: Request, dialect: Dialect) -> None:
        """Raise RetryableError if the refusal names a parameter that can be left out from now on."""
        if dialect == self._endpoint.dialect:  # one from a record is equal to it and not the same object
            dialect = self._endpoint.dialect
        if self._endpoint.omit_refused(refusal, self._endpoint.request_body(request, dialect), dialect):
            raise RetryableError(str(refusal), charge=0.0)


def _generates(request_id: str) -> bool:
    """Return True for a request of a strategy, as opposed to one of the judge."""
    return request_id.split("/", 1)[1].startswith("generate")


def _copy(error: Exception) -> Exception:
    """Return an exception for one of many requests to raise, because each raise adds to the traceback."""
    return type(error)(*error.args)


def _seen(task: asyncio.Task[None]) -> None:
    """Mark a task's exception as seen; the requests that wait for it raise it."""
    if not task.cancelled():
        task.exception()
