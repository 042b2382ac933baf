"""A host of batches inside the test's own event loop, and engines that use it."""

import contextlib
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from synthgen.engines.base import EngineContext, LearnedLimits, ModelConfig
from synthgen.engines.batch.config import BatchConfig
from synthgen.engines.fake.faults import Faults, InjectedFault
from synthgen.engines.fake.habits import Habits
from synthgen.engines.fake.scripted import Writer
from synthgen.engines.fake.stand_in import StandIn, StandInOptions
from synthgen.engines.http.dialect import DialectConfig
from synthgen.errors import RetryableError
from synthgen.records import Completion, Engine, Json, Message, Request, Sampling


@dataclass
class Bench:
    """A running host and a run folder."""

    server: StandIn
    url: str
    folder: Path
    events: list[tuple[str, str]] = field(default_factory=list)

    @contextlib.asynccontextmanager
    async def engine(self, **settings: Any) -> AsyncIterator[Engine]:
        """Start an engine for the run in the folder, and close it in the end."""
        usual: dict[str, Any] = {"detect": False, "dialect": DialectConfig(preset="vllm"), "quiet": 0.05, "poll": 0.1, "patience": 5.0,
                 "least_requests": 1}  # fmt: skip
        cfg = BatchConfig(urls=[self.url], model="m", **usual | settings)

        def tell(kind: str, words: str) -> None:
            self.events.append((kind, words))

        context = EngineContext(ModelConfig(), 0, [], [], self.folder, LearnedLimits(), lambda _: None, tell)
        engine = await cfg.start(context)
        try:
            yield engine
        finally:
            await engine.aclose()

    @property
    def batches(self) -> list[Json]:
        return [*self.server._batches._batches.values()]

    def asked(self) -> list[str]:
        """Return the custom_id of every line of every batch."""
        return [json.loads(line)["custom_id"] for content in self.inputs() for line in content.splitlines()]

    def inputs(self) -> list[bytes]:
        """Return the file of every batch."""
        return [self.server._batches._contents[batch["input_file_id"]] for batch in self.batches]

    def told(self, kind: str) -> str:
        return "\n".join(words for found, words in self.events if found == kind)


StartBench = Callable[..., contextlib.AbstractAsyncContextManager[Bench]]


@pytest.fixture
def bench(tmp_path: Path) -> StartBench:
    """`async with bench({"kind": "batch_expires"}, seconds=0.1, habits=[("busy", "4")]) as host: ...`."""

    @contextlib.asynccontextmanager
    async def start(
        *faults: Json, seconds: float = 0.05, habits: list[tuple[str, str]] | None = None, key: str | None = None
    ) -> AsyncIterator[Bench]:
        options = StandInOptions(None, key, 0, 0.0, None, 1, batch_seconds=seconds)
        told = Faults([InjectedFault(**fault) for fault in faults], 1, 0)
        server = StandIn(options, Writer(0), told, Habits(habits or [], 0))
        runner = web.AppRunner(server.app(), shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        try:
            yield Bench(server, f"http://127.0.0.1:{runner.addresses[0][1]}/v1", tmp_path)
        finally:
            await runner.cleanup()

    return start


def generating(number: int) -> Request:
    """Return a generation request whose answer depends on its number alone."""
    messages = (Message(role="user", content=f"Write item {number}."),)
    return Request(id=f"{number}/generate", messages=messages, sampling=Sampling(seed=number, min_p=0.05))


async def until_answered(engine: Engine, request: Request) -> Completion:
    """Ask as the recorder does: again after each failure that costs the request nothing."""
    while True:
        try:
            return await engine.complete(request)
        except RetryableError as error:
            if error.charge:
                raise
