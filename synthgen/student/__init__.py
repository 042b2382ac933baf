"""Train a student on seeds and synthetic rows, and compare it with students trained without the synthetic rows.

The student is an encoder for classification, span extraction and retrieval, and an instruct model with LoRA for other tasks. The
run chooses the rows, and the report shows the figures. torch and transformers are imported only when a student is
trained.
"""

import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np

from synthgen.errors import ConfigError, InputError, RunFolderError
from synthgen.records import Json
from synthgen.selection import left_out
from synthgen.student import kinds
from synthgen.student.arms import assess, compare, fit_alone
from synthgen.student.bias import swap_figures
from synthgen.student.binding import binding
from synthgen.student.clock import Clock, TrainingProgress, lines
from synthgen.student.config import (
    ClassifierConfig,
    FrozenConfig,
    GeneratorConfig,
    StudentConfig,
    TaggerConfig,
    TrainingConfig,
)
from synthgen.student.learner import Experiment, Learner
from synthgen.student.limit import has_time_now, seconds
from synthgen.student.named import PreferenceConfig, RetrieverConfig
from synthgen.student.rows import TrainingRow, as_rows, label_rows
from synthgen.student.scores import SYNTHETIC, intervals
from synthgen.student.tracking import tracker, where
from synthgen.student.turns import complete, dialogue_field
from synthgen.student.work import LOGS_FOLDER, Work, finished
from synthgen.student.workers.together import WORKERS_LOG, workers_for
from synthgen.student.worst import worst_rows
from synthgen.tasks.task import Task

__all__ = [
    "ClassifierConfig",
    "FittedStudent",
    "FrozenConfig",
    "GeneratorConfig",
    "PreferenceConfig",
    "RetrieverConfig",
    "StudentConfig",
    "TaggerConfig",
    "TrainingConfig",
    "TrainingProgress",
    "TrainingRow",
    "answers_to",
    "bias",
    "evaluate",
    "fit_classifier",
    "predict",
    "rivals",
    "train",
    "win_rate",
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
    set_aside: Mapping[str, int] | None = None,
    watch: Callable[[TrainingProgress], None] | None = None,
) -> Json:
    """Train and score three arms: seeds; seeds and label rows; seeds, label rows and synthetic rows.

    Return the metrics. Without seeds there is no arm of seeds: the metrics' `seeds_only` is None, and the second arm
    has label rows alone.

    The student of the last arm is saved in `out`. Label rows are the labels' names and meanings, if `cfg.label_rows`
    gives them weight. `arms.assess` describes the metrics.

    `out` is replaced as a whole at the end: the model (safetensors), its tokenizer, metrics.json and a model card. If
    the training is killed before, the next call with the same rows, settings and model continues from the last
    checkpoint. A finished student of the same rows, settings and model is trained again only if `again` is true.

    `set_aside` counts accepted samples that are not in `synthetic`, by reason (`selection.left_out`). They are counted
    in the metrics' `left_out`, together with the rows that are left out here. `watch` is called with the progress at
    most once a second; without it, a line is said every half minute. If `cfg.max_minutes` ended the training,
    `cut_short` in the metrics describes the missing parts.

    Raise InputError when there is no row to train on, and WriteError when the disk refuses the student.
    """
    from synthgen.student.card import model_card
    from synthgen.student.training import environment, quiet, use_all_cores

    real, written = as_rows(task, seeds), as_rows(task, synthetic, synthetic=True)
    kind = kinds.choose(task, cfg, [row.data for row in real] + list(eval_rows) or [row.data for row in written], say)
    weighing = len(written)
    if kind in ("tagger", "intent_tagger"):
        written = kinds.tagged(task, written, say)
    left = left_out.counted(no_span=weighing - len(written), no_weight=len(synthetic) - weighing, **(set_aside or {}))
    if not (real or written):
        raise InputError("the student has no sample to train on: the task has no seeds, and the run accepted no sample "
                         "that it can use; resume the run for more samples, or name seeds in task.seeds")  # fmt: skip
    learner = kinds.build(kind, task, cfg, say, [*real, *written])
    described = label_rows(task, cfg.label_rows)
    if task.is_pair and cfg.label_rows:
        say("student: no rows for the labels' names and meanings, because the student reads pairs of texts")
    rows = {"seeds": real, "label rows": described, "synthetic rows": written, "eval rows": as_rows(task, eval_rows)}
    bound = binding(task, cfg, learner.cfg, rows, seed)
    work = Work(out, cfg.checkpoint_seconds, say)
    with work.kept():
        if not again and (metrics := finished(out, bound, say)) and not has_time_now(metrics, cfg, say):
            work.discard()
            return metrics | {"left_out": left}
        use_all_cores()
        report_to = tracker(cfg.report_to) if learner.steps(1) else "none"
        if report_to != "none":
            say(f"student: {where(report_to, work.model / LOGS_FOLDER)}")
        clock = Clock(seconds(cfg), watch or lines(say), keep=work.keep_times)
        workers = workers_for(kind, task, cfg, say, out.with_name(WORKERS_LOG))
        experiment = Experiment(learner, replace(cfg, report_to=report_to), eval_rows, seed, work, say, clock, workers)
        with quiet():
            work.open({**bound, **environment()})
            with clock.kept(work.times()):
                found = compare(experiment, real, written, described)
        metrics = {
            "task": task.name,
            "kind": kind,
            "model": learner.cfg.model,
            "seed_rows": len(real),
            "label_rows": len(described),
            "synthetic_rows": len(written),
            "left_out": left,
            "seed_repeat": learner.cfg.seed_repeat,
            **found,
            "paces": asdict(clock.paces),
            "bound": bound,
        }
        metrics = work.publish(metrics, model_card(task, experiment, metrics, (real or written)[0].data))
    say(metrics["verdict"])
    return metrics


def evaluate(
    task: Task, cfg: StudentConfig, model_dir: Path, rows: Sequence[Json], seed: int = 0, worst: int = 0
) -> Json:
    """Return the figures of a saved student on samples with targets: {metric, eval_rows, mean, low, high, ...}.

    With `worst`, the key `worst` has at most this many rows with their answers, the worst first; see `worst.worst_rows`.
    """
    from synthgen.student.training import quiet, use_all_cores

    learner = kinds.build(kinds.saved(task, cfg, model_dir), task, cfg, _silent)
    use_all_cores()
    shown: Json = {}
    with quiet():
        student = _load(learner, model_dir) if rows else None
        scores = [learner.score(student, rows)] if rows else []
        if worst and rows:
            shown = {"worst": worst_rows(task, learner, student, rows, scores[0], worst)}
    metrics = assess(learner, cfg, rows, {SYNTHETIC: scores}, seed)
    shared = {key: metrics[key] for key in ("metric", "higher_is_better", "eval_rows", "confidence")}
    return {"task": task.name, **shared, **metrics[SYNTHETIC], **shown}


def bias(task: Task, cfg: StudentConfig, model_dir: Path, rows: Sequence[Json]) -> Json:
    """Return how often the answers of a saved student change when words about people are swapped; see `bias.swap_figures`."""
    from synthgen.student.training import quiet, use_all_cores

    learner = kinds.build(kinds.saved(task, cfg, model_dir), task, cfg, _silent)
    use_all_cores()
    with quiet():
        return swap_figures(task, learner, _load(learner, model_dir), rows)


def rivals(task: Task, cfg: StudentConfig, model_dir: Path, rows: Sequence[Json]) -> list[tuple[Json, Json]]:
    """Return each sample with the answer of a saved student, and with that of the untrained model.

    A sample has the input and target fields alone. Raise ConfigError for a student that writes no answers.
    """
    from synthgen.engines.bundled import resolve
    from synthgen.student.training import loading, quiet, use_all_cores

    kind = kinds.saved(task, cfg, model_dir)
    if kind not in kinds.WRITERS:
        raise ConfigError(f"the student is a {kind}; only a student that writes its answers can be compared by a judge")
    learner = kinds.build(kind, task, cfg, _silent)
    use_all_cores()
    with quiet():
        rows = [complete(task, row) for row in rows]
        answers = [learner.predict(_load(learner, model_dir), rows)]
        base = resolve(learner.cfg.model, _silent)
        with loading(f"student.{kind}.model", base):
            untrained = learner.load(Path(base))
        answers.append(learner.predict(untrained, rows))
    names = [*task.input, *task.target]
    samples = [
        [{name: {**row, **answer}.get(name) for name in names} for row, answer in zip(rows, found, strict=True)]
        for found in answers
    ]
    return list(zip(*samples, strict=True))


def win_rate(chances: Sequence[float | None], cfg: StudentConfig, seed: int = 0) -> Json:
    """Return {mean, low, high, judged, unscored} of the rows' chances that the student's answer is the better one.

    A chance is None where the judge's answers could not be read. Such rows are counted and left out.
    """
    known = [chance for chance in chances if chance is not None]
    if not known:
        return {"mean": None, "low": None, "high": None, "judged": 0, "unscored": len(chances)}
    table = np.asarray(known, dtype=float)
    figures = {SYNTHETIC: lambda rows: {"win_rate": float(table[rows].mean())}}
    found = intervals(figures, len(known), cfg.bootstrap, cfg.confidence, seed)[SYNTHETIC]["win_rate"]
    return {**found, "judged": len(known), "unscored": len(chances) - len(known)}


def predict(task: Task, cfg: StudentConfig, model_dir: Path, rows: Sequence[Json]) -> list[Json]:
    """Return the answers of a saved student to rows of input fields, in the order of the rows.

    An answer is {label field, probability, probabilities} for classification, the target fields with their positions
    for spans, and the target fields otherwise.
    """
    from synthgen.student.training import quiet, use_all_cores

    learner = kinds.build(kinds.saved(task, cfg, model_dir), task, cfg, _silent)
    use_all_cores()
    with quiet():
        return learner.predict(_load(learner, model_dir), rows)


def answers_to(task: Task) -> list[str]:
    """Return the target field with the turns of a dialogue, which a row to predict may have: the turns so far."""
    return [field for field in (dialogue_field(task),) if field is not None and field in task.target]


class FittedStudent:
    """Hold a student of a classification task in memory."""

    def __init__(self, task: Task, learner: Learner, student: object) -> None:
        self._task = task
        self._learner = learner
        self._student = student

    def predict(self, rows: Sequence[Json]) -> list[str]:
        """Return the label of every row of input fields."""
        return [answer[self._task.target[0]] for answer in self.answers(rows)]

    def answers(self, rows: Sequence[Json]) -> list[Json]:
        """Return {label field, probability, probabilities} for every row, as `student.predict` does."""
        from synthgen.student.training import quiet

        with quiet():
            return self._learner.predict(self._student, rows) if rows else []


def fit_classifier(
    task: Task,
    cfg: StudentConfig,
    rows: Sequence[Json | TrainingRow],
    seed: int,
    weights: Sequence[float] | None = None,
) -> FittedStudent:
    """Fit one student of a classification task on `rows`, without scoring it, comparing it or saving it.

    `cfg.kind` chooses the student: `frozen`, or `auto` for the fine-tuned encoder. `weights`, one per row, multiply the
    rows' own weights. With the same rows, settings and seed, an arm of `train` gives the same student.
    """
    from synthgen.student.training import quiet, use_all_cores

    if task.kind != "classification":
        raise ConfigError(f"task.kind: fit_classifier needs a classification task, but {task.name} is {task.kind}")
    found = [row if isinstance(row, TrainingRow) else TrainingRow(row) for row in rows]
    if weights is not None:
        found = [replace(row, weight=row.weight * weight) for row, weight in zip(found, weights, strict=True)]
    learner = kinds.build(kinds.choose(task, cfg, [], _silent), task, cfg, _silent)
    found = as_rows(task, found)
    use_all_cores()
    with tempfile.TemporaryDirectory() as folder, quiet():
        work = Work(Path(folder) / "student", float("inf"), _silent)
        work.open({})
        experiment = Experiment(learner, cfg, [], seed, work, _silent, Clock(seconds(cfg)))
        return FittedStudent(task, learner, fit_alone(experiment, found))


def _load(learner: Learner, folder: Path) -> object:
    if not (folder / "config.json").is_file():
        raise RunFolderError(f"{folder}: there is no student here; train one with: synthgen train RUN")
    from safetensors import SafetensorError

    try:
        return learner.load(folder)
    except (OSError, ValueError, SafetensorError) as error:
        raise RunFolderError(
            f"{folder}: the student cannot be loaded ({error}); train it again with: synthgen train RUN"
        ) from error


def _silent(_: str) -> None:
    pass
