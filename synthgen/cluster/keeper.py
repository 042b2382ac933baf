"""Start and follow the keeper: a child process that speaks to Ray for the run.

Ray's client ends its own process when it loses the cluster's head. The ledger must not end with it, so the client lives in
a process of its own (`synthgen.cluster.child`). When that process ends, all replicas are lost and the run ends with exit
code 4.
"""

import asyncio
import contextlib
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from synthgen.cluster.spec import Bundle, ServerSpec, from_line, to_line
from synthgen.engines.vllm.devices import gpus_per_server
from synthgen.engines.vllm.options import vllm_build
from synthgen.engines.vllm.server_process import end_with_parent
from synthgen.errors import ConfigError, EngineDeadError, EngineGoneError, MachineLostError

if TYPE_CHECKING:
    from synthgen.cluster.config import RayConfig

_CLOSE_SECONDS = 30.0
_WIDE = 2**26
_HEAD_SECONDS = 20
"""Seconds without an answer of the cluster's head after which Ray's client gives up."""


@dataclass
class Placed:
    """Hold a place in the cluster and the known state of its server."""

    name: str
    number: int
    build: str | None = None
    end: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when the server has ended, or is ended."""
    lost: bool = False
    words: str = ""
    missing_resource: Literal["port", "memory"] | None = None

    @property
    def ended(self) -> bool:
        return self.end.is_set()


class Keeper:
    """Exchange messages with the child process. `start` creates an instance."""

    def __init__(self, process: asyncio.subprocess.Process, log: Path) -> None:
        self.log = log
        self._process = process
        self._places: dict[int, Placed] = {}
        self._answers: dict[int, asyncio.Future[Any]] = {}
        self._ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._on_lost: Callable[[str], None] = lambda _: None
        self._gone = ""
        self._closing = False
        self._reader = asyncio.create_task(self._read())

    @classmethod
    async def start(cls, cfg: "RayConfig", folder: Path, say: Callable[[str], None]) -> "Keeper":
        """Join the cluster, or start one. Raise ConfigError if Ray is not installed, EngineDeadError if it cannot be joined."""
        from importlib.util import find_spec

        if find_spec("ray") is None:
            raise ConfigError('engine=ray: Ray is not installed: pip install "synthgen[ray]"')
        log = folder / "engine.log"
        env = {
            "RAY_gcs_rpc_server_reconnect_timeout_s": str(_HEAD_SECONDS),
            **os.environ,
            "RAY_USAGE_STATS_ENABLED": "0",
        }
        say(f"joining the Ray cluster {cfg.ray.address}" if cfg.ray.address else "starting Ray on this machine")
        with log.open("ab") as output:
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "synthgen.cluster.child", stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE, stderr=output, env=env, limit=_WIDE, start_new_session=True,
                preexec_fn=end_with_parent,
            )  # fmt: skip
        keeper = cls(process, log)
        keeper._send("join", cfg.ray.address, bundle_of(cfg))
        try:
            async with asyncio.timeout(cfg.start_timeout):
                await keeper._ready
        except BaseException as error:
            await keeper.aclose()
            if isinstance(error, TimeoutError):
                raise EngineDeadError(f"Ray was not ready after {cfg.start_timeout:.0f} s; see {log}") from None
            raise
        return keeper

    def on_lost(self, callback: Callable[[str], None]) -> None:
        """Call `callback` with the reason when the cluster cannot be reached any more."""
        self._on_lost = callback
        if self._gone:
            callback(self._gone)

    async def place(self, name: str) -> Placed:
        """Wait for a place for one replica."""
        placed = Placed(name, len(self._places))
        self._places[placed.number] = placed
        try:
            placed.build = await self._ask("place", placed.number)
        except BaseException:
            self.release(placed)
            raise
        return placed

    async def run(self, placed: Placed, spec: ServerSpec) -> str:
        """Start a server and return its address, without /v1."""
        return str(await self._ask("run", placed.number, spec))

    def release(self, placed: Placed) -> None:
        """End a server and give its place back."""
        placed.end.set()
        self._send("release", placed.number)

    async def aclose(self) -> None:
        """Leave the cluster. A cluster that the run started ends."""
        self._closing = True
        with contextlib.suppress(OSError, RuntimeError):
            assert self._process.stdin is not None
            self._process.stdin.close()
        try:
            async with asyncio.timeout(_CLOSE_SECONDS):
                await self._process.wait()
        except TimeoutError:
            self._process.kill()
            await self._process.wait()
        await self._reader

    def _send(self, *message: Any) -> None:
        if self._gone or self._closing:
            return
        assert self._process.stdin is not None
        with contextlib.suppress(OSError, RuntimeError):  # the reader reports that the process has ended
            self._process.stdin.write(to_line(message))

    async def _ask(self, kind: str, number: int, *more: Any) -> Any:
        if self._gone:
            raise EngineGoneError(self._gone)
        answer = self._answers[number] = asyncio.get_running_loop().create_future()
        self._send(kind, number, *more)
        return await answer

    async def _read(self) -> None:
        assert self._process.stdout is not None
        while line := await self._process.stdout.readline():
            self._take(*from_line(line))
        await self._process.wait()
        self._lose(f"the Ray cluster cannot be reached any more; Ray's messages are at the end of {self.log}")

    def _take(self, kind: str, number: int, *more: Any) -> None:
        placed, answer = self._places.get(number), self._answers.get(number)
        if kind == "joined" and not self._ready.done():
            self._ready.set_result(None)
        elif kind == "refused" and not self._ready.done():
            self._ready.set_exception(EngineDeadError(*more))
        elif kind == "answer" and answer is not None and not answer.done():
            answer.set_result(more[0])
        elif kind == "ended" and placed is not None:
            placed.lost, placed.words, placed.missing_resource = more
            placed.end.set()
            if answer is not None and not answer.done():
                lost = MachineLostError(f"{placed.name} was lost while it started: {placed.words}")
                answer.set_exception(lost if placed.lost else EngineDeadError(placed.words))

    def _lose(self, why: str) -> None:
        self._gone = why
        for placed in self._places.values():
            if not placed.ended:
                placed.lost, placed.words = True, why
                placed.end.set()
        for answer in (self._ready, *self._answers.values()):
            if not answer.done():
                answer.set_exception(EngineGoneError(why))
                answer.exception()  # nobody may wait for it any more
        if not self._closing:
            self._on_lost(why)


def bundle_of(cfg: "RayConfig") -> Bundle:
    """Return the resources that Ray should reserve for a replica."""
    gpus = cfg.ray.gpus
    if gpus is None:
        gpus = 0.0 if cfg.server != "vllm" or vllm_build() == "cpu" else float(gpus_per_server(cfg))
    memory = cfg.ray.memory_gigabytes
    return Bundle(cfg.ray.cpus, gpus, memory and memory * 1e9, dict(cfg.ray.resources))
