"""An Engine around an engine: every request is in the ledger before it is sent.

It retries what may work later, gives answers that are on disk already without asking again, and
counts tokens. One place, so that no stage can forget it.
"""

import asyncio
from collections import Counter
from collections.abc import Mapping

from tenacity import AsyncRetrying, retry_if_exception_type, stop_after_attempt, wait_random_exponential

from synthgen.errors import EngineDeadError, EngineError, FatalRequestError, RetryableError
from synthgen.ledger import Ledger
from synthgen.records import Completion, Engine, Request
from synthgen.secrecy import mask

_MOST_FAILURES_IN_A_ROW = 16
_MOST_REFUSALS_IN_A_ROW = 64  # some groups of one prompt each that is too long, say; not a wrong key or model name


class Recorder:
    """Records, retries and remembers. `answers` and `attempts` come from the ledger on resume.

    Request ids are `SLOT/KIND` or `SLOT.ITEM/KIND`; slot -1 is what precedes the first slot.
    """

    def __init__(
        self,
        engine: Engine,
        ledger: Ledger,
        attempts: int,
        answers: Mapping[str, Completion] | None = None,
        sent: Mapping[str, int] | None = None,
    ) -> None:
        self.name = engine.name
        self.tokens: Counter[str] = Counter()
        self._engine = engine
        self._ledger = ledger
        self._attempts = attempts
        self._answers = dict(answers or {})
        self._sent = dict(sent or {})
        self._failures = self._refusals = 0

    async def complete(self, request: Request) -> Completion:
        """Raises RetryableError when all attempts failed, FatalRequestError when it was refused.

        Raises EngineDeadError when too many requests went that way in a row.
        """
        if (known := self._answers.pop(request.id, None)) is not None:
            return known
        place, kind = request.id.split("/", 1)
        slot = int(place.split(".", 1)[0])
        first = self._sent.pop(request.id, 0)
        try:
            async for attempt in AsyncRetrying(
                stop=stop_after_attempt(self._attempts),
                wait=wait_random_exponential(multiplier=0.5, max=20),
                retry=retry_if_exception_type(RetryableError),
                reraise=True,
            ):
                with attempt:
                    return await self._once(request, first + attempt.retry_state.attempt_number, slot, kind)
        except RetryableError as error:
            self._failures += 1
            if self._failures >= _MOST_FAILURES_IN_A_ROW:
                raise EngineDeadError(f"{self._failures} requests failed in a row; the last: {error}") from error
            raise
        except FatalRequestError as error:
            self._refusals += 1
            if self._refusals >= _MOST_REFUSALS_IN_A_ROW:
                raise EngineDeadError(f"{self._refusals} requests refused in a row; the last: {error}") from error
            raise
        raise AssertionError("unreachable: a retried call returns or raises")

    async def aclose(self) -> None:
        await self._engine.aclose()

    async def _once(self, request: Request, attempt: int, slot: int, kind: str) -> Completion:
        await asyncio.wrap_future(self._ledger.sent(request, attempt, slot, kind))
        try:
            completion = await self._engine.complete(request)
        except EngineError as error:
            self._ledger.failed(request.id, attempt, mask(f"{type(error).__name__}: {error}"))
            raise
        self._ledger.answered(request.id, attempt, completion)
        self._failures = self._refusals = 0
        self.tokens["prompt"] += completion.prompt_tokens
        self.tokens["cached"] += completion.cached_tokens
        self.tokens["completion"] += completion.completion_tokens
        return completion
