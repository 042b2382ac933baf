"""Wrap an engine so that every request is written to the ledger before it is sent.

The wrapper retries failed requests, returns answers that are already on disk without sending the request again, and
counts tokens. All stages send their requests through it, so that none can forget this.
"""

import re
from collections import Counter
from collections.abc import Mapping
from typing import Protocol

from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type, wait_random_exponential

from synthgen.errors import (
    EngineDeadError,
    EngineError,
    EngineRefusesError,
    FatalRequestError,
    RetryableError,
    TooLongError,
)
from synthgen.ledger import Ledger
from synthgen.records import Completion, Engine, Request
from synthgen.safety.secrets import mask

_MOST_GIVEN_UP_IN_A_ROW = 64  # allows for several groups with a prompt that is too long, but not for a broken engine
_ROUNDING = 1e-6
# The words with which OpenAI, vLLM (server and in process), SGLang, llama.cpp and TGI refuse a prompt that is too long.
_TOO_LONG = re.compile(
    "context.length|context.window|context.size|maximum model length|max_model_len|reduce the length|too many tokens"
    "|(prompt|input|request) (is|was) too (long|large)|longer than the (model|maximum)|inputs? (tokens )?must have less",
    re.I,
)


class _Patience:
    """Decide when to stop retrying a request and how long to wait, by the charges of its failures."""

    def __init__(self, attempts: int) -> None:
        self._left = float(attempts)
        self._wait = wait_random_exponential(multiplier=0.5, max=20)

    def stop(self, state: RetryCallState) -> bool:
        self._left -= _charge(state)
        return self._left < _ROUNDING

    def wait(self, state: RetryCallState) -> float:
        """Return the seconds to wait: 0 where the engine was at fault, because it delays requests itself."""
        return self._wait(state) if _charge(state) else 0.0


def _charge(state: RetryCallState) -> float:
    error = state.outcome.exception() if state.outcome is not None else None
    return error.charge if isinstance(error, RetryableError) else 1.0


class Meter(Protocol):
    """Count the cost of requests."""

    def sending(self, request: Request, slot: int) -> None: ...

    def answered(self, request: Request, slot: int, completion: Completion) -> float | None:
        """Return the cost of an answered request in US dollars; None if its price is not known."""
        ...


class Recorder:
    """Record requests, retry them, and reuse recorded answers. On resume `answers` and `sent` come from the ledger.

    A `meter` receives every request that is sent, and every answer. A request id is `SLOT/KIND` or `SLOT.ITEM/KIND`.
    Slot -1 stands for requests before the first slot. The thinking of a reasoning model is dropped unless
    `keep_thinking`.
    """

    def __init__(
        self,
        engine: Engine,
        ledger: Ledger,
        attempts: int,
        answers: Mapping[str, Completion] | None = None,
        sent: Mapping[str, int] | None = None,
        keep_thinking: bool = True,
        meter: Meter | None = None,
    ) -> None:
        self.name = engine.name
        self.tokens: Counter[str] = Counter()
        self._written: Counter[int] = Counter()
        self._engine = engine
        self._ledger = ledger
        self._attempts = attempts
        self._keep_thinking = keep_thinking
        self._answers = dict(answers or {})
        self._sent = dict(sent or {})
        self._meter = meter
        self._given_up = 0

    async def complete(self, request: Request) -> Completion:
        """Answer a request. Raise RetryableError when its attempts are used up, FatalRequestError when it is refused.

        A TooLongError does not count as given up here, because the prompt may be shortened and sent again.

        Raise EngineDeadError when too many requests in a row failed or were refused.
        """
        place, kind = request.id.split("/", 1)
        slot = int(place.split(".", 1)[0])
        if (known := self._answers.pop(request.id, None)) is not None:
            self._count(slot, kind, known)
            return known
        first = self._sent.pop(request.id, 0)
        try:
            try:
                return await self._once(request, first + 1, slot, kind)
            except RetryableError as error:
                return await self._again(request, first + 1, slot, kind, error)
        except TooLongError:
            self._sent[request.id] = first + 1  # the caller may send it again with a shorter prompt
            raise
        except (RetryableError, FatalRequestError) as error:
            self.give_up(error)
            raise

    def give_up(self, error: EngineError) -> None:
        """Count a request that stays without an answer. Raise EngineDeadError when there were too many in a row.

        Call this for a prompt that is too long and cannot be shortened; `complete` counts all other requests.
        """
        self._given_up += 1
        if self._given_up >= _MOST_GIVEN_UP_IN_A_ROW:
            ended = EngineRefusesError if isinstance(error, FatalRequestError) else EngineDeadError
            raise ended(
                f"{self._given_up} requests in a row failed or were refused; the error of the last one: {error}"
            ) from error

    def written(self, slot: int) -> int:
        """Return the output tokens of the generator's requests of a slot, and forget them."""
        return self._written.pop(slot, 0)

    async def aclose(self) -> None:
        await self._engine.aclose()

    def _count(self, slot: int, kind: str, completion: Completion) -> None:
        if kind.startswith("generate"):
            self._written[slot] += completion.completion_tokens

    async def _again(self, request: Request, sent: int, slot: int, kind: str, failure: RetryableError) -> Completion:
        """Retry a request after its first failure. This is a separate method, to keep the usual case fast."""
        patience = _Patience(self._attempts)
        retrying = AsyncRetrying(
            stop=patience.stop, wait=patience.wait, retry=retry_if_exception_type(RetryableError), reraise=True
        )
        past = [failure]
        async for attempt in retrying:
            with attempt:
                if past:  # the first attempt was made before this call
                    raise past.pop()
                return await self._once(request, sent + attempt.retry_state.attempt_number - 1, slot, kind)
        raise AssertionError("unreachable: a retried call returns or raises")

    async def _once(self, request: Request, attempt: int, slot: int, kind: str) -> Completion:
        await self._ledger.sent(request, attempt, slot, kind)
        if self._meter is not None:
            self._meter.sending(request, slot)
        try:
            completion = await self._engine.complete(request)
        except EngineError as error:
            self._ledger.failed(request.id, attempt, mask(f"{type(error).__name__}: {error}"))
            if isinstance(error, FatalRequestError) and _TOO_LONG.search(str(error)):
                raise TooLongError(str(error)) from error
            raise
        usd = self._meter.answered(request, slot, completion) if self._meter is not None else None
        if completion.thinking and not self._keep_thinking:
            completion = completion.model_copy(update={"thinking": ""})
        self._ledger.answered(request.id, attempt, completion, usd)
        self._given_up = 0
        self._count(slot, kind, completion)
        self.tokens["prompt"] += completion.prompt_tokens
        self.tokens["cached"] += completion.cached_tokens
        self.tokens["completion"] += completion.completion_tokens
        return completion
