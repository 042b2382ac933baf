"""Configure `engine=ray`: vLLM servers that Ray places on the machines of a cluster."""

import asyncio
import dataclasses
from dataclasses import dataclass, field

from synthgen.engines.adapters import lora_flags, lora_modules
from synthgen.engines.base import Capabilities, EngineContext, warmed
from synthgen.engines.vllm.config import ServerKnobs
from synthgen.engines.vllm.options import flags_of, with_chosen_backend
from synthgen.engines.vllm.replicas import Replicas
from synthgen.errors import ConfigError
from synthgen.records import Engine


@dataclass
class RayKnobs:
    """Hold a run's requirements on a Ray cluster."""

    address: str | None = None
    """Address of the cluster's head, such as 10.0.0.1:6379; auto for the cluster of this machine; null to start a cluster on
    this machine, which ends with the run."""
    min: int = 1
    """Replicas that must be up before the run begins."""
    max: int = 1
    """Most replicas. Those beyond `min` join the run when the cluster has room for them, for example when its autoscaler has
    added a machine."""
    cpus: float = 1.0
    """CPUs that Ray reserves for a replica."""
    gpus: float | None = None
    """GPUs that Ray reserves for a replica; null for tensor-parallel-size times pipeline-parallel-size of engine.flags, and for
    none if engine.server is stand_in or the CPU build of vLLM is installed."""
    memory_gigabytes: float | None = None
    """Memory that Ray reserves for a replica; null for none."""
    resources: dict[str, float] = field(default_factory=dict)
    """Custom resources that a replica's machine must have, for example {spot: 1}."""
    patience: float = 600.0
    """Seconds to wait while no replica is up. After that the run ends with exit code 4."""

    def __post_init__(self) -> None:
        if self.min < 1:
            raise ConfigError(f"engine.ray.min: must be 1 or more, got {self.min}")
        if self.max < self.min:
            raise ConfigError(f"engine.ray.max: must be at least engine.ray.min ({self.min}), got {self.max}")
        for name in ("cpus", "gpus", "memory_gigabytes"):
            if (value := getattr(self, name)) is not None and value < 0:
                raise ConfigError(f"engine.ray.{name}: must be 0 or more, got {value}")
        if self.patience <= 0:
            raise ConfigError(f"engine.ray.patience: must be above 0 seconds, got {self.patience}")


@dataclass
class RayConfig(ServerKnobs):
    kind: str = "ray"
    """Name of the engine; the config group sets it."""
    ray: RayKnobs = field(default_factory=RayKnobs)
    """The cluster, and what a replica needs of it."""

    @property
    def capabilities(self) -> Capabilities:
        own = super().capabilities
        # The replicas restart themselves: the supervisor of the run has nothing left to do when all have failed.
        return dataclasses.replace(own, in_flight=self.ray.max * own.in_flight, restarts_per_hour=0)

    async def start(self, context: EngineContext) -> Engine:
        from synthgen.cluster.hosting import RayHost
        from synthgen.cluster.keeper import Keeper
        from synthgen.engines.vllm.server import VllmEngine

        cfg = with_chosen_backend(self, context)
        flags = flags_of(context.model) | lora_flags(context.adapters) | lora_modules(context.adapters)
        keeper = await Keeper.start(self, context.folder, context.say)
        replicas = Replicas(context.tell, self.ray.patience, keeper.aclose, self.kind)
        keeper.on_lost(replicas.end)

        async def one(number: int) -> Engine:
            engine = await VllmEngine.start(
                cfg, context.model.name, flags, context.seed + number, context.folder, context.limits, context.say,
                context.tell, context.model, RayHost(keeper, f"replica {number}"), context.shared,
            )  # fmt: skip
            return await warmed(engine, context)

        for number in range(self.ray.max):
            start = lambda number=number: one(number)  # noqa: E731
            replicas.add(f"replica {number}", start, self.restarts_per_hour).begin()
        try:
            await replicas.ready(self.ray.min, context.say)
        except BaseException:
            await asyncio.shield(replicas.aclose())
            raise
        return replicas
