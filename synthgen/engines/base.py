"""Define the interface between the engines and the rest of the program.

To add an engine, write its config dataclass after `EngineConfig` and name it in `synthgen.engines.kinds`. Code outside
`synthgen.engines` reads `capabilities` and never tests for an engine's type.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from synthgen.engines.adapters import Adapter
from synthgen.engines.prices import PricesConfig
from synthgen.errors import ConfigError
from synthgen.records import Engine, Grammar, Json

_USUAL_SEQS = 256  # vLLM's own max-num-seqs on most GPUs

THINKING = ("on", "off", "auto")
_YAML_SWITCHES = {"True": "on", "False": "off"}  # YAML reads the words on and off without quotes as these

Tell = Callable[[str, str], None]
"""Receives an event: its kind, and a message."""


@dataclass(frozen=True)
class Capabilities:
    """Declare the capabilities of a configured engine."""

    in_flight: int
    """Most generation requests in flight."""
    loads_model: bool = False
    """True if the engine loads `model.name`. Adapters must then fit that model, and its tokenizer compiles the
    grammars."""
    loads_adapters: bool = True
    """True if the engine loads LoRA adapters from folders; otherwise its endpoints must know them by name."""
    bars_words: bool = True
    """True if the engine never writes the words in `Sampling.bad_words`."""
    grammar_backend: str | None = None
    """Structured-output backend of vLLM; None if Outlines or an endpoint applies the grammars."""
    restarts_per_hour: int = 0
    """Most restarts of a dead engine per hour."""
    answers_late: bool = False
    """True if answers take up to hours and outlive this process. A run that stops does not wait for them, and is not
    idle while it waits."""
    rounds: int | None = None
    """Parts into which the expected slots of a run are divided, at most one of which is planned ahead; None for the
    planner's own number."""
    models: Mapping[str, float] = field(default_factory=dict)
    """Share of the groups that each model of a mix should write, by its name; empty for an engine with one model."""
    prices: Mapping[str, PricesConfig] = field(default_factory=dict)
    """Known prices by the name of the model; the empty name stands for requests that name no model."""
    budget_usd: float | None = None
    """US dollars at which the run ends; None for no limit."""
    no_thinking: str = ""
    """The reason why the model cannot think before it answers (model.thinking=on); empty if it can."""
    leaves_cores: bool = False
    """True if the engine computes nothing on the processors of this machine."""
    continues: bool = False
    """True if the engine takes `Request.continues`, or finds out at its start."""


@dataclass
class ModelConfig:
    name: str = "bundled:smollm2-135m-instruct"
    """The model that generates and judges: a bundled model, a local folder, or a model hub id."""
    revision: str | None = None
    """Commit or tag on the model hub; null for the newest."""
    dtype: str = "auto"
    """Number type of the weights, in vLLM's notation."""
    max_len: int | None = None
    """Context length in tokens, prompt and answer together; null for the model's own."""
    trust_remote_code: bool = False
    """Run code that comes with the model. Leave it off unless you have read that code."""
    thinking: str = "auto"
    """Thinking of a reasoning model before it writes a sample: on, off, or auto to send no switch, so that the model's own
    default applies. The judge is asked without thinking where the model can be told so. Thinking is never read as an
    answer. With engine=vllm and no engine.reasoning_parser, auto means that the grammar applies from the first token,
    so that the model cannot think; engine=vllm_inprocess and engine=transformers always work like this."""
    thinking_tokens: int = 1024
    """Most tokens of thinking per answer. Wherever the model may think, this many are added to the token limit of the
    answer and left free in the window. Raise it if samples are rejected as thinking_only."""
    keep_thinking: bool = False
    """Keep the thinking in the ledger (column `thinking` of the table `requests`). It is kept in any case where it becomes a
    field of the samples: with thinking=on, a text field of the task named `thinking`."""

    def __post_init__(self) -> None:
        self.thinking = _YAML_SWITCHES.get(self.thinking, self.thinking)
        if self.thinking not in THINKING:
            raise ConfigError(f"model.thinking: '{self.thinking}' is not one of {', '.join(THINKING)}")
        if self.thinking_tokens < 1:
            raise ConfigError(f"model.thinking_tokens: must be 1 or more, got {self.thinking_tokens}")
        if not self.name:
            raise ConfigError("model.name: name a model")
        if self.max_len is not None and self.max_len < 64:
            raise ConfigError(f"model.max_len: must be 64 or more, got {self.max_len}")

    @property
    def asked_to_think(self) -> bool | None:
        """Return `Request.thinking` of the requests that write samples."""
        return {"on": True, "off": False}.get(self.thinking)


@dataclass
class LearnedLimits:
    """Remember, for later starts of a session, which settings fit this machine's memory."""

    max_num_seqs: int | None = None
    """Set after a start ran out of memory; overrides the flag."""

    def halve(self, flags: Json, in_flight: int, tell: Callable[[str, str], None]) -> None:
        """Halve the batch size of the next start, given the `flags` of the last one."""
        before = int(flags.get("max-num-seqs") or min(in_flight, _USUAL_SEQS))
        self.max_num_seqs = max(1, before // 2)
        tell(
            "engine_memory",
            f"vLLM ran out of memory at its start; starting again with max-num-seqs {self.max_num_seqs} instead of {before}",
        )


@dataclass(frozen=True)
class Shared:
    """Hold the name and the key under which other processes reach the servers of an engine, also after a restart."""

    served_name: str
    key: str


@dataclass(frozen=True)
class EngineContext:
    """Hold the arguments of an engine's start, besides its own config."""

    model: ModelConfig
    seed: int
    grammars: Sequence[Grammar]
    """Every grammar that requests will use."""
    adapters: Sequence[Adapter]
    """Every adapter that requests will name."""
    folder: Path
    """The run folder, where the engine writes its log."""
    limits: LearnedLimits
    say: Callable[[str], None]
    """Receives progress messages of the start."""
    tell: Tell
    """Receives events, also after the start."""
    shared: Shared | None = None
    """Set where other processes use the servers too. Engines that start servers then return `Replicas`."""


class EngineConfig(Protocol):
    """Configure an engine. Its other fields are the engine's own keys under `engine.`."""

    kind: str
    """Name of the engine: the option of `engine=` and the key in `synthgen.engines.kinds.ENGINES`."""
    attempts: int
    """Failed attempts after which a request's slot is given up."""
    grammar_seconds: float
    """CPU time limit for compiling the task's grammar before the run, in seconds."""
    grammar_gigabytes: float
    """Memory limit for compiling the task's grammar before the run, in gigabytes."""

    @property
    def capabilities(self) -> Capabilities: ...

    def info(self, model: str) -> Json:
        """Return name, version and model for summary.json; `model` is `model.name`."""
        ...

    async def start(self, context: EngineContext) -> Engine:
        """Return the engine, ready for requests.

        Raise ConfigError if it cannot be used as configured, EngineDeadError if it does not start.
        """
        ...


@runtime_checkable
class Deferred(Protocol):
    """Mark the config of an engine that answers late, and that can be replaced where answers are needed at once."""

    def at_once(self) -> EngineConfig: ...


def at_once(cfg: EngineConfig) -> EngineConfig:
    """Return the config of an engine that answers within seconds: `cfg` itself, unless its engine answers late."""
    return cfg.at_once() if isinstance(cfg, Deferred) else cfg


@runtime_checkable
class Described(Protocol):
    """Mark an engine that can describe the servers that it found."""

    def about(self) -> Json:
        """Return the facts that the ledger stores in addition to `EngineConfig.info`."""
        ...


def description(engine: Engine) -> Json:
    """Return the facts that the ledger stores about the servers of an engine; empty for most engines."""
    return engine.about() if isinstance(engine, Described) else {}


@runtime_checkable
class Watched(Protocol):
    """Mark an engine that can report on its servers."""

    def states(self) -> dict[str, Json]:
        """Return, by the name of each server, its `state` (up, starting or lost), the requests `in_flight` at it, the
        `limit` on them, and the `tokens` that it has answered so far, as prompt, cached and completion.
        """
        ...


class WarmEngine(Engine, Protocol):
    """Mark an engine that can answer a first request for each grammar and adapter before other traffic."""

    async def warm_up(
        self, grammars: Sequence[Grammar], say: Callable[[str], None], adapters: Sequence[str] = ()
    ) -> None: ...


async def warmed(engine: WarmEngine, context: EngineContext) -> Engine:
    """Return `engine` after it has answered for every grammar and adapter; close it if it cannot."""
    try:
        await engine.warm_up(context.grammars, context.say, [adapter.name for adapter in context.adapters])
    except BaseException:
        await engine.aclose()
        raise
    return engine


def check_common(cfg: Any) -> None:
    """Check the ranges of the settings that every engine has."""
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
