"""An Engine that outlives its engine: it notices death, starts a new one, and finds out who killed it.

What it takes for dead is an EngineDeadError: watching one engine's health is that engine's own business.
Who is to be sent again with whom is in `synthgen.engines.vllm.suspects`.
"""

import asyncio
import random
import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Mapping

from synthgen.engines.base import Tell
from synthgen.engines.pressure import Paced
from synthgen.engines.vllm.suspects import Suspects
from synthgen.errors import EngineDeadError, EngineDiedError, EngineError, EngineGoneError, PoisonError, RetryableError
from synthgen.records import Completion, Engine, Request

_FIRST_WAIT = 1.0
_LONGEST_WAIT = 60.0


class Supervisor:
    """Keep an engine running, within `restarts_per_hour`.

    `start` makes a new engine; `tell` hears of each death, restart and quarantine. `deaths` are request ids'
    counts from earlier sessions, `quarantined` those that are not to be sent any more.
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
        self._budget = restarts_per_hour
        self._tell = tell
        self._suspects = Suspects(deaths or {}, quarantined)
        self._restarts: deque[float] = deque()
        self._life = 0
        self._company: tuple[int, frozenset[str]] = (-1, frozenset())
        self._epitaph = "the engine could not be started again"  # a start that was cut short says no more
        self._mending = asyncio.Lock()
        self._hear: Callable[[int], None] | None = None
        self._closed = False

    async def complete(self, request: Request) -> Completion:
        """Answer a request. Raise PoisonError for one that kills the engine, EngineDeadError past the budget."""
        if self._suspects.is_guilty(request.id):
            raise PoisonError("the engine died of it before")
        await self._suspects.enter(request.id)
        try:
            engine, life = await self._living_for(request.id)
            try:
                completion = await engine.complete(request)
            except EngineGoneError as error:
                death: EngineDeadError = error
                guilty = False
            except EngineDeadError as error:
                death = error
                guilty = self._suspects.blame(request.id, self._company_at_death(life))
            except EngineError as error:
                if getattr(error, "charge", 1.0) > 0:  # else the engine never had it
                    self._suspects.clear(request.id)
                raise
            else:
                self._suspects.clear(request.id)
                return completion
        finally:
            self._suspects.leave(request.id)
        raise await self._outcome(request.id, life, death, guilty) from death

    def on_limit(self, hear: Callable[[int], None]) -> None:
        """Call `hear` with the engine's in-flight limit now and whenever it changes.

        Of an engine that does not say so it never hears.
        """
        self._hear = hear
        if isinstance(self._engine, Paced):
            self._engine.on_limit(hear)

    async def aclose(self) -> None:
        self._closed = True  # a question that nobody waits for may still be under way: no engine is started for it
        if self._engine is not None:
            await self._engine.aclose()

    async def _living(self) -> tuple[Engine, int]:
        async with self._mending:  # nothing is sent while an engine is being started
            if self._engine is None:
                raise EngineGoneError(self._epitaph)
            return self._engine, self._life

    async def _living_for(self, request_id: str) -> tuple[Engine, int]:
        """Return the engine for an admitted request; after a restart, suspects go first."""
        while True:
            entered = self._life
            engine, life = await self._living()
            if life == entered:
                return engine, life
            self._suspects.leave(request_id)
            await self._suspects.enter(request_id)

    def _company_at_death(self, life: int) -> frozenset[str]:
        """Return the requests that were in flight when the engine of `life` died."""
        if self._company[0] != life:
            self._company = (life, self._suspects.present)
        return self._company[1]

    async def _outcome(self, request_id: str, life: int, death: EngineDeadError, guilty: bool) -> EngineError:
        """Replace the dead engine; return what its death means for a request that waited for it."""
        failure: EngineError | None = None
        try:
            await self._mend(life, str(death))
        except EngineDeadError as error:
            failure = type(death)(str(error))
            self._suspects.disband()
        if guilty:
            words = f"in flight at {self._suspects.deaths(request_id)} engine deaths, alone at the last"
            self._tell("quarantined", f"{request_id} is not sent any more: {words}")
            return PoisonError(words)
        self._suspects.expect()
        if failure is not None:
            return failure
        gone = isinstance(death, EngineGoneError)
        return RetryableError(str(death), charge=0.0) if gone else EngineDiedError(str(death))

    async def _mend(self, life: int, cause: str) -> None:
        """Replace the engine of `life`; the first caller does it, the others wait.

        Raises EngineDeadError when the restart budget is used up.
        """
        async with self._mending:
            if self._life != life:
                return
            if self._closed:
                raise EngineGoneError("the engine was stopped")
            dead, self._engine = self._engine, None
            if dead is not None:
                await dead.aclose()
            while self._engine is None:
                await self._count_restart(cause)
                try:
                    self._engine = await self._start()
                except EngineDeadError as error:
                    cause = str(error)
            self._life += 1
            self._suspects.expect()  # whoever waited for the engine must not go with them
            if self._hear is not None:
                self.on_limit(self._hear)

    async def _count_restart(self, cause: str) -> None:
        """Take one restart out of this hour's budget; wait longer after each."""
        now = time.monotonic()
        while self._restarts and now - self._restarts[0] > 3600:
            self._restarts.popleft()
        if len(self._restarts) >= self._budget:
            spent = f"after {self._budget} restarts within the hour: " if self._budget else ""
            self._epitaph = spent + cause
            raise EngineDeadError(self._epitaph)
        self._restarts.append(now)
        self._tell(
            "engine_restart",
            f"starting the engine again ({len(self._restarts)} of {self._budget} this hour): {cause}",
        )
        wait = min(_LONGEST_WAIT, _FIRST_WAIT * 2 ** (len(self._restarts) - 1))
        await asyncio.sleep(wait * random.uniform(0.5, 1.5))
