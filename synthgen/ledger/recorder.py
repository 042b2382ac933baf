"""An Engine around an engine: every request is in the ledger before it is sent.

It retries what may work later, gives answers that are on disk already without asking again, and
counts tokens. One place, so that no stage can forget it.
"""

import re
from collections import Counter
from collections.abc import Mapping

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

_MOST_GIVEN_UP_IN_A_ROW = 64  # some groups of one prompt each that is too long, say; not an engine that does nothing
_ROUNDING = 1e-6
# How servers say that a prompt is too long: OpenAI and vLLM, SGLang, llama.cpp, TGI, and vLLM in this process.
_TOO_LONG = re.compile(
    "context.length|context.window|context.size|maximum model length|max_model_len|reduce the length|too many tokens"
    "|(prompt|input|request) (is|was) too (long|large)|longer than the (model|maximum)|inputs? (tokens )?must have less",
    re.I,
)


class _Patience:
    """Decide when to stop retrying a request and how long to wait, by what its failures cost."""

    def __init__(self, attempts: int) -> None:
        self._left = float(attempts)
        self._wait = wait_random_exponential(multiplier=0.5, max=20)

    def stop(self, state: RetryCallState) -> bool:
        self._left -= _charge(state)
        return self._left < _ROUNDING

    def wait(self, state: RetryCallState) -> float:
        """Nothing where the engine was to blame: it holds requests back itself until it is well."""
        return self._wait(state) if _charge(state) else 0.0


def _charge(state: RetryCallState) -> float:
    error = state.outcome.exception() if state.outcome is not None else None
    return error.charge if isinstance(error, RetryableError) else 1.0


class Recorder:
    """Record, retry and remember requests. `answers` and `attempts` come from the ledger on resume.

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
        self._given_up = 0

    async def complete(self, request: Request) -> Completion:
        """Answer a request. Raise RetryableError when its attempts are used up, FatalRequestError when refused.

        Raises EngineDeadError when too many requests went that way in a row.
        """
        if (known := self._answers.pop(request.id, None)) is not None:
            return known
        place, kind = request.id.split("/", 1)
        slot = int(place.split(".", 1)[0])
        first = self._sent.pop(request.id, 0)
        try:
            try:
                return await self._once(request, first + 1, slot, kind)
            except RetryableError as error:
                return await self._again(request, first + 1, slot, kind, error)
        except (RetryableError, FatalRequestError) as error:
            self._given_up += 1
            if self._given_up >= _MOST_GIVEN_UP_IN_A_ROW:
                ended = EngineRefusesError if isinstance(error, FatalRequestError) else EngineDeadError
                raise ended(f"{self._given_up} requests in a row were refused or failed; the last: {error}") from error
            raise

    async def aclose(self) -> None:
        await self._engine.aclose()

    async def _again(self, request: Request, sent: int, slot: int, kind: str, failure: RetryableError) -> Completion:
        """Retry after a first failure; separate, so that a request answered at once does not pay for it."""
        patience = _Patience(self._attempts)
        retrying = AsyncRetrying(
            stop=patience.stop, wait=patience.wait, retry=retry_if_exception_type(RetryableError), reraise=True
        )
        past = [failure]
        async for attempt in retrying:
            with attempt:
                if past:  # the first attempt is over already
                    raise past.pop()
                return await self._once(request, sent + attempt.retry_state.attempt_number - 1, slot, kind)
        raise AssertionError("unreachable: a retried call returns or raises")

    async def _once(self, request: Request, attempt: int, slot: int, kind: str) -> Completion:
        await self._ledger.sent(request, attempt, slot, kind)
        try:
            completion = await self._engine.complete(request)
        except EngineError as error:
            self._ledger.failed(request.id, attempt, mask(f"{type(error).__name__}: {error}"))
            if isinstance(error, FatalRequestError) and _TOO_LONG.search(str(error)):
                raise TooLongError(str(error)) from error
            raise
        self._ledger.answered(request.id, attempt, completion)
        self._given_up = 0
        self.tokens["prompt"] += completion.prompt_tokens
        self.tokens["cached"] += completion.cached_tokens
        self.tokens["completion"] += completion.completion_tokens
        return completion
