"""Configure `engine=vllm`: one vLLM server on this machine, or several replicas of it."""

import asyncio
import dataclasses
import sys
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from synthgen.engines import bundled
from synthgen.engines.adapters import lora_flags, lora_modules
from synthgen.engines.base import Capabilities, EngineContext, LearnedLimits, check_above_zero, warmed
from synthgen.engines.vllm.devices import check_replicas, replica_count, shares
from synthgen.engines.vllm.options import (
    VllmKnobs,
    engine_environment,
    engine_flags,
    flags_of,
    spelled,
    vllm_build,
    vllm_version,
    with_chosen_backend,
)
from synthgen.engines.vllm.replicas import Replicas
from synthgen.engines.vllm.server_process import free_port, stop_leftovers
from synthgen.errors import ConfigError
from synthgen.records import Engine, Json

SERVERS = {"vllm": "vllm.entrypoints.openai.api_server", "stand_in": "synthgen.engines.fake.stand_in"}
_NO_PARSER = (
    "engine=vllm needs the name of vLLM's parser for the thinking of this model, or the grammar would begin with the "
    "thinking: set engine.reasoning_parser, for example to qwen3 or deepseek_r1"
)


@dataclass
class ServerKnobs(VllmKnobs):
    """Hold the settings of all engines that start vLLM servers."""

    kind: str = ""
    """Name of the engine."""
    server: str = "vllm"
    """The server to start: vllm; or stand_in, a server without a model for dry runs and failure drills."""
    reasoning_parser: str | None = None
    """vLLM's parser for the model's thinking, such as qwen3, deepseek_r1 or openai_gptoss (`vllm serve --help=reasoning-parser`
    lists them). The grammar then applies to the answer after the thinking. model.thinking=on needs it. null for none."""
    patience: float = 60.0
    """Seconds after which a server that fails every request is restarted."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.server not in SERVERS:
            raise ConfigError(f"engine.server: '{self.server}' is not one of {', '.join(SERVERS)}")
        check_above_zero(self, "patience")

    @property
    def capabilities(self) -> Capabilities:
        lacks = "" if self.reasoning_parser else _NO_PARSER
        return dataclasses.replace(super().capabilities, no_thinking=lacks)

    def info(self, model: str) -> Json:
        return {"name": self.kind, "version": vllm_version(), "model": model}


@dataclass
class VllmConfig(ServerKnobs):
    kind: str = "vllm"
    """Name of the engine; the config group sets it."""
    replicas: str = "1"
    """Number of servers, or auto for one per GPU (with tensor-parallel-size=2 in engine.flags, one per two GPUs). Each has
    its own share of the GPUs or CPU cores, and its own prefix cache and KV cache. A number of 2 or more on a CPU needs
    as many cores."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_replicas(self.replicas)

    @property
    def capabilities(self) -> Capabilities:
        own, count = super().capabilities, replica_count(self)
        # Several replicas restart themselves: the supervisor of the run has nothing left to do when all have failed.
        restarts = own.restarts_per_hour if count == 1 else 0
        return dataclasses.replace(own, in_flight=count * own.in_flight, restarts_per_hour=restarts)

    async def start(self, context: EngineContext) -> Engine:
        from synthgen.engines.vllm.server import ThisMachine, VllmEngine

        path = await asyncio.to_thread(bundled.resolve, context.model.name, context.say)
        flags = flags_of(context.model) | lora_flags(context.adapters) | lora_modules(context.adapters)
        cfg, count = with_chosen_backend(self, context), replica_count(self)
        stop_leftovers(context.folder)

        async def one(folder: Path, extra: dict[str, str], number: int = 0, port: int | None = None) -> Engine:
            seed = context.seed + number  # replicas with the same seed could write the same samples
            engine = await VllmEngine.start(
                cfg, path, flags, seed, folder, context.limits, context.say, context.tell, context.model,
                ThisMachine(folder, extra, port), context.shared,
            )  # fmt: skip
            return await warmed(engine, context)

        if count == 1 and context.shared is None:
            return await one(context.folder, {})
        starts = [
            partial(one, replica_folder(context.folder, number), extra, number, free_port() if context.shared else None)
            for number, extra in enumerate(shares(self, count, vllm_build()) if count > 1 else [{}])
        ]
        return await Replicas.started(starts, self.restarts_per_hour, context.tell)


def replica_folder(folder: Path, number: int) -> Path:
    """Return the folder of a replica's output inside the run folder, and make it."""
    path = folder / "replicas" / str(number)
    path.mkdir(parents=True, exist_ok=True)
    return path


def server_flags(cfg: ServerKnobs, build: str, model_flags: Json, limits: LearnedLimits) -> Json:
    """Return the server's flags without dashes and address; `cfg.flags` overrides all but the sizes found to fit."""
    own: Json = {"enable-prompt-tokens-details": True, "disable-uvicorn-access-log": True}
    own["reasoning-parser"] = cfg.reasoning_parser
    return own | engine_flags(cfg, build, model_flags, limits)


def command_line(
    cfg: ServerKnobs, flags: Json, model: str, served_name: str, port: int, host: str = "127.0.0.1"
) -> list[str]:
    """Return the server's command; `flags` cannot override the address and the served name."""
    address = {"model": model, "served-model-name": served_name, "host": host, "port": port}
    return [sys.executable, "-m", SERVERS[cfg.server], *spelled(flags | address)]


def environment(cfg: ServerKnobs, build: str, flags: Json, key: str) -> dict[str, str]:
    """Return the server's environment. It holds the key, because every local user can read a command line."""
    return {**engine_environment(cfg, build, flags), "VLLM_API_KEY": key}
