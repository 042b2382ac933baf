"""Choose the metrics of a task's answers, and say why one that the task asks for is left out."""

from dataclasses import dataclass

from synthgen.filters.declared import sandbox
from synthgen.records import Json
from synthgen.student.metrics import items, squad
from synthgen.student.metrics.base import Mean, Metric
from synthgen.student.metrics.grounded import PassAt1, supported, tested
from synthgen.student.metrics.overlap import CorpusMetric, rouge_mean
from synthgen.student.turns import expected, is_prose, read_target
from synthgen.tasks.task import Task

PERPLEXITY, WIN_RATE = "perplexity", "win_rate"
DEFAULTS = {"extraction": "set_f1", "dialogue": PERPLEXITY}
"""Headline of tasks that name no metric; of other kinds it is ROUGE-L."""
_ROUGE = ("rougeL", "rouge1", "rouge2")
_CORPUS = ("chrf", "bleu")
NO_JUDGE = (
    "a judge compares the student with the untrained model, and none runs while the student is trained; to get it: "
    "synthgen evaluate RUN --judge"
)


@dataclass(frozen=True)
class ChosenMetrics:
    """Hold the metrics of answers. The headline may be the perplexity, which needs no answer."""

    headline: str
    metrics: tuple[Metric, ...]
    left_out: dict[str, str]
    """Metrics of the task that are not computed, each with the reason."""


def chosen(task: Task) -> ChosenMetrics:
    """Return the metrics that the task names, and those of its kind if it names none or none can be computed."""
    default = DEFAULTS.get(task.kind, _ROUGE[0])
    found: dict[str, Metric | None] = {}
    left: dict[str, str] = {}
    for name in task.metrics or (default,):
        built = _built(task, name)
        if isinstance(built, str):
            left[name] = built
        else:
            found[name] = built
    if not found:
        found = {default: None if default == PERPLEXITY else _metric(task, default)}
    return ChosenMetrics(next(iter(found)), tuple(metric for metric in found.values() if metric is not None), left)


def _built(task: Task, name: str) -> Metric | str | None:
    """Return a metric, None for the perplexity, or the reason why there is none."""
    if name == PERPLEXITY:
        return None
    if name == WIN_RATE:
        return NO_JUDGE
    return _metric(task, name) or _why_not(task, name)


def _metric(task: Task, name: str) -> Metric | None:
    """Return a metric; None if it does not fit the task or this machine."""
    match name:
        case "rougeL" | "rouge1" | "rouge2":
            return rouge_mean(task, name)
        case "chrf" | "bleu":
            return CorpusMetric(task, name)
        case "exact_match":
            return Mean(name, lambda row, answer: _exact(task, row, answer))
        case "f1":
            return Mean(name, lambda row, answer: squad.f1(expected(task, row), answer))
        case "set_f1":
            return items.set_f1(task)
        case "supported":
            return supported(task)
        case "call_accuracy":
            return items.call_accuracy(task, *calls) if (calls := items.call_fields(task)) else None
        case "trigger_f1" | "argument_f1":
            if field := items.event_field(task):
                return items.event_f1(task, field, name)
            calls = items.call_fields(task)
            return items.call_argument_f1(task, *calls) if calls and name == "argument_f1" else None
        case "pass_at_1":
            parts = tested(task)
            return PassAt1(task, parts) if parts and sandbox.problem() is None else None
        case _:
            return None


def _why_not(task: Task, name: str) -> str:
    match name:
        case "call_accuracy":
            return "it needs a check {kind: schema_of, field: ARGUMENTS, name: TOOL} on two target fields"
        case "trigger_f1" | "argument_f1":
            return "it needs a target that is a list of objects with a field `trigger`, or a tool call"
        case "pass_at_1" if tested(task):
            return str(sandbox.problem())
        case "pass_at_1":
            return "it needs a check {kind: code, field: TARGET, tests: FIELD}"
        case _:
            return "a generator does not have it"


def _exact(task: Task, row: Json, answer: str) -> float:
    if is_prose(task):
        return squad.exact_match(expected(task, row), answer)
    return float(read_target(task, answer) == {name: row.get(name) for name in task.target})
