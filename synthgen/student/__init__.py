"""The student: fine-tuned on seeds and synthetic rows, scored beside one that had the seeds only.

An encoder for classification, LoRA on an instruct model for every other kind of task. Leaves the
choice of rows, and what the figures are shown in, to the run and the report. torch and
transformers are imported when a student is trained, not before.
"""

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from synthgen.errors import ConfigError, InputError, RunFolderError
from synthgen.records import Json
from synthgen.student.arms import SYNTHETIC, Experiment, Learner, assess, compare
from synthgen.student.binding import binding
from synthgen.student.checkpoint import Checkpoints
from synthgen.student.config import ClassifierConfig, FrozenConfig, GeneratorConfig, StudentConfig
from synthgen.student.rows import TrainingRow, as_rows
from synthgen.student.work import Work, finished
from synthgen.task import Task

__all__ = [
    "ClassifierConfig",
    "Fitted",
    "FrozenConfig",
    "GeneratorConfig",
    "StudentConfig",
    "TrainingRow",
    "evaluate",
    "fit_classifier",
    "predict",
    "train",
]


def train(
    task: Task,
    cfg: StudentConfig,
    seeds: Sequence[Json | TrainingRow],
    synthetic: Sequence[Json | TrainingRow],
    eval_rows: Sequence[Json],
    out: Path,
    seed: int,
    say: Callable[[str], None],
    again: bool = True,
) -> Json:
    """Trains the student with and without the synthetic rows, scores both, saves the former in `out`.

    `out` is replaced as a whole when all is done: the model (safetensors), its tokenizer and
    metrics.json. Killed at any point before, the next call goes on from the last checkpoint, if it
    is for the same rows, settings and model. A finished student of just these is trained again only
    if `again`. Returns the metrics; see `arms.assess` for their shape. Raises InputError when there
    is no seed to train on, and WriteError when the disk refuses the student.
    """
    from synthgen.student.training import quiet, surroundings, use_all_cores

    if not seeds:
        raise InputError(f"{task.seeds}: the student needs at least one seed to train on")
    learner = _learner(task, cfg, say)
    real, written = as_rows(task, seeds), as_rows(task, synthetic, synthetic=True)
    rows = {"seeds": real, "synthetic rows": written, "eval rows": as_rows(task, eval_rows)}
    bound = binding(task, cfg, learner.cfg, rows, seed)
    work = Work(out, cfg.checkpoint_seconds, say)
    with work.kept():
        if not again and (metrics := finished(out, bound, say)):
            work.discard()
            return metrics
        use_all_cores()
        with quiet():
            work.open({**bound, **surroundings()})
            metrics = compare(Experiment(learner, cfg, eval_rows, seed, work, say), real, written)
        metrics = work.publish({"task": task.name, "model": learner.cfg.model, **metrics, "bound": bound})
    say(metrics["verdict"])
    return metrics


def evaluate(task: Task, cfg: StudentConfig, model_dir: Path, rows: Sequence[Json], seed: int = 0) -> Json:
    """The figures of a saved student on whole samples: {metric, eval_rows, mean, low, high, figures, ...}."""
    from synthgen.student.training import quiet, use_all_cores

    learner = _learner(task, cfg, _silent)
    use_all_cores()
    with quiet():
        scores = [learner.score(_load(learner, model_dir), rows)] if rows else []
    metrics = assess(learner, cfg, rows, {SYNTHETIC: scores}, seed)
    shared = {key: metrics[key] for key in ("metric", "higher_is_better", "eval_rows", "confidence")}
    return {"task": task.name, **shared, **metrics[SYNTHETIC]}


def predict(task: Task, cfg: StudentConfig, model_dir: Path, rows: Sequence[Json]) -> list[Json]:
    """What a saved student answers to rows of input fields, in their order.

    For classification {label field, probability, probabilities}; otherwise the target fields.
    """
    from synthgen.student.training import quiet, use_all_cores

    learner = _learner(task, cfg, _silent)
    use_all_cores()
    with quiet():
        return learner.predict(_load(learner, model_dir), rows)


class Fitted:
    """A student in memory, of a classification task."""

    def __init__(self, task: Task, learner: Learner, student: object) -> None:
        self._task = task
        self._learner = learner
        self._student = student

    def predict(self, rows: Sequence[Json]) -> list[str]:
        """The label of every row of input fields."""
        return [answer[self._task.target[0]] for answer in self.answers(rows)]

    def answers(self, rows: Sequence[Json]) -> list[Json]:
        """As `student.predict`: {label field, probability, probabilities} of every row."""
        from synthgen.student.training import quiet

        with quiet():
            return self._learner.predict(self._student, rows) if rows else []


def fit_classifier(
    task: Task,
    cfg: StudentConfig,
    rows: Sequence[Json | TrainingRow],
    seed: int,
    weights: Sequence[float] | None = None,
) -> Fitted:
    """One student of a classification task, fitted on `rows` alone; nothing is scored, compared or kept on disk.

    `cfg.kind` says which: frozen, or auto for the fine-tuned encoder. `weights`, one a row, multiply those of
    the rows. The same rows, settings and seed give the same student as an arm of `train` with these rows.
    """
    from synthgen.student.training import quiet, use_all_cores

    if task.kind != "classification":
        raise ConfigError(f"task.kind: fit_classifier is for classification, and task {task.name} is {task.kind}")
    found = [row if isinstance(row, TrainingRow) else TrainingRow(row) for row in rows]
    if weights is not None:
        found = [replace(row, weight=row.weight * weight) for row, weight in zip(found, weights, strict=True)]
    learner = _learner(task, cfg, _silent)
    found = as_rows(task, found)
    use_all_cores()
    with tempfile.TemporaryDirectory() as folder, quiet():
        checkpoints = Checkpoints(Path(folder) / "checkpoints", float("inf"), _silent)
        fitted = learner.fit(found, learner.steps(len(found)), seed % 2**32, Path(folder) / "logs", checkpoints)
    return Fitted(task, learner, fitted)


def _learner(task: Task, cfg: StudentConfig, say: Callable[[str], None]) -> Learner:
    if cfg.kind == "none":
        raise ConfigError("student.kind: this run has no student (none); set student.kind=auto")
    if cfg.kind == "frozen":
        if task.kind != "classification":
            raise ConfigError(f"student.kind: frozen is for classification, and task {task.name} is {task.kind}")
        from synthgen.student.frozen import Frozen

        return Frozen(task, cfg.frozen, say)
    if task.kind == "classification":
        from synthgen.student.classifier import Classifier

        return Classifier(task, cfg.classifier, cfg.report_to, say)
    from synthgen.student.generator import Generator

    return Generator(task, cfg.generator, cfg.report_to, say)


def _load(learner: Learner, folder: Path) -> object:
    if not (folder / "config.json").is_file():
        raise RunFolderError(f"{folder}: there is no student here; make one with: synthgen train RUN")
    from safetensors import SafetensorError

    try:
        return learner.load(folder)
    except (OSError, ValueError, SafetensorError) as error:
        raise RunFolderError(
            f"{folder}: the student cannot be loaded ({error}); make it anew with: synthgen train RUN"
        ) from error


def _silent(_: str) -> None:
    pass
