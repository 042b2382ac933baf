"""The seam between the engines and the rest of the program: what an engine's config declares, and what it is started with.

Whoever adds an engine writes its config dataclass after `EngineConfig` and names it in `synthgen.engines.kinds`.
Everything outside `synthgen.engines` reads `capabilities` and never asks for an engine's type.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from synthgen.engines.adapters import Adapter
from synthgen.errors import ConfigError
from synthgen.records import Engine, Grammar, Json

_USUAL_SEQS = 256  # vLLM's own max-num-seqs on most GPUs

Tell = Callable[[str, str], None]
"""Hears of an event: its kind, and what happened in words."""


@dataclass(frozen=True)
class Capabilities:
    """Declare what an engine can do as it is configured."""

    in_flight: int
    """The most generation requests under way at once."""
    loads_model: bool = False
    """Loads `model.name`: adapters must fit that model, and its tokenizer is there to compile grammars with."""
    loads_adapters: bool = True
    """Loads LoRA adapters from folders; an engine that does not serves those that its endpoints know by name."""
    bars_words: bool = True
    """Never writes the words that a request bars (`Sampling.bad_words`)."""
    grammar_backend: str | None = None
    """The structured-output backend of vLLM that is asked for; None where Outlines or an endpoint applies grammars."""
    restarts_per_hour: int = 0
    """How often the engine is started again when it has died."""


@dataclass
class ModelConfig:
    name: str = "bundled:smollm2-135m-instruct"
    """The generator and judge: a bundled model, a local folder, or a model hub id."""
    revision: str | None = None
    """Commit or tag on the hub; null for the newest."""
    dtype: str = "auto"
    """Number type of the weights, as vLLM names it."""
    max_len: int | None = None
    """Longest prompt and reply together, in tokens; null for the model's own."""
    trust_remote_code: bool = False
    """Run code that comes with the model. Leave it off unless you have read that code."""

    def __post_init__(self) -> None:
        if not self.name:
            raise ConfigError("model.name: name a model")
        if self.max_len is not None and self.max_len < 64:
            raise ConfigError(f"model.max_len: must be 64 or more, got {self.max_len}")


@dataclass
class LearnedLimits:
    """Remember, for later starts of a session, which settings fit this machine's memory."""

    max_num_seqs: int | None = None
    """Set when a start ran out of memory; goes over the flag."""

    def halve(self, flags: Json, in_flight: int, tell: Callable[[str, str], None]) -> None:
        """Halve, for the next start, the memory that the start with `flags` had."""
        before = int(flags.get("max-num-seqs") or min(in_flight, _USUAL_SEQS))
        self.max_num_seqs = max(1, before // 2)
        tell(
            "engine_memory",
            f"vLLM ran out of memory at its start; starting with max-num-seqs {self.max_num_seqs} instead of {before}",
        )


@dataclass(frozen=True)
class EngineContext:
    """Hold what an engine is started with, besides its own config."""

    model: ModelConfig
    seed: int
    grammars: Sequence[Grammar]
    """Every grammar that will be asked for."""
    adapters: Sequence[Adapter]
    """Those that requests will ask for by name."""
    folder: Path
    """The run folder, for the engine's log."""
    limits: LearnedLimits
    say: Callable[[str], None]
    """Hears how the start is getting on."""
    tell: Tell
    """Hears of events, also after the start."""


class EngineConfig(Protocol):
    """The config dataclass of an engine; its other fields are the engine's own keys under `engine.`."""

    kind: str
    """Name of the engine: the option of `engine=` and the key in `synthgen.engines.kinds.ENGINES`."""
    attempts: int
    """How often a request may fail until its slot is given up."""
    grammar_seconds: float
    """Cap on the processor seconds of compiling the task's grammar beforehand."""
    grammar_gigabytes: float
    """Memory cap on compiling the task's grammar beforehand."""

    @property
    def capabilities(self) -> Capabilities: ...

    def info(self, model: str) -> Json:
        """Return name, version and model for summary.json; `model` is `model.name`."""
        ...

    async def start(self, context: EngineContext) -> Engine:
        """Return the engine, ready for requests.

        Raises ConfigError where it cannot be used as configured, EngineDeadError where it does not come up.
        """
        ...


@runtime_checkable
class Described(Protocol):
    """An engine that can say what it found out about the servers that it asks."""

    def about(self) -> Json:
        """Return what goes beside `EngineConfig.info` into the ledger."""
        ...


class WarmEngine(Engine, Protocol):
    """An engine that can answer a first request for each grammar and adapter before traffic comes."""

    async def warm_up(
        self, grammars: Sequence[Grammar], say: Callable[[str], None], adapters: Sequence[str] = ()
    ) -> None: ...


async def warmed(engine: WarmEngine, context: EngineContext) -> Engine:
    """Return `engine` once it has answered for every grammar and adapter; close it where it cannot."""
    try:
        await engine.warm_up(context.grammars, context.say, [adapter.name for adapter in context.adapters])
    except BaseException:
        await engine.aclose()
        raise
    return engine


def check_common(cfg: Any) -> None:
    """Range checks of the knobs that every engine has."""
    if cfg.in_flight is not None and cfg.in_flight < 1:
        raise ConfigError(f"engine.in_flight: must be 1 or more, got {cfg.in_flight}")
    check_above_zero(cfg, "timeout")
    if cfg.attempts < 1:
        raise ConfigError(f"engine.attempts: must be 1 or more, got {cfg.attempts}")
    if cfg.grammar_seconds <= 0 or cfg.grammar_gigabytes <= 0:
        raise ConfigError("engine.grammar_seconds and engine.grammar_gigabytes: must be above 0")


def check_above_zero(cfg: Any, *keys: str) -> None:
    for key in keys:
        if getattr(cfg, key) <= 0:
            raise ConfigError(f"engine.{key}: must be above 0 seconds, got {getattr(cfg, key)}")
