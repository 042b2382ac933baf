"""An Engine that outlives its engine: it notices death, starts a new one, and sends again what was lost.

What it takes for dead: an EngineDeadError, or, where it may start another, too many failed requests in
a row (a storm of 5xx, time-outs). A request that was in flight at two deaths may be the killer: it is
refused for good. Watching one server's health is that engine's own business.
"""

import asyncio
import random
import time
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Mapping

from synthgen.errors import EngineDeadError, EngineDiedError, PoisonError, RetryableError
from synthgen.records import Completion, Engine, Request

_FAILURES_IN_A_ROW = 32
_MOST_DEATHS = 2
_FIRST_WAIT = 1.0
_LONGEST_WAIT = 60.0


class Supervisor:
    """Keeps an engine running, within `restarts_per_hour`. `deaths` are request ids' counts from earlier sessions.

    `start` makes a new engine; `tell` hears of each death and restart.
    """

    def __init__(
        self,
        engine: Engine,
        start: Callable[[], Awaitable[Engine]],
        restarts_per_hour: int,
        tell: Callable[[str], None],
        deaths: Mapping[str, int] | None = None,
    ) -> None:
        self.name = engine.name
        self._engine: Engine | None = engine
        self._start = start
        self._budget = restarts_per_hour
        self._tell = tell
        self._deaths: Counter[str] = Counter(deaths or {})
        self._restarts: deque[float] = deque()
        self._life = 0
        self._failures = 0
        self._mending = asyncio.Lock()

    async def complete(self, request: Request) -> Completion:
        """Raises PoisonError for a request that was there at two deaths, EngineDeadError past the restart budget."""
        if self._deaths[request.id] >= _MOST_DEATHS:
            raise PoisonError(f"in flight at {self._deaths[request.id]} engine deaths")
        engine, life = await self._living()
        try:
            completion = await engine.complete(request)
        except RetryableError as error:
            self._failures += 1
            if self._budget and self._failures >= _FAILURES_IN_A_ROW:
                await self._mend(life, f"{self._failures} requests failed in a row; the last: {error}")
            raise
        except EngineDeadError as error:
            self._deaths[request.id] += 1
            await self._mend(life, str(error))
            raise EngineDiedError(str(error)) from error
        self._failures = 0
        self._deaths.pop(request.id, None)
        return completion

    async def aclose(self) -> None:
        if self._engine is not None:
            await self._engine.aclose()

    async def _living(self) -> tuple[Engine, int]:
        async with self._mending:  # nothing is sent while an engine is being started
            if self._engine is None:
                raise EngineDeadError("the engine is gone, and its restart budget is used up")
            return self._engine, self._life

    async def _mend(self, life: int, cause: str) -> None:
        """Replaces the engine of `life`; the first to notice does it, the others wait.

        Raises EngineDeadError when the restart budget is used up.
        """
        async with self._mending:
            if self._life != life:
                return
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
            self._failures = 0

    async def _count_restart(self, cause: str) -> None:
        """Takes one restart out of this hour's budget, and waits longer after each."""
        now = time.monotonic()
        while self._restarts and now - self._restarts[0] > 3600:
            self._restarts.popleft()
        if len(self._restarts) >= self._budget:
            raise EngineDeadError(cause)
        self._restarts.append(now)
        self._tell(f"starting the engine again ({len(self._restarts)} of {self._budget} this hour): {cause}")
        wait = min(_LONGEST_WAIT, _FIRST_WAIT * 2 ** (len(self._restarts) - 1))
        await asyncio.sleep(wait * random.uniform(0.5, 1.5))
