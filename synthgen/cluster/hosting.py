"""Run one server somewhere in a Ray cluster, as `synthgen.engines.vllm.server` asks for it."""

import asyncio
import contextlib
from typing import Literal

from synthgen.cluster.keeper import Keeper, Placed
from synthgen.cluster.spec import ServerSpec
from synthgen.engines.vllm.config import ServerKnobs
from synthgen.engines.vllm.hosting import Process
from synthgen.records import Json

_WORD_SECONDS = 5.0


class RayProcess:
    """Watch a server in the cluster through the keeper."""

    def __init__(self, keeper: Keeper, placed: Placed) -> None:
        self._keeper = keeper
        self._placed = placed

    @property
    def log(self) -> str:
        return f"{self._keeper.log}, {self._placed.name}"

    @property
    def has_ended(self) -> bool:
        return self._placed.ended

    @property
    def was_lost(self) -> bool:
        return self._placed.lost or not self._placed.ended

    async def settled(self) -> None:
        """Wait until Ray says how the server ended. Where it says nothing, the server's machine counts as lost."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_WORD_SECONDS):
                await self._placed.end.wait()

    def kill(self) -> None:
        self._keeper.release(self._placed)

    def stop(self) -> None:
        self._keeper.release(self._placed)

    def failure_message(self, what: str) -> str:
        return f"{what}; {self._placed.words}" if self._placed.words else what

    def missing_resource(self) -> Literal["port", "memory"] | None:
        return self._placed.missing_resource


class RayHost:
    """Place one replica in the cluster, wherever there is room."""

    def __init__(self, keeper: Keeper, name: str) -> None:
        self._keeper = keeper
        self._name = name
        self._placed: Placed | None = None

    async def build(self) -> str | None:
        """Wait for a place and return the build of vLLM there. Raise EngineGoneError where the cluster is gone."""
        self._placed = await self._keeper.place(self._name)
        return self._placed.build

    async def run(
        self, cfg: ServerKnobs, model: str, flags: Json, build: str, served_name: str, key: str
    ) -> tuple[Process, str]:
        placed = self._placed
        if placed is None or placed.ended:  # an earlier try on this place failed
            placed = self._placed = await self._keeper.place(self._name)
        root = await self._keeper.run(placed, ServerSpec(cfg, model, flags, build, served_name, key))
        return RayProcess(self._keeper, placed), root
