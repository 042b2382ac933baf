"""Train a LoRA adapter for the judge or the generator from the files that a run's config names, without a run.

This is the work of `synthgen adapt judge|generator`.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

from synthgen.config import Config
from synthgen.errors import ConfigError
from synthgen.generate import examples as generating
from synthgen.generate.strategies.fewshot import FewShot
from synthgen.judge import examples as judging
from synthgen.records import AdapterExample, Json
from synthgen.run.prepare import Prepared, prepare
from synthgen.run.runtime.signals import signals_interrupt
from synthgen.student import adapter
from synthgen.tasks.seeds import stratified_split

ROLES = {"judge": "judge.adapter", "generator": "generate.adapter"}

Parts = tuple[Sequence[AdapterExample], Sequence[AdapterExample]]
"""The training exchanges and the held-out exchanges."""


def adapt(role: str, config: Config, bases: list[Path], say: Callable[[str], None]) -> Json:
    """Train the adapter of `role` and return its metrics, which include its `folder`.

    Raise ConfigError or InputError where the config or the files do not allow a training.
    """
    for key, part in (("judge.adapter", config.judge), ("generate.adapter", config.generate)):
        if part.adapter is not None:
            raise ConfigError(
                f"{key}: a new adapter is trained on the base model, not on another adapter; leave this key out"
            )
    with signals_interrupt():
        prepared = prepare(config, bases)
        if not prepared.seeds:
            raise ConfigError(
                f"task.seeds: an adapter of the {role} is trained on seeds, and task {prepared.task.name} has none; name a "
                "file of samples"
            )
        folder = _new_folder(role, prepared)
        trained, held_out = (_judge if role == "judge" else _generator)(prepared)
        model = config.model
        metrics = adapter.train(
            config.adapt, role, model.name, trained, held_out, folder, config.run.seed, say,
            model.revision, model.trust_remote_code,
        )  # fmt: skip
    return metrics | {"folder": str(folder)}


def summary(role: str, metrics: Json) -> list[str]:
    """Return the closing lines: the figures on held-out conversations, and how to use the adapter."""
    lines = [f"{metrics['conversations']['held_out']} held-out conversations, before and after:"]
    before, after = metrics["before"], metrics["after"]
    if before["loss"] is not None:
        lines.append(f"  loss per answer token {before['loss']:.3f} -> {after['loss']:.3f}")
    if "label_accuracy" in before:
        lines.append(f"  label accuracy {before['label_accuracy']:.3f} -> {after['label_accuracy']:.3f}")
    if "auc" in before:
        lines.append(f"  AUC of the mean grade {_auc(before['auc'])} -> {_auc(after['auc'])}")
    if metrics["left_out"]:
        lines.append(f"{metrics['left_out']} conversations were longer than adapt.max_length and left out")
    if adapter.is_worse(metrics):
        lines.append(
            "warning: a figure is worse with the adapter than without it; compare them before you use the adapter"
        )
    return [*lines, f"to use it: {ROLES[role]}={metrics['folder']}"]


def _auc(found: Json) -> str:
    return f"{found['value']:.3f} ({found['low']:.3f} to {found['high']:.3f})"


def _new_folder(role: str, prepared: Prepared) -> Path:
    folder = (Path(prepared.config.adapt.dir or f"adapters/{prepared.task.name}") / role).absolute()
    if folder.exists():
        raise ConfigError(
            f"adapt.dir: {folder} exists already and is not overwritten, because a run that uses it could not be "
            "resumed; remove it, or set adapt.dir=FOLDER"
        )
    return folder


def _judge(prepared: Prepared) -> Parts:
    """Return the judge's questions about seeds and rated rows."""
    config, task = prepared.config, prepared.task
    if not config.judge.labels(task) and not prepared.rated:
        raise ConfigError(
            "judge.calibration: name rated samples to train the judge on (docs/judging.md has their form): "
            "judge.calibration=FILE"
        )
    found = judging.exchanges(task, config.judge, prepared.prompts, prepared.seeds, prepared.rated, config.run.seed)
    kinds: dict[str, set[str]] = {}
    for one in found:
        kinds.setdefault(one.row, set()).add(one.stratum)
    strata: list[str | None] = ["/".join(sorted(names)) for names in kinds.values()]
    rows = list(kinds)
    _, away = stratified_split(strata, config.adapt.held_out, config.run.seed)
    held = {rows[index] for index in away}
    return [one for one in found if one.row not in held], [one for one in found if one.row in held]


def _generator(prepared: Prepared) -> Parts:
    """Return prompts as a run sends them at its beginning, with seeds as the answers."""
    config, seeds = prepared.config, prepared.seeds
    kept, away = stratified_split([seed.label for seed in seeds], config.adapt.held_out, config.run.seed)
    held = {seeds[index].id for index in away}
    found = generating.exchanges(
        FewShot(config.generate.fewshot, prepared.prompting), [seeds[index] for index in kept], [seeds[index] for index in away], config.adapt.prompts,
        config.generate.items, config.run.seed,
    )  # fmt: skip
    return [one for one in found if one.row not in held], [one for one in found if one.row in held]
