"""Divide a run's config among its shards: target, labels, budgets and requests in flight. The shares add up exactly."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from synthgen.config import Config
from synthgen.engines.base import EngineConfig
from synthgen.engines.http.shares import divided, engine_share, servers_share, share
from synthgen.errors import ConfigError
from synthgen.run.metrics import MetricsConfig

FOLDER = "shards"
STATE = "shards"
"""Ledger key of where a run with shards stands."""
_ALONE = {
    "transformers": "it would load the model once for each shard; serve the model, and use engine=openai",
    "vllm_inprocess": "it would load the model once for each shard; use engine=vllm",
    "openai_batch": "each shard would wait for batches of its own; use one shard",
}


@dataclass(frozen=True)
class ShardGoal:
    """Hold the numbers of samples that a shard should accept."""

    target: int
    quotas: Mapping[str, int]
    """Samples of each label; empty for a task without labels."""

    def with_lost(self, lost: Mapping[str, int]) -> "ShardGoal":
        """Return the goal with the samples that a merge dropped, which the shard makes again.

        `lost` counts them by label; the key of a sample without a label is an empty text.
        """
        if not self.quotas:
            return ShardGoal(self.target + sum(lost.values()), {})
        quotas = {label: count + lost.get(label, 0) for label, count in self.quotas.items()}
        return ShardGoal(sum(quotas.values()), quotas)

    def lacks(self, accepted: Mapping[str, int]) -> int:
        """Return how many samples are missing, given those accepted by label."""
        if not self.quotas:
            return max(0, self.target - sum(accepted.values()))
        return sum(max(0, count - accepted.get(label, 0)) for label, count in self.quotas.items())


def shard_folder(folder: Path, number: int) -> Path:
    """Return the folder of a shard, counted from 0, of the run in `folder`."""
    return folder / FOLDER / str(number + 1)


def shard_folders(folder: Path) -> list[Path]:
    """Return the folders of the shards that a run has, in order; empty for a run without shards."""
    found = [path.parent for path in (folder / FOLDER).glob("*/ledger.sqlite") if path.parent.name.isdecimal()]
    return sorted(found, key=lambda path: int(path.name))


def is_shard(folder: Path) -> bool:
    """Return True for the folder of a shard of another run."""
    return folder.parent.name == FOLDER and (folder.parents[1] / "ledger.sqlite").is_file()


def ledgers(folder: Path, count: int) -> list[Path]:
    """Return the ledgers of a run's shards in order."""
    return [shard_folder(folder, number) / "ledger.sqlite" for number in range(count)]


def check(config: Config, labels: Sequence[str], target: int) -> None:
    """Raise ConfigError where a run with these labels and this target cannot be divided among its shards."""
    if config.shards == 1:
        return
    kind = config.engine.kind
    if kind in _ALONE:
        raise ConfigError(f"shards: engine={kind} cannot be shared: {_ALONE[kind]}")
    if config.generate.adapter is not None or config.judge.adapter is not None:
        raise ConfigError(
            "shards: LoRA adapters cannot be shared among shards; leave out generate.adapter and judge.adapter"
        )
    if config.budget.ask_after is not None:
        raise ConfigError(
            "budget.ask_after: people label the merged samples, so it does not go with shards; leave it out"
        )
    goals(config, labels, target)
    for number in range(config.shards):
        shard_config(config, Path(), number, ShardGoal(1, {}), None if kind in ("vllm", "ray") else config.engine)


def goals(config: Config, labels: Sequence[str], target: int) -> list[ShardGoal]:
    """Return the goal of each shard. Their targets, and their numbers of each label, add up to those of the run."""
    budget, count = config.budget, config.shards
    if target < count:
        raise ConfigError(f"shards: {count} shards cannot share a target of {target} samples; ask for fewer shards")
    if budget.quotas:
        whole = {label: budget.quotas.get(label, 0) for label in labels}
        if sum(whole.values()) != target:
            raise ConfigError(
                f"budget.target: is {target}, but budget.quotas add up to {sum(whole.values())}; with shards the two must "
                "be equal"
            )
    else:
        level, extra = divmod(target, max(1, len(labels)))
        whole = {label: level + (place < extra) for place, label in enumerate(labels)}
    if not labels:
        return [ShardGoal(share, {}) for share in divided(target, count)]
    quotas: list[dict[str, int]] = [{} for _ in range(count)]
    turn = 0  # the shard whose turn it is to get one sample more
    for label, wanted in whole.items():
        for number, part in enumerate(divided(wanted, count, turn)):
            quotas[number][label] = part
        turn = (turn + wanted) % count
    return [ShardGoal(sum(own.values()), own) for own in quotas]


def shard_config(config: Config, folder: Path, number: int, goal: ShardGoal, engine: EngineConfig | None) -> Config:
    """Return the config of one shard, counted from 0. `engine` is the config of the engine that all shards share.

    None stands for servers that are not started yet. Raise ConfigError where a limit is too small to be shared.
    """
    count, name = config.shards, f"{config.run.name}-{number + 1}"
    budget, shared = config.budget, config.engine if engine is None else engine
    shares: dict[str, Any] = {
        key: share(f"budget.{key}", getattr(budget, key), count, number) for key in ("candidates", "output_tokens")
    }
    run = replace(config.run, name=name, dir=str(shard_folder(folder, number)), shard=f"{number + 1}/{count}")
    return replace(
        config,
        shards=1,
        run=run,
        budget=replace(budget, target=goal.target, quotas=dict(goal.quotas), per_label=None, ask_after=None, **shares),
        engine=engine_share(shared, count, number),
        judge=replace(config.judge, engine=servers_share(config.judge.engine, "judge.engine", count, number)),
        student=replace(config.student, kind="none"),
        metrics=MetricsConfig(),
    )
