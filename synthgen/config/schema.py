"""Define the Hydra schema: one dataclass for each config group. Each group's dataclass stands next to the class that uses it."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, fields, is_dataclass
from functools import cache
from typing import Any, get_origin, get_type_hints

from hydra.core.config_store import ConfigStore

from synthgen.diversity.embedder import DiversityConfig
from synthgen.diversity.rounds import SLOTS
from synthgen.engines.base import ModelConfig
from synthgen.engines.kinds import ENGINES
from synthgen.errors import ConfigError
from synthgen.filters.rules import FiltersConfig
from synthgen.generate.kinds import GenerateConfig
from synthgen.generate.part import WHOLE, ShardPart
from synthgen.generate.pool import PoolConfig
from synthgen.judge.judge import JudgeConfig
from synthgen.labels.config import LabelsConfig
from synthgen.run.budget import BudgetConfig
from synthgen.run.metrics import MetricsConfig
from synthgen.selection.config import SelectConfig
from synthgen.student import StudentConfig
from synthgen.student.config import TRACKERS, AdaptConfig
from synthgen.tasks.task import TaskConfig


@dataclass
class RunConfig:
    name: str = ""
    """Name of the run. The default is the experiment's name, or else the task and a time stamp; -2, -3, ... is appended
    when another run of the same second has that name."""
    dir: str = ""
    """The run folder."""
    seed: int = 0
    """Seed of every random choice that synthgen makes."""
    prepare: str | None = None
    """Steps that clean seeds, texts and passages before the run: the name of a shipped file of `synthgen prepare`
    (default), or a YAML file; null for none. The seeds file may then hold the same row twice."""
    validation_share: float = 0.1
    """Share of the accepted samples that is written to validation.jsonl."""
    round_slots: int = SLOTS
    """Number of slots (planned requests) in a round. Reports and alarms show figures over time as one value per
    round."""
    exchange: int | None = 256
    """With `shards`: the slots of a shard after which it takes over the samples that the other shards have accepted, for its
    duplicate checks and its prompts; null for never. docs/cluster.md explains it."""
    shard: str = ""
    """The part of the seeds, texts, passages, attributes and random choices that this run uses, such as 2/4; empty for all of
    it. `shards` sets it for its shards. Set it to run parts by hand: --multirun run.shard=1/2,2/2."""

    def __post_init__(self) -> None:
        if not 0 <= self.validation_share < 1:
            raise ConfigError(f"run.validation_share: must be from 0 to below 1, got {self.validation_share}")
        if self.round_slots < 1:
            raise ConfigError(f"run.round_slots: must be 1 or more, got {self.round_slots}")
        if self.exchange is not None and self.exchange < 1:
            raise ConfigError(f"run.exchange: must be 1 or more slots, or null, got {self.exchange}")
        if self.shard:
            ShardPart.read(self.shard)

    @property
    def part(self) -> ShardPart:
        """Return the part of the material that this run uses."""
        return ShardPart.read(self.shard) if self.shard else WHOLE

    @property
    def own_seed(self) -> int:
        """Return the seed of this run's random choices, which differs between the parts of a run."""
        return self.part.seed(self.seed)


@dataclass
class TrackingConfig:
    report_to: str = "auto"
    """Select the tracker for the student's training curves: tensorboard (inside the student's folder), wandb, mlflow or none.
    auto means tensorboard if it is installed, else none."""

    def __post_init__(self) -> None:
        if self.report_to not in TRACKERS:
            raise ConfigError(f"tracking.report_to: '{self.report_to}' is not one of {', '.join(TRACKERS)}")


@dataclass
class Config:
    """Hold the config of a whole run. `engine` is an instance of the dataclass that ENGINES has for its `kind`."""

    task: TaskConfig
    engine: Any
    run: RunConfig = field(default_factory=RunConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    generate: GenerateConfig = field(default_factory=GenerateConfig)
    filters: FiltersConfig = field(default_factory=FiltersConfig)
    diversity: DiversityConfig = field(default_factory=DiversityConfig)
    judge: JudgeConfig = field(default_factory=JudgeConfig)
    labels: LabelsConfig = field(default_factory=LabelsConfig)
    pool: PoolConfig = field(default_factory=PoolConfig)
    budget: BudgetConfig = field(default_factory=BudgetConfig)
    select: SelectConfig = field(default_factory=SelectConfig)
    student: StudentConfig = field(default_factory=StudentConfig)
    adapt: AdaptConfig = field(default_factory=AdaptConfig)
    tracking: TrackingConfig = field(default_factory=TrackingConfig)
    metrics: MetricsConfig = field(default_factory=MetricsConfig)
    shards: int = 1
    """Number of loops that share the work, each in a process of its own. One Python process decides about a thousand
    candidates a second at most."""

    def __post_init__(self) -> None:
        if self.shards < 1:
            raise ConfigError(f"shards: must be 1 or more, got {self.shards}")
        if self.shards > 1 and self.run.shard:
            raise ConfigError("run.shard: a part of a run has no shards of its own; leave out run.shard or shards")


@cache
def register() -> None:
    """Register the schema with Hydra, once in a process. Call this before Hydra composes a config."""
    store = ConfigStore.instance()
    store.store(name="schema", node=Config)
    for kind, schema in ENGINES.items():
        store.store(group="schema/engine", name=kind, node=schema)


def groups() -> list[str]:
    return [entry.name for entry in fields(Config) if entry.type is not int]


def known_keys() -> set[str]:
    """Return every dotted key of the config, including the keys of all engines."""
    return set(_keys(Config)) | {f"engine.{name}" for kind in ENGINES.values() for name in _keys(kind)}


def engines_with(key: str) -> list[str]:
    """Return the engines that have this dotted key, which starts with `engine.`."""
    return [name for name, kind in ENGINES.items() if key.removeprefix("engine.") in _keys(kind)]


def _keys(schema: type[Any], prefix: str = "") -> Iterator[str]:
    hints = get_type_hints(schema)
    for entry in fields(schema):
        kind = hints[entry.name]
        yield prefix + entry.name
        if is_dataclass(kind) and isinstance(kind, type):
            yield from _keys(kind, f"{prefix}{entry.name}.")


_OVERRIDE = re.compile(r"(?P<key>[\w.-]+)=")


def with_new_entries(overrides: Iterable[str]) -> list[str]:
    """Return the overrides for Hydra, with ++ in front of those of mappings, such as engine.headers.X-Title=demo.

    Without it, Hydra refuses entries that the mapping does not have yet.
    """
    mappings = {*_mappings(Config), *(f"engine.{name}" for kind in ENGINES.values() for name in _mappings(kind))}

    def is_entry(key: str) -> bool:
        parts = key.split(".")
        return any(".".join(parts[:length]) in mappings for length in range(1, len(parts) + 1))

    return [f"++{word}" if (match := _OVERRIDE.match(word)) and is_entry(match["key"]) else word for word in overrides]


def _mappings(schema: type[Any], prefix: str = "") -> Iterator[str]:
    """Yield the dotted keys whose value is a mapping with free names."""
    hints = get_type_hints(schema)
    for entry in fields(schema):
        kind = hints[entry.name]
        if get_origin(kind) is dict:
            yield prefix + entry.name
        elif is_dataclass(kind) and isinstance(kind, type):
            yield from _mappings(kind, f"{prefix}{entry.name}.")
