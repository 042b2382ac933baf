"""Keep an engine available: notice its death, start a new one, and find the request that caused the death.

An engine reports its death by EngineDeadError and watches its own health. `synthgen.engines.vllm.suspects` decides
which requests are sent again together.
"""

import asyncio
import random
import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Mapping

from synthgen.engines.base import Tell, Watched
from synthgen.engines.pressure import Paced
from synthgen.engines.vllm.suspects import Suspects
from synthgen.errors import EngineDeadError, EngineDiedError, EngineError, EngineGoneError, PoisonError, RetryableError
from synthgen.records import Completion, Engine, Json, Request

_FIRST_WAIT = 1.0
_LONGEST_WAIT = 60.0


class RestartsSpentError(EngineDeadError):
    """Report that an engine is not started again, because it was restarted too often."""


class Restarts:
    """Allow at most `per_hour` restarts of an engine an hour, and wait longer before each.

    `tell` receives each restart. `what` names the engine in messages.
    """

    def __init__(self, per_hour: int, tell: Tell, what: str = "the engine") -> None:
        self._budget = per_hour
        self._tell = tell
        self._what = what
        self._at: deque[float] = deque()

    async def wait(self, cause: str) -> None:
        """Take one restart out of this hour's budget and wait until it is due.

        Raise RestartsSpentError when the budget is used up.
        """
        now = time.monotonic()
        while self._at and now - self._at[0] > 3600:
            self._at.popleft()
        if len(self._at) >= self._budget:
            spent = f"after {self._budget} restarts within the hour: " if self._budget else ""
            raise RestartsSpentError(spent + cause)
        self._at.append(now)
        self._tell(
            "engine_restart", f"starting {self._what} again ({len(self._at)} of {self._budget} this hour): {cause}"
        )
        wait = min(_LONGEST_WAIT, _FIRST_WAIT * 2 ** (len(self._at) - 1))
        await asyncio.sleep(wait * random.uniform(0.5, 1.5))


class Supervisor:
    """Restart a dead engine, at most `restarts_per_hour` times an hour.

    `start` makes a new engine; `tell` receives each death, restart and quarantine. `deaths` counts engine deaths by
    request id from earlier sessions; requests in `quarantined` are never sent again.
    """

    def __init__(
        self,
        engine: Engine,
        start: Callable[[], Awaitable[Engine]],
        restarts_per_hour: int,
        tell: Tell,
        deaths: Mapping[str, int] | None = None,
        quarantined: Iterable[str] = (),
    ) -> None:
        self.name = engine.name
        self._engine: Engine | None = engine
        self._start = start
        self._restarts = Restarts(restarts_per_hour, tell)
        self._tell = tell
        self._suspects = Suspects(deaths or {}, quarantined)
        self._start_number = 0
        self._at_death: tuple[int, frozenset[str]] = (-1, frozenset())
        self._last_error = "the engine could not be started again"  # stays if a start is interrupted
        self._restarting = asyncio.Lock()
        self._on_change: Callable[[int], None] | None = None
        self._closed = False

    async def complete(self, request: Request) -> Completion:
        """Answer a request.

        Raise PoisonError for a request that kills the engine, and EngineDeadError when the restart budget is used up.
        """
        if self._suspects.is_culprit(request.id):
            raise PoisonError("this request killed the engine before")
        await self._suspects.enter(request.id)
        try:
            engine, start_number = await self._living_for(request.id)
            try:
                completion = await engine.complete(request)
            except EngineGoneError as error:
                death: EngineDeadError = error
                is_culprit = False
            except EngineDeadError as error:
                death = error
                is_culprit = self._suspects.count_death(request.id, self._in_flight_at_death(start_number))
            except EngineError as error:
                if getattr(error, "charge", 1.0) > 0:  # otherwise the request never reached the engine
                    self._suspects.clear(request.id)
                raise
            else:
                self._suspects.clear(request.id)
                return completion
        finally:
            self._suspects.leave(request.id)
        raise await self._outcome(request.id, start_number, death, is_culprit) from death

    def states(self) -> dict[str, Json]:
        """Return the states of the engine's servers, as `Watched` says; without tokens where it is a single server."""
        if isinstance(self._engine, Watched):
            return self._engine.states()
        state = "up" if self._engine is not None else "starting"
        return {self.name: {"state": state, "in_flight": len(self._suspects.in_flight)}}

    def on_limit(self, callback: Callable[[int], None]) -> None:
        """Call `callback` with the engine's in-flight limit now and whenever it changes.

        Do nothing if the engine does not report a limit.
        """
        self._on_change = callback
        if isinstance(self._engine, Paced):
            self._engine.on_limit(callback)

    async def aclose(self) -> None:
        self._closed = True  # a request may still be in flight: do not start an engine for it
        if self._engine is not None:
            await self._engine.aclose()

    async def _living(self) -> tuple[Engine, int]:
        async with self._restarting:  # no request is sent while an engine starts
            if self._engine is None:
                raise EngineGoneError(self._last_error)
            return self._engine, self._start_number

    async def _living_for(self, request_id: str) -> tuple[Engine, int]:
        """Return the engine for an admitted request; after a restart, wait until the suspects were sent."""
        while True:
            entered = self._start_number
            engine, start_number = await self._living()
            if start_number == entered:
                return engine, start_number
            self._suspects.leave(request_id)
            await self._suspects.enter(request_id)

    def _in_flight_at_death(self, start_number: int) -> frozenset[str]:
        """Return the requests that were in flight when the engine of `start_number` died."""
        if self._at_death[0] != start_number:
            self._at_death = (start_number, self._suspects.in_flight)
        return self._at_death[1]

    async def _outcome(
        self, request_id: str, start_number: int, death: EngineDeadError, is_culprit: bool
    ) -> EngineError:
        """Replace the dead engine; return the error for a request that was in flight at its death."""
        failure: EngineError | None = None
        try:
            await self._restart(start_number, str(death))
        except EngineDeadError as error:
            failure = type(death)(str(error))
            self._suspects.give_up()
        if is_culprit:
            words = f"in flight at {self._suspects.deaths(request_id)} engine deaths, alone at the last"
            self._tell("quarantined", f"{request_id} is not sent any more: {words}")
            return PoisonError(words)
        self._suspects.expect()
        if failure is not None:
            return failure
        gone = isinstance(death, EngineGoneError)
        return RetryableError(str(death), charge=0.0) if gone else EngineDiedError(str(death))

    async def _count(self, cause: str) -> None:
        """Wait until the next restart is due. Raise EngineDeadError when the restart budget is used up."""
        try:
            await self._restarts.wait(cause)
        except EngineDeadError as error:
            self._last_error = str(error)
            raise

    async def _restart(self, start_number: int, cause: str) -> None:
        """Replace the engine of `start_number`; the first caller does it, the others wait.

        Raise EngineDeadError when the restart budget is used up.
        """
        async with self._restarting:
            if self._start_number != start_number:
                return
            if self._closed:
                raise EngineGoneError("the engine was stopped")
            dead, self._engine = self._engine, None
            if dead is not None:
                await dead.aclose()
            while self._engine is None:
                await self._count(cause)
                try:
                    self._engine = await self._start()
                except EngineDeadError as error:
                    cause = str(error)
            self._start_number += 1
            self._suspects.expect()  # requests that waited for the engine must not be sent together with the suspects
            if self._on_change is not None:
                self.on_limit(self._on_change)
