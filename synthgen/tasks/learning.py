"""List the metrics and the students that a task file may name. The students themselves are in `synthgen.student`."""

import difflib
from collections.abc import Sequence

from synthgen.errors import ConfigError

METRICS = (
    "accuracy", "macro_f1", "micro_f1", "subset_accuracy",
    "mae", "spearman", "quadratic_kappa",
    "span_f1", "both_right", "intent_accuracy",
    "rougeL", "rouge1", "rouge2", "chrf", "bleu", "exact_match", "f1", "set_f1", "supported", "perplexity",
    "trigger_f1", "argument_f1", "call_accuracy", "pass_at_1", "win_rate",
    "ndcg@10", "recall@10", "mrr", "reward_accuracy",
)  # fmt: skip
STUDENTS = ("auto", "retriever", "preference")


def check_metrics(names: Sequence[str]) -> tuple[str, ...]:
    """Return the names of `task.metrics`. Raise ConfigError for one that is unknown or listed twice."""
    for name in names:
        if name not in METRICS:
            raise ConfigError(f"task.metrics: there is no metric '{name}'{_near(name, METRICS)}")
    if len(set(names)) < len(names):
        raise ConfigError("task.metrics: a metric is listed twice")
    return tuple(names)


def check_student(name: str) -> str:
    """Return the name of `task.student`. Raise ConfigError for an unknown one."""
    if name not in STUDENTS:
        raise ConfigError(f"task.student: there is no student '{name}'{_near(name, STUDENTS)}")
    return name


def student_metrics(names: Sequence[str], known: Sequence[str], kind: str) -> tuple[str, ...]:
    """Return the metrics of a kind of student, the headline first: those of `task.metrics`, or else all `known` ones.

    Raise ConfigError for a metric that this kind of student does not have.
    """
    for name in names:
        if name not in known:
            raise ConfigError(f"task.metrics: a {kind} has no metric '{name}'; choose from {', '.join(known)}")
    return tuple(names or known)


def _near(name: str, known: Sequence[str]) -> str:
    near = difflib.get_close_matches(name, known, n=1)
    return f"; did you mean {near[0]}?" if near else f"; choose from {', '.join(known)}"
