"""Collect the single questions of many coroutines into micro-batches and answer each batch in a thread."""

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor
from typing import Generic, TypeVar

from synthgen.numerics.rate import Rate

Question = TypeVar("Question")
Answer = TypeVar("Answer")

_LINGER = 0.01  # seconds to wait for more questions while there are many; an engine's answer takes far longer
_SOON = 0.001
_MANY = 100.0  # questions a second; with fewer, waiting fills no batch


class MicroBatches(Generic[Question, Answer]):
    """Call `work` in `thread` with the questions asked since its last call, at most `most` at a time."""

    def __init__(self, work: Callable[[list[Question]], list[Answer]], thread: Executor, most: int) -> None:
        self._work = work
        self._thread = thread
        self._most = most
        self._waiting: list[tuple[Question, asyncio.Future[Answer]]] = []
        self._worker: asyncio.Task[None] | None = None
        self._rate = Rate()

    async def ask(self, question: Question) -> Answer:
        """Return the answer of `work` to this question; raise the exception that `work` raised."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Answer] = loop.create_future()
        self._waiting.append((question, future))
        if self._worker is None or self._worker.done():
            self._worker = loop.create_task(self._work_off())
        return await future

    async def _work_off(self) -> None:
        loop = asyncio.get_running_loop()
        while self._waiting:
            if len(self._waiting) < self._most:
                await asyncio.sleep(_LINGER if self._rate.per_second() > _MANY else _SOON)
            batch, self._waiting = self._waiting[: self._most], self._waiting[self._most :]
            self._rate.add(len(batch))
            try:
                answers = await loop.run_in_executor(self._thread, self._work, [question for question, _ in batch])
            except Exception as error:
                for _, future in batch:
                    if not future.done():
                        future.set_exception(error)
                continue
            for (_, future), answer in zip(batch, answers, strict=True):
                if not future.done():  # the coroutine that asked may have been cancelled
                    future.set_result(answer)
