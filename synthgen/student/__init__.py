"""The student: fine-tuned on seeds and synthetic rows, scored beside one that had the seeds only.

An encoder for classification, LoRA on an instruct model for every other kind of task. Leaves the
choice of rows, and what the figures are shown in, to the run and the report. torch and
transformers are imported when a student is trained, not before.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

from synthgen.errors import ConfigError, InputError, RunFolderError
from synthgen.records import Json
from synthgen.student.arms import SYNTHETIC, Experiment, Learner, assess, compare
from synthgen.student.binding import binding
from synthgen.student.config import ClassifierConfig, GeneratorConfig, StudentConfig
from synthgen.student.work import Work, finished
from synthgen.task import Task

__all__ = ["ClassifierConfig", "GeneratorConfig", "StudentConfig", "evaluate", "predict", "train"]


def train(
    task: Task,
    cfg: StudentConfig,
    seeds: Sequence[Json],
    synthetic: Sequence[Json],
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
    bound = binding(task, cfg, learner.cfg, {"seeds": seeds, "synthetic rows": synthetic, "eval rows": eval_rows}, seed)
    work = Work(out, cfg.checkpoint_seconds, say)
    with work.kept():
        if not again and (metrics := finished(out, bound, say)):
            work.discard()
            return metrics
        use_all_cores()
        with quiet():
            work.open({**bound, **surroundings()})
            metrics = compare(Experiment(learner, cfg, eval_rows, seed, work, say), seeds, synthetic)
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


def _learner(task: Task, cfg: StudentConfig, say: Callable[[str], None]) -> Learner:
    if cfg.kind == "none":
        raise ConfigError("student.kind: this run has no student (none); set student.kind=auto")
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
