"""Start the servers that all shards share, once for the run, and keep them up.

The shards speak to them as endpoints. A server that dies is started again at the same address, so the shards find it
again by themselves.
"""

import asyncio
import secrets
import time
from collections.abc import Callable
from pathlib import Path
from typing import cast

from synthgen.engines.base import EngineConfig, EngineContext, LearnedLimits, Shared
from synthgen.engines.http.shares import endpoints
from synthgen.engines.vllm.replicas import Replicas
from synthgen.records import Engine
from synthgen.run.notes import Notes
from synthgen.run.prepare import Prepared
from synthgen.safety.secrets import keep

KEY_VARIABLE = "SYNTHGEN_SHARED_KEY"
"""Environment variable that gives the servers' key to the shards."""
STARTED = ("vllm", "ray")
"""Engines whose servers the run starts."""
_PROBE_SECONDS = 2.0


class Servers:
    """Hold the servers of a run with shards. Without any, `shared` returns the engine of the run's config."""

    def __init__(
        self,
        prepared: Prepared,
        folder: Path,
        say: Callable[[str], None],
        notes: Notes,
        on_lost: Callable[[], None],
    ) -> None:
        """Prepare to start the servers. `on_lost` is called when none of them is left."""
        self._on_lost = on_lost
        self.lost = ""
        """The reasons why no server is left; empty while one is."""
        self._prepared = prepared
        self._folder = folder
        self._say = say
        self._notes = notes
        self._engine: Engine | None = None
        self._shared: EngineConfig | None = None
        self._watching: asyncio.Task[None] | None = None
        self.key = ""
        """The key of the servers; empty without servers."""

    async def shared(self) -> EngineConfig:
        """Return the config of the engine that the shards share; start its servers at the first call."""
        engine: EngineConfig = self._prepared.config.engine
        if engine.kind not in STARTED:
            return engine
        if self._shared is None:
            self._shared = await self._start(engine)
        return self._shared

    async def aclose(self) -> None:
        if self._watching is not None:
            self._watching.cancel()
            await asyncio.gather(self._watching, return_exceptions=True)
        if self._engine is not None:
            self._say("stopping the engine")
            await self._engine.aclose()

    async def _start(self, engine: EngineConfig) -> EngineConfig:
        self.key = secrets.token_urlsafe(24)
        keep(self.key)
        name, began = f"synthgen-{secrets.token_hex(6)}", time.monotonic()
        config = self._prepared.config
        started = self._engine = await engine.start(
            EngineContext(
                config.model, config.run.seed, self._prepared.engine_grammars, [], self._folder, LearnedLimits(),
                self._say, self._notes.engine_event, Shared(name, self.key),
            )
        )  # fmt: skip
        replicas = cast(Replicas, started)  # what engines return that start servers for other processes
        seconds = time.monotonic() - began
        self._notes.seconds.engine_start += seconds
        info = engine.info(config.model.name)
        self._notes.note_engine(**info)
        self._notes.event("engine_started", {**info, "seconds": round(seconds, 1)})
        self._watching = asyncio.create_task(self._watch(replicas))
        return endpoints(engine, replicas.urls(), name, KEY_VARIABLE)

    async def _watch(self, replicas: Replicas) -> None:
        """Ask every server for a token now and then, so that a dead one is noticed and started again."""
        while not replicas.lost:
            await asyncio.sleep(_PROBE_SECONDS)
            await replicas.probe()
        self.lost = replicas.lost
        self._on_lost()
