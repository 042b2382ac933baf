"""Define the settings of the workers in a Ray cluster, and check how many workers train a student."""

from dataclasses import dataclass, field

from synthgen.errors import ConfigError

AUTO = "auto"
LAUNCHERS = ("processes", "ray")


@dataclass
class WorkerRayConfig:
    address: str | None = None
    """Address of the cluster's head, such as 10.0.0.1:6379; auto for the cluster of this machine; null to start a cluster on
    this machine, which ends with the training."""
    cpus: float = 1.0
    """CPUs that Ray reserves for a worker; a worker computes with as many threads."""
    gpus: float | None = None
    """GPUs that Ray reserves for a worker; null for 1 where the cluster has GPUs, and else for none."""
    resources: dict[str, float] = field(default_factory=dict)
    """Custom resources that a worker's machine must have, for example {spot: 1}."""

    def __post_init__(self) -> None:
        for name in ("cpus", "gpus"):
            if (value := getattr(self, name)) is not None and value < 0:
                raise ConfigError(f"student.ray.{name}: must be 0 or more, got {value}")


def check_count(value: str) -> None:
    """Raise ConfigError where `student.workers` is neither `auto` nor a number of 1 or more."""
    if value != AUTO and not (value.isdecimal() and int(value) > 0):
        raise ConfigError(f"student.workers: must be auto, or a number of 1 or more, got {value}")


def check_divides(value: str, batch: int, key: str) -> None:
    """Raise ConfigError where a number of workers cannot share a batch evenly. `key` names the batch size."""
    if value != AUTO and batch % int(value):
        fits = max(count for count in range(1, int(value)) if batch % count == 0)
        raise ConfigError(
            f"student.workers: {value} workers cannot share the {batch} rows of {key}={batch} evenly, and other batches "
            f"would be another training; set student.workers={fits}, or a batch size that {value} divides"
        )


def count_of(value: str, batch: int, gpus: int) -> int:
    """Return the number of workers: for `auto` as many as there are GPUs and as share a batch evenly; 1 without GPUs."""
    if value != AUTO:
        return int(value)
    return max(count for count in range(1, max(gpus, 1) + 1) if batch % count == 0)
