"""Use several replicas of a server as one engine. Each replica is watched and restarted by itself.

While a replica is down the others do its work: a request in flight at its death is sent again to another one. A request
in flight at two deaths is suspected of having caused them. It is then sent alone to a replica that gets nothing else
meanwhile, and quarantined if that replica dies too. `synthgen.engines.routing` chooses the replicas of all others.
"""

import asyncio
import contextlib
import math
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol, runtime_checkable

from synthgen.engines.base import Tell, description
from synthgen.engines.pressure import Paced
from synthgen.engines.routing import choose, key_of
from synthgen.engines.vllm.supervisor import Restarts, RestartsSpentError
from synthgen.errors import (
    EngineDeadError,
    EngineDiedError,
    EngineGoneError,
    MachineLostError,
    PoisonError,
    RetryableError,
    UserError,
)
from synthgen.records import Completion, Engine, Json, Message, Request, Sampling

_PAUSE = 0.5  # seconds before a server whose machine was lost is placed again
_SUSPECT = 2  # engine deaths after which a request is sent alone

Start = Callable[[], Awaitable[Engine]]


@runtime_checkable
class Addressed(Protocol):
    """Mark an engine whose server other processes can reach."""

    def address(self) -> str:
        """Return the address of the server, up to and including /v1."""
        ...


class Replica:
    """Keep one server available. `start` starts it; `changed` is called when it comes up, goes down or has more room."""

    def __init__(self, name: str, start: Start, restarts: Restarts, tell: Tell, changed: Callable[[], None]) -> None:
        self.name = name
        self.held = 0
        self.limit = 0
        self.is_reserved = False
        """True while it answers one suspected request alone."""
        self.lost = ""
        """The reason why it is not started again; empty while it is."""
        self._start = start
        self._restarts = restarts
        self._tell = tell
        self._changed = changed
        self._engine: Engine | None = None
        self._restarting: asyncio.Task[None] | None = None
        self.tokens: Counter[str] = Counter()

    @property
    def is_up(self) -> bool:
        return self._engine is not None and not self.lost

    @property
    def state(self) -> str:
        return "lost" if self.lost else "up" if self.is_up else "starting"

    @property
    def engine(self) -> Engine | None:
        return self._engine

    def begin(self) -> None:
        """Start the server beside other work, now or when there is room for it."""
        self._restarting = asyncio.create_task(self._start_again(None, "", False))

    def end(self, why: str) -> None:
        """Give the server up for good."""
        if self._restarting is not None:
            self._restarting.cancel()
        self.lost, self.limit = why, 0

    async def start(self) -> None:
        """Start the server. Raise EngineDeadError or ConfigError where it does not start."""
        self._use(await self._start())

    def _use(self, engine: Engine) -> None:
        self._engine = engine
        self.limit = 1
        if isinstance(engine, Paced):
            engine.on_limit(self._resize)
        self._changed()

    def _resize(self, limit: int) -> None:
        if self.is_up:
            self.limit = limit
            self._changed()

    async def complete(self, request: Request) -> Completion:
        """Answer a request. Raise EngineDiedError if the server died of it or beside it, and RetryableError if it was
        down already.
        """
        engine = self._engine
        if engine is None:
            raise RetryableError(f"{self.name} is down", charge=0.0)
        self.held += 1
        try:
            completion = await engine.complete(request)
        except EngineGoneError as error:
            self._died(engine, str(error), not isinstance(error, MachineLostError))
            raise RetryableError(f"{self.name}: {error}", charge=0.0) from error
        except EngineDeadError as error:
            self._died(engine, str(error), True)
            raise EngineDiedError(f"{self.name}: {error}") from error
        finally:
            self.held -= 1
            self._changed()
        self.tokens["prompt"] += completion.prompt_tokens
        self.tokens["cached"] += completion.cached_tokens
        self.tokens["completion"] += completion.completion_tokens
        return completion.model_copy(update={"engine": self.name})

    async def aclose(self) -> None:
        if self._restarting is not None:
            self._restarting.cancel()
            await asyncio.gather(self._restarting, return_exceptions=True)
        engine, self._engine = self._engine, None
        if engine is not None:
            await engine.aclose()

    def _died(self, engine: Engine, cause: str, counts: bool) -> None:
        if engine is self._engine and not self.lost:
            self._engine, self.limit = None, 0
            self._restarting = asyncio.create_task(self._start_again(engine, cause, counts))
            self._changed()

    async def _start_again(self, dead: Engine | None, cause: str, counts: bool) -> None:
        """Start the server until it is up. If `counts`, the start counts as a restart, as every later one does."""
        if dead is not None:
            await dead.aclose()
            if not counts:
                self._tell("replica_down", f"{self.name} is gone with its machine: {cause}")
        while True:
            try:
                if counts:
                    await self._restarts.wait(cause)
                self._use(await self._start())
            except MachineLostError as error:
                counts, cause = False, str(error)
                await asyncio.sleep(_PAUSE)
            except RestartsSpentError as error:
                self.end(str(error))
                self._tell("replica_lost", f"{self.name} is not started again: {error}")
                return self._changed()
            except (EngineDeadError, UserError) as error:
                counts, cause = True, str(error)
            else:
                return self._tell("replica_up", f"{self.name} is up")


class Replicas:
    """Route requests over replicas. The engine is dead when no replica is left."""

    def __init__(
        self,
        tell: Tell,
        patience: float = math.inf,
        on_close: Callable[[], Awaitable[None]] | None = None,
        name: str = "vllm",
    ) -> None:
        """Begin without replicas. `patience` is the most seconds to wait while none is up. `on_close` is called last."""
        self.name = name
        self._tell = tell
        self._patience = patience
        self._on_close = on_close
        self._replicas: dict[str, Replica] = {}
        self._deaths: Counter[str] = Counter()
        self._event = asyncio.Event()
        self._trial = asyncio.Lock()
        self._reserved: Replica | None = None
        self._suspects = 0
        self._on_change: Callable[[int], None] = lambda _: None
        self._heard = 0
        self._none_since = time.monotonic()
        """Latest time at which a replica was up."""
        self._closed = False

    @classmethod
    async def started(cls, starts: Sequence[Start], restarts_per_hour: int, tell: Tell) -> "Replicas":
        """Start one replica with each function, all at once. Raise the first error if one does not start."""
        engine = cls(tell)
        for number, start in enumerate(starts):
            engine.add(f"replica {number}", start, restarts_per_hour)
        try:
            async with asyncio.TaskGroup() as group:
                for replica in engine._replicas.values():
                    group.create_task(replica.start())
        except BaseException as error:
            await engine.aclose()
            first = error.exceptions[0] if isinstance(error, BaseExceptionGroup) else error
            raise first from None
        return engine

    def add(self, name: str, start: Start, restarts_per_hour: int) -> Replica:
        """Add a replica that is not started yet."""
        restarts = Restarts(restarts_per_hour, self._tell, name)
        replica = self._replicas[name] = Replica(name, start, restarts, self._tell, self._changed)
        return replica

    async def ready(self, count: int, say: Callable[[str], None]) -> None:
        """Wait until `count` replicas are up. Raise EngineGoneError when they cannot be, or are not in time."""
        began = time.monotonic()
        while (up := sum(one.is_up for one in self._replicas.values())) < count:
            left = self._patience - (time.monotonic() - began)
            lost = [one.lost for one in self._replicas.values() if one.lost]
            if len(self._replicas) - len(lost) < count:
                raise EngineGoneError(f"{count} replicas are needed: {'; '.join(dict.fromkeys(lost))}")
            if left <= 0:
                raise EngineGoneError(
                    f"{up} of the {count} replicas that the run needs were up after {self._patience:.0f} s: the cluster has "
                    "no room for them, or they do not start (engine.ray.min, engine.ray.patience)"
                )
            say(f"{up} of {count} replicas are up")
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(min(1.0, left)):
                    await self._change()

    def end(self, why: str) -> None:
        """Give all replicas up for good, because nothing can start them any more."""
        for one in self._replicas.values():
            one.end(why)
        self._changed()

    async def complete(self, request: Request) -> Completion:
        """Answer a request; wait while no replica is up.

        Raise PoisonError for a request that kills replicas, and EngineGoneError when no replica is left.
        """
        if self._deaths and self._deaths[request.id] >= _SUSPECT:
            completion = await self._alone(request)
        else:
            completion = await self._send(await self._free(key_of(request)), request)
        if self._deaths:
            self._deaths.pop(request.id, None)
        return completion

    def about(self) -> Json:
        """Return the description of the first replica that is up; all run the same program."""
        up = next((one.engine for one in self._replicas.values() if one.engine is not None), None)
        return description(up) if up is not None else {}

    def urls(self) -> list[str]:
        """Return the addresses of the servers that are up, up to and including /v1."""
        found: list[str] = []
        for one in self._replicas.values():
            engine = one.engine
            if isinstance(engine, Addressed):
                found.append(engine.address())
        return found

    @property
    def lost(self) -> str:
        """Return the reasons why no replica is left; an empty text while one is."""
        reasons = [one.lost for one in self._replicas.values()]
        return "; ".join(dict.fromkeys(reasons)) if all(reasons) else ""

    async def probe(self) -> None:
        """Ask every server that is up for one token, so that one that has died is started again."""
        request = Request(
            id="-1/probe",
            messages=(Message(role="user", content="Say yes."),),
            sampling=Sampling(max_tokens=1),
            priority=-1,
        )
        up = [one for one in self._replicas.values() if one.is_up]
        await asyncio.gather(*(one.complete(request) for one in up), return_exceptions=True)

    def states(self) -> dict[str, Json]:
        return {
            one.name: {"state": one.state, "in_flight": one.held, "limit": one.limit, "tokens": dict(one.tokens)}
            for one in self._replicas.values()
        }

    @property
    def limit(self) -> int:
        """Return the generation requests that should be in flight now, over all replicas."""
        return max(1, sum(one.limit for one in self._replicas.values()))

    def on_limit(self, callback: Callable[[int], None]) -> None:
        """Call `callback` with the limit now and whenever it changes."""
        self._on_change = callback
        self._heard = self.limit
        callback(self._heard)

    async def aclose(self) -> None:
        self._closed = True
        self._changed()
        await asyncio.gather(*(one.aclose() for one in self._replicas.values()))
        if self._on_close is not None:
            await self._on_close()

    # -- choosing a replica ------------------------------------------------------------------------

    async def _free(self, key: str) -> Replica:
        """Return the replica for a key. Raise EngineGoneError when no replica is left."""
        while True:
            if self._closed:
                raise EngineGoneError("the engine was stopped")
            up = [one for one in self._replicas.values() if one.is_up and not one.is_reserved]
            if (replica := choose(key, up)) is not None:
                return replica
            await self._wait_for_one()

    async def _wait_for_one(self) -> None:
        """Wait for a change of a replica. Raise EngineGoneError when none can come up, or none did in time."""
        reasons = [one.lost for one in self._replicas.values()]
        if all(reasons):
            raise EngineGoneError(f"no replica is left: {'; '.join(dict.fromkeys(reasons))}")
        left = self._patience
        if not any(one.is_up for one in self._replicas.values()):
            left -= time.monotonic() - self._none_since
        try:
            async with asyncio.timeout(None if math.isinf(left) else max(0.0, left)):
                await self._change()
        except TimeoutError:
            raise EngineGoneError(f"no replica was up for {self._patience:.0f} s (engine.ray.patience)") from None

    async def _send(self, replica: Replica, request: Request) -> Completion:
        try:
            return await replica.complete(request)
        except EngineDiedError:
            self._deaths[request.id] += 1
            raise

    def _changed(self) -> None:
        if any(one.is_up for one in self._replicas.values()):
            self._none_since = time.monotonic()
        self._event.set()
        if (limit := self.limit) != self._heard:
            self._heard = limit
            self._on_change(limit)

    async def _change(self) -> None:
        self._event.clear()
        await self._event.wait()

    # -- suspects ----------------------------------------------------------------------------------

    async def _alone(self, request: Request) -> Completion:
        """Send a request alone to a replica. Raise PoisonError if the replica dies."""
        self._suspects += 1
        try:
            async with self._trial:
                replica = await self._reserve()
                return await self._send(replica, request)
        except EngineDiedError as error:
            words = f"in flight at {self._deaths[request.id]} engine deaths, alone at the last"
            self._tell("quarantined", f"{request.id} is not sent any more: {words}")
            raise PoisonError(words) from error
        finally:
            self._suspects -= 1
            if not self._suspects and self._reserved is not None:
                self._reserved.is_reserved = False
                self._reserved = None
                self._changed()

    async def _reserve(self) -> Replica:
        """Return a replica that is up and idle, and reserve it while there are suspects."""
        while True:
            if self._reserved is None or not self._reserved.is_up:
                if self._reserved is not None:
                    self._reserved.is_reserved = False
                self._reserved = min(
                    (one for one in self._replicas.values() if one.is_up), key=lambda one: one.held, default=None
                )
                if self._reserved is not None:
                    self._reserved.is_reserved = True
            if self._closed:
                raise EngineGoneError("the engine was stopped")
            if self._reserved is not None and not self._reserved.held:
                return self._reserved
            await self._wait_for_one()
