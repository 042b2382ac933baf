"""Choose and build the kind of student for a task.

The module of a kind, and torch with it, is imported when a student of that kind is built.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

from synthgen.errors import ConfigError
from synthgen.ledger.durable import read_json
from synthgen.records import Json
from synthgen.student.config import StudentConfig
from synthgen.student.learner import Learner
from synthgen.student.rows import TrainingRow
from synthgen.student.spans import choice_field, why_not_spans
from synthgen.student.work import METRICS_FILE
from synthgen.tasks.task import Task

Say = Callable[[str], None]
WRITERS = ("generator", "preference")
"""Kinds of students that write texts, which a judge can compare."""


def choose(task: Task, cfg: StudentConfig, rows: Sequence[Json], say: Say) -> str:
    """Return the kind of student: the one that the task names, or the one that fits its fields.

    A tagger needs targets of `rows` that are all spans, except for one choice.

    Raise ConfigError where the config asks for no student, or for a kind that does not fit the task.
    """
    if cfg.kind == "none":
        raise ConfigError(
            "student.kind: this run trains no student (none); to train one: synthgen resume RUN student=auto"
        )
    if cfg.kind == "frozen":
        if task.kind != "classification":
            raise ConfigError(f"student.kind: frozen is for classification, and task {task.name} is {task.kind}")
        return "frozen"
    if task.student != "auto":
        if task.kind == "classification":
            raise ConfigError(
                f"task.student: a {task.student} is not for classification; set auto, or another task.kind"
            )
        return task.student
    if task.kind == "classification":
        return "classifier"
    if task.kind != "extraction":
        return "generator"
    if reason := why_not_spans(task, rows):
        say(f"student: a generator instead of a tagger, because not all targets are spans of the input: {reason}")
        return "generator"
    return "intent_tagger" if choice_field(task) else "tagger"


def saved(task: Task, cfg: StudentConfig, folder: Path) -> str:
    """Return the kind of the student in `folder`, even if the config would choose another kind now."""
    metrics = read_json(folder / METRICS_FILE) or {}
    return str(metrics["kind"]) if "kind" in metrics else choose(task, cfg, [], lambda _: None)


def batch_of(kind: str, cfg: StudentConfig) -> tuple[int, str]:
    """Return the batch size of a kind that is trained in steps, and its key in the config."""
    name = {"intent_tagger": "tagger"}.get(kind, kind)
    return getattr(cfg, name).batch_size, f"student.{name}.batch_size"


def tagged(task: Task, rows: Sequence[TrainingRow], say: Say) -> list[TrainingRow]:
    """Return the rows that can be tagged; report how many cannot."""
    kept = [row for row in rows if not why_not_spans(task, [row.data])]
    if len(kept) < len(rows):
        say(f"student: {len(rows) - len(kept)} of {len(rows)} synthetic rows are left out, because their targets do "
            "not occur in their inputs")  # fmt: skip
    return kept


def build(kind: str, task: Task, cfg: StudentConfig, say: Say, rows: Sequence[TrainingRow] = ()) -> Learner:
    """Build the learner of a kind. Raise ConfigError for a kind that does not fit the task.

    `rows` are those of all arms, because a retriever searches the passages of all of them in every arm.
    """
    if (kind in ("classifier", "frozen")) != (task.kind == "classification"):
        raise ConfigError(
            f"student: the trained student is a {kind}, which does not fit task {task.name} ({task.kind}); "
            "train it again"
        )
    match kind:
        case "classifier":
            from synthgen.student.classifier import Classifier

            return Classifier(task, cfg.classifier, say)
        case "frozen":
            from synthgen.student.frozen import Frozen

            return Frozen(task, cfg.frozen, say)
        case "tagger":
            from synthgen.student.tagger import Tagger

            return Tagger(task, cfg.tagger, say)
        case "intent_tagger":
            from synthgen.student.intent import IntentTagger

            return IntentTagger(task, cfg.tagger, say)
        case "retriever":
            from synthgen.student.retriever import Retriever

            return Retriever(task, cfg.retriever, say, rows)
        case "preference":
            from synthgen.student.preference import PreferenceLearner

            return PreferenceLearner(task, cfg.preference, say, cfg.fsdp)
        case _:
            from synthgen.student.generator import Generator

            return Generator(task, cfg.generator, say, spread=cfg.fsdp)
