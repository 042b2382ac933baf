"""Divide the GPUs, or the CPU cores, of this machine among the replicas of a vLLM server."""

import itertools
import math
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

from synthgen.engines.vllm.options import vllm_build
from synthgen.errors import ConfigError

if TYPE_CHECKING:
    from synthgen.engines.vllm.config import ServerKnobs, VllmConfig

VISIBLE = "CUDA_VISIBLE_DEVICES"
BOUND = "VLLM_CPU_OMP_THREADS_BIND"
_PARALLEL = ("tensor-parallel-size", "pipeline-parallel-size", "data-parallel-size")
AUTO = "auto"


def check_replicas(value: str) -> None:
    """Raise ConfigError where `engine.replicas` is neither `auto` nor a number of 1 or more."""
    if value != AUTO and not (value.isdecimal() and int(value) > 0):
        raise ConfigError(f"engine.replicas: must be auto, or a number of 1 or more, got {value}")


def replica_count(cfg: "VllmConfig") -> int:
    """Return the number of servers: with `auto` one for each GPU or group of GPUs, and one for a CPU."""
    if cfg.replicas != AUTO:
        return int(cfg.replicas)
    return max(1, len(_gpus(cfg)) // gpus_per_server(cfg)) if vllm_build() != "cpu" else 1


def gpus_per_server(cfg: "ServerKnobs") -> int:
    """Return the GPUs that one server needs by its flags."""
    flags = {name.lstrip("-").replace("_", "-"): value for name, value in cfg.flags.items()}
    return math.prod(int(flags.get(name) or 1) for name in _PARALLEL)


def shares(cfg: "VllmConfig", count: int, build: str | None) -> list[dict[str, str]]:
    """Return, for each of `count` replicas, the environment variables that bind it to its share of the machine.

    Raise ConfigError where the machine is too small for them.
    """
    if count == 1:
        return [{}]
    if build == "cpu" or (build is None and not _gpus(cfg)):
        return _shares_of_cores(cfg, count)
    found, each = _gpus(cfg), gpus_per_server(cfg)
    if len(found) < count * each:
        if cfg.server != "vllm":
            return [{}] * count
        raise ConfigError(
            f"engine.replicas: {count} replicas of {each} GPU{'s' * (each > 1)} need {count * each} GPUs, and "
            f"{len(found)} can be used here{_by_variable(cfg)}; set engine.replicas=auto, or a smaller number"
        )
    return [{VISIBLE: ",".join(found[place * each : (place + 1) * each])} for place in range(count)]


def _shares_of_cores(cfg: "VllmConfig", count: int) -> list[dict[str, str]]:
    if BOUND in cfg.env or BOUND in cfg.cpu_env:
        raise ConfigError(
            f"engine.env: leave out {BOUND} with several replicas, which divide the cores among themselves"
        )
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < count:
        if cfg.server != "vllm":
            return [{}] * count
        raise ConfigError(
            f"engine.replicas: {count} replicas need {count} CPU cores, and {len(cores)} can be used here; "
            "set a smaller number"
        )
    return [{BOUND: ",".join(map(str, part))} for part in _parts(cores, count)]


def _parts(items: Sequence[int], count: int) -> list[Sequence[int]]:
    """Return `count` consecutive parts whose sizes differ by one at most."""
    ends = [len(items) * place // count for place in range(count + 1)]
    return [items[first:last] for first, last in itertools.pairwise(ends)]


def _gpus(cfg: "VllmConfig") -> list[str]:
    """Return the names of the GPUs that may be used, as the variable lists them."""
    if (listed := cfg.env.get(VISIBLE, os.environ.get(VISIBLE))) is not None:
        return [name.strip() for name in listed.split(",") if name.strip()]
    import torch

    return [str(number) for number in range(torch.cuda.device_count())]


def _by_variable(cfg: "VllmConfig") -> str:
    listed = cfg.env.get(VISIBLE, os.environ.get(VISIBLE))
    return "" if listed is None else f" ({VISIBLE}={listed})"
