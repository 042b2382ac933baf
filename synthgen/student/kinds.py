"""Which kind of student a task gets. The kinds' own modules, and torch with them, are imported when one is built."""

from collections.abc import Callable, Sequence
from pathlib import Path

from synthgen.errors import ConfigError
from synthgen.ledger.durable import read_json
from synthgen.records import Json
from synthgen.student.config import StudentConfig
from synthgen.student.learner import Learner
from synthgen.student.rows import TrainingRow
from synthgen.student.spans import why_not_spans
from synthgen.student.work import METRICS_FILE
from synthgen.tasks.task import Task

Say = Callable[[str], None]


def choose(task: Task, cfg: StudentConfig, rows: Sequence[Json], say: Say) -> str:
    """classifier, frozen, tagger or generator; `rows` are those whose targets must be spans for a tagger.

    Raises ConfigError where the config asks for none, or for one that does not fit the task.
    """
    if cfg.kind == "none":
        raise ConfigError("student.kind: this run has no student (none); set student.kind=auto")
    if cfg.kind == "frozen":
        if task.kind != "classification":
            raise ConfigError(f"student.kind: frozen is for classification, and task {task.name} is {task.kind}")
        return "frozen"
    if task.kind == "classification":
        return "classifier"
    if task.kind != "extraction":
        return "generator"
    if reason := why_not_spans(task, rows):
        say(f"student: a generator and not a tagger, because the targets are not all spans of the input: {reason}")
        return "generator"
    return "tagger"


def saved(task: Task, cfg: StudentConfig, folder: Path) -> str:
    """Return the kind of the student in `folder`, whatever the config would choose today."""
    metrics = read_json(folder / METRICS_FILE) or {}
    return str(metrics["kind"]) if "kind" in metrics else choose(task, cfg, [], lambda _: None)


def tagged(task: Task, rows: Sequence[TrainingRow], say: Say) -> list[TrainingRow]:
    """Return the rows that can be tagged; report how many cannot."""
    kept = [row for row in rows if not why_not_spans(task, [row.data])]
    if len(kept) < len(rows):
        say(f"student: {len(rows) - len(kept)} of {len(rows)} synthetic rows are left out: their targets do not stand "
            "in their inputs")  # fmt: skip
    return kept


def build(kind: str, task: Task, cfg: StudentConfig, say: Say) -> Learner:
    """Build the learner of a kind. Raise ConfigError for a kind that does not fit the task."""
    if (kind in ("classifier", "frozen")) != (task.kind == "classification"):
        raise ConfigError(f"student: a {kind} was trained, and task {task.name} is {task.kind}; train it again")
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
        case _:
            from synthgen.student.generator import Generator

            return Generator(task, cfg.generator, say)
