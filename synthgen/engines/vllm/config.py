"""Configure `engine=vllm`: one vLLM server on this machine, or several replicas of it."""

import asyncio
import dataclasses
import sys
from dataclasses import dataclass

from synthgen.engines import bundled
from synthgen.engines.adapters import lora_flags, lora_modules
from synthgen.engines.base import Capabilities, EngineContext, LearnedLimits, check_above_zero, warmed
from synthgen.engines.vllm.options import (
    VllmKnobs,
    default_in_flight,
    engine_environment,
    engine_flags,
    flags_of,
    spelled,
    vllm_version,
    with_chosen_backend,
)
from synthgen.errors import ConfigError
from synthgen.records import Engine, Json

SERVERS = {"vllm": "vllm.entrypoints.openai.api_server", "stand_in": "synthgen.engines.fake.stand_in"}
_NO_PARSER = (
    "engine=vllm needs the name of vLLM's parser for the thinking of this model, or the grammar would begin with the "
    "thinking: set engine.reasoning_parser, for example to qwen3 or deepseek_r1"
)


@dataclass
class VllmConfig(VllmKnobs):
    kind: str = "vllm"
    """Name of the engine; the config group sets it."""
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

    async def start(self, context: EngineContext) -> Engine:
        path = await asyncio.to_thread(bundled.resolve, context.model.name, context.say)
        flags = flags_of(context.model) | lora_flags(context.adapters) | lora_modules(context.adapters)
        engine = await VllmEngine.start(
            with_chosen_backend(self, context), path, flags, context.seed, context.folder, context.limits, context.say,
            context.tell, context.model,
        )  # fmt: skip
        return await warmed(engine, context)


def server_flags(cfg: VllmConfig, build: str, model_flags: Json, limits: LearnedLimits) -> Json:
    """Return the server's flags without dashes and address; `cfg.flags` overrides all but the sizes found to fit."""
    own: Json = {"enable-prompt-tokens-details": True, "disable-uvicorn-access-log": True}
    own["reasoning-parser"] = cfg.reasoning_parser
    return own | engine_flags(cfg, build, model_flags, limits)


def command_line(cfg: VllmConfig, flags: Json, model: str, served_name: str, port: int) -> list[str]:
    """Return the server's command; `flags` cannot override the address and the served name."""
    address = {"model": model, "served-model-name": served_name, "host": "127.0.0.1", "port": port}
    return [sys.executable, "-m", SERVERS[cfg.server], *spelled(flags | address)]


def environment(cfg: VllmConfig, build: str, flags: Json, key: str) -> dict[str, str]:
    """Return the server's environment. It holds the key, because every local user can read a command line."""
    return {**engine_environment(cfg, build, flags), "VLLM_API_KEY": key}
