"""Run a vLLM OpenAI server as a child process: start it, wait for it, watch it, stop it.

The same code drives the CPU and the GPU build of vLLM; only the flags differ. `synthgen.engines.http.fleet` speaks
HTTP, and `synthgen.engines.vllm.server_process` handles the process.
"""

import asyncio
import contextlib
import dataclasses
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import aiohttp

from synthgen.engines.base import LearnedLimits, ModelConfig, Shared, Tell
from synthgen.engines.http.dialect import VLLM, Dialect
from synthgen.engines.http.endpoint import Endpoint, RequestSettings, UnfitError, UnreachableError
from synthgen.engines.http.fleet import Fleet
from synthgen.engines.pressure import InFlight, Load, read_load
from synthgen.engines.vllm.config import ServerKnobs, command_line, environment, server_flags
from synthgen.engines.vllm.hosting import Host, Process
from synthgen.engines.vllm.options import default_in_flight, vllm_build
from synthgen.engines.vllm.server_process import ServerProcess, free_port, stop_leftovers
from synthgen.errors import ConfigError, EngineDeadError, EngineGoneError, MachineLostError, RetryableError
from synthgen.records import Completion, Grammar, Json, Request
from synthgen.safety.secrets import keep

_READ_SECONDS = 0.5  # between two readings of the server's metrics, which cost it about 10 ms
_READING_SECONDS = 5.0  # timeout of one reading
_STALL_READINGS = 3
_AHEAD = 0  # priority of requests that go before generation and do not count against its limit
_MOST_PORTS = 5


def _known(dialect: Dialect) -> Json:
    """Return the parts of the dialect that every vLLM server has.

    Only the times at which its model thinks are left to detect.
    """
    return {
        key: value for key, value in dataclasses.asdict(dialect).items() if key not in ("thinks", "thinking_budget")
    }


class ThisMachine:
    """Start servers as child processes, with their output in `folder`/engine.log and `extra` in their environment.

    They listen at `port`, or each at a free one if it is None.
    """

    def __init__(self, folder: Path, extra: Mapping[str, str] | None = None, port: int | None = None) -> None:
        self._port = port
        self._folder = folder
        self._extra = dict(extra or {})

    async def build(self) -> str | None:
        return vllm_build()

    async def run(
        self, cfg: ServerKnobs, model: str, flags: Json, build: str, served_name: str, key: str
    ) -> tuple[Process, str]:
        port = self._port or free_port()
        command = command_line(cfg, flags, model, served_name, port)
        env = environment(cfg, build, flags, key) | self._extra
        return ServerProcess.start(command, env, served_name, self._folder), f"http://127.0.0.1:{port}"


class VllmEngine:
    """Run a vLLM server and answer through it. `start` creates an instance."""

    name = "vllm"

    def __init__(self, process: Process, fleet: Fleet, most: int, url: str = "") -> None:
        self._url = url
        self._process = process
        self._fleet = fleet
        self._in_flight = InFlight(most)
        self._on_change: Callable[[int], None] = lambda _: None
        self._ahead = 0
        self._watcher: asyncio.Task[None] | None = None
        self._closing = False

    @classmethod
    async def start(
        cls,
        cfg: ServerKnobs,
        model: str,
        model_flags: Json,
        seed: int,
        folder: Path,
        limits: LearnedLimits,
        say: Callable[[str], None],
        tell: Tell,
        thinks: ModelConfig | None = None,
        host: Host | None = None,
        shared: Shared | None = None,
    ) -> "VllmEngine":
        """Start the server on `host`, by default this machine, and wait until it is healthy.

        On this machine its output goes to `folder`/engine.log. If the port is taken, use another one. If memory runs out, start once more with half the `max-num-seqs`, which
        `limits` stores. `thinks` says whether the model should think. `shared` sets the served name and the key. Raise ConfigError if vLLM is not installed,
        EngineDeadError if the server does not start.
        """
        if host is None:
            stop_leftovers(folder)
            host = ThisMachine(folder)
        build = await host.build()
        if build is None and cfg.server == "vllm":
            raise ConfigError(
                f'engine={cfg.kind}: vLLM is not installed: pip install "synthgen[gpu]" or "synthgen[cpu]"'
            )
        ports_left = _MOST_PORTS
        while True:
            flags = server_flags(cfg, build or "gpu", {"seed": seed, **model_flags}, limits)
            try:
                return await cls._launch(
                    cfg, model, flags, build or "gpu", host, say, tell, thinks or ModelConfig(), shared
                )
            except _NotStartedError as error:
                ports_left -= 1
                if error.lack == "port" and ports_left:
                    tell("engine_port", "vLLM's port was taken by another process; starting with another one")
                elif error.lack == "memory" and limits.max_num_seqs is None:
                    limits.halve(flags, default_in_flight(cfg), tell)
                else:
                    raise

    @classmethod
    async def _launch(
        cls, cfg: ServerKnobs, model: str, flags: Json, build: str, host: Host, say: Callable[[str], None], tell: Tell,
        thinks: ModelConfig, shared: Shared | None,
    ) -> "VllmEngine":  # fmt: skip
        own = shared or Shared(f"synthgen-{secrets.token_hex(6)}", secrets.token_urlsafe(24))
        served_name, key = own.served_name, own.key
        keep(key)
        process, root = await host.run(cfg, model, flags, build, served_name, key)
        dialect = dataclasses.replace(VLLM, seed=cfg.request_seeds)
        endpoint = Endpoint(f"{root}/v1", served_name, key, RequestSettings(cfg.timeout), dialect)

        def report_while_alive(kind: str, words: str) -> None:  # the supervisor reports the server's death
            if not process.has_ended:
                tell(kind, words)

        known = _known(dialect) if cfg.reasoning_parser or thinks.asked_to_think is not None else None
        fleet = Fleet([endpoint], cfg.patience, report_while_alive, known=known, model=thinks)
        engine = cls(process, fleet, default_in_flight(cfg), f"{root}/v1")
        try:
            await engine._wait_until_healthy(root, served_name, key, cfg.start_timeout, say)
        except BaseException:
            await engine.aclose()
            raise
        engine._watcher = asyncio.create_task(engine._watch(f"{root}/metrics", cfg.stall_seconds))
        return engine

    async def complete(self, request: Request) -> Completion:
        is_ahead = request.priority <= _AHEAD
        self._ahead += is_ahead
        try:
            return await self._fleet.complete(request)
        except EngineGoneError as error:
            if self._process.was_lost and self._process.has_ended:
                raise MachineLostError(str(error)) from None
            raise
        except RetryableError as error:
            if isinstance(error.__cause__, UnfitError):
                raise EngineGoneError(self._fleet.abandon(str(error))) from None
            if self._is_dead(error):
                await self._process.settled()
                words = self._fleet.abandon(self._process.failure_message("the vLLM server died"))
                if self._process.was_lost:
                    raise MachineLostError(words) from None
                unsent = isinstance(error.__cause__, UnreachableError)
                raise (EngineGoneError if unsent else EngineDeadError)(words) from None
            if self._closing:
                raise EngineGoneError(str(error)) from None
            raise
        finally:
            self._ahead -= is_ahead

    def address(self) -> str:
        return self._url

    def about(self) -> Json:
        """Return the server's dialect, if a part of it was detected."""
        return self._fleet.about()

    @property
    def limit(self) -> int:
        """Return the generation requests that should be in flight now to fill the engine without preemption."""
        return self._in_flight.limit

    def on_limit(self, callback: Callable[[int], None]) -> None:
        """Call `callback` with the limit now and whenever it changes."""
        self._on_change = callback
        callback(self.limit)

    async def aclose(self) -> None:
        self._closing = True
        self._fleet.abandon("the vLLM server was stopped")
        if self._watcher is not None:
            self._watcher.cancel()
        await self._fleet.aclose()
        await asyncio.to_thread(self._process.stop)

    async def warm_up(
        self, grammars: Sequence[Grammar], say: Callable[[str], None], adapters: Sequence[str] = ()
    ) -> None:
        """Make the server load each adapter and compile each grammar, one by one, before traffic.

        Raise EngineDeadError if it fails, or lacks something that the run needs.
        """
        await self._fleet.warm_up(grammars, say, adapters)

    async def _watch(self, url: str, stall_seconds: float) -> None:
        """Poll the server's load. Kill a server that has work but makes no progress, and fail its requests."""
        interval = min(_READ_SECONDS, stall_seconds / 4)
        last, since, idle_readings = -1, time.monotonic(), 0
        timeout = aiohttp.ClientTimeout(total=min(_READING_SECONDS, stall_seconds / 4))
        async with aiohttp.ClientSession(timeout=timeout) as session:
            while not self._process.has_ended:
                await asyncio.sleep(interval)
                try:
                    async with session.get(url) as response:
                        load = read_load(await response.text())
                    progress = load is None or load.tokens != last or not load.is_busy
                except (aiohttp.ClientError, TimeoutError):
                    load, progress = None, False
                self._follow(load)
                if progress:
                    last, since, idle_readings = load.tokens if load is not None else last, time.monotonic(), 0
                    continue
                idle_readings += 1  # a single reading may be late because this process was busy
                if idle_readings >= _STALL_READINGS and time.monotonic() - since > stall_seconds:
                    self._fleet.abandon(f"the vLLM server had work and made no token for {stall_seconds:g} s")
                    self._process.kill()
                    return
        self._fleet.abandon(self._process.failure_message("the vLLM server died"))

    def _follow(self, load: Load | None) -> None:
        before = self.limit
        if self._in_flight.update(load, self._ahead) != before:
            self._on_change(self.limit)

    def _is_dead(self, error: RetryableError) -> bool:
        """Return True when the process has ended, stopped listening, or reports that its engine is gone."""
        refused = isinstance(error.__cause__, UnreachableError)
        return self._process.has_ended or refused or "EngineCore encountered an issue" in str(error)

    async def _wait_until_healthy(
        self, root: str, name: str, key: str, limit: float, say: Callable[[str], None]
    ) -> None:
        """Raise _NotStartedError on failure. Check the served name too: another server may own the port."""
        started = time.monotonic()
        bearer = {"Authorization": f"Bearer {key}"}
        async with aiohttp.ClientSession(headers=bearer, timeout=aiohttp.ClientTimeout(total=5)) as session:
            while (passed := time.monotonic() - started) < limit:
                if self._process.has_ended:
                    raise _NotStartedError(
                        self._process.failure_message("the vLLM server did not start"), self._process.missing_resource()
                    )
                with contextlib.suppress(aiohttp.ClientError, TimeoutError):
                    async with session.get(f"{root}/health") as health, session.get(f"{root}/v1/models") as models:
                        if health.status == models.status == 200 and name in await models.text():
                            return
                say(f"starting vLLM: {passed:.0f} s (its output: {self._process.log})")
                await asyncio.sleep(min(0.5, 0.05 + passed / 10))
        raise _NotStartedError(
            self._process.failure_message(f"the vLLM server was not healthy after {limit:.0f} s"), None
        )


class _NotStartedError(EngineDeadError):
    """Report that the server did not start for `lack` of a resource; None where unknown."""

    def __init__(self, words: str, lack: str | None) -> None:
        super().__init__(words)
        self.lack = lack
