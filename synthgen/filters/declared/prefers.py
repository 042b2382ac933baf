"""Ask the run's judge which of two texts of a sample is better, in both orders, because a judge may prefer a position."""

import dataclasses
from collections.abc import Iterable
from typing import ClassVar

from synthgen.filters.declared.base import Fault, Found, KeyProblem, Scored, Stage, Tools
from synthgen.filters.declared.fields import any_place, refuse_same, string_place
from synthgen.records import UNANSWERED, Json
from synthgen.tasks.paths import ITEMS, Steps, values
from synthgen.tasks.task import Task, as_text

_NAME = "answer"
"""Name of both texts in the judge's prompt. The names of the fields would tell the judge which text should win."""


@dataclasses.dataclass
class PrefersConfig:
    field: str
    """Path to the text that should be better, such as `chosen`."""
    over: str
    """Path to the text that should be worse, such as `rejected`."""
    fields: list[str] = dataclasses.field(default_factory=list)
    """Paths that the judge is shown with each text; the task's input fields if empty."""


class Prefers:
    """Find samples whose better text the judge does not prefer in both orders."""

    kind: ClassVar[str] = "prefers"
    meaning: ClassVar[str] = "The run's judge prefers `field` to `over`, whichever of the two it is shown first."
    reasons: ClassVar[dict[str, str]] = {
        "not_preferred": "has a text that should be the better of two, and the judge prefers the other one",
        "undecided": "has two texts of which the judge prefers none, or one in one order and the other in the other order",
        **{reason.code: reason.words for reason in UNANSWERED},
    }
    config: ClassVar[type[PrefersConfig]] = PrefersConfig
    scores: ClassVar[str] = "probability that `field` is better, the mean of both orders, 0 to 1"
    stage: ClassVar[Stage] = "judge"

    def __init__(self, cfg: PrefersConfig, task: Task) -> None:
        self.questions = 0
        self._better, self._worse = _single("field", cfg.field, task), _single("over", cfg.over, task)
        refuse_same("over", cfg.over, cfg.field, "the text that should be worse")
        compared = {cfg.field, cfg.over}
        for name in cfg.fields:
            if name in compared:
                raise KeyProblem("fields", f"'{name}' is one of the two texts; name the fields that both belong to")
        shown = cfg.fields or [name for name in task.input if name not in compared]
        self._shown = [(name, any_place("fields", name, task).steps) for name in shown]
        self._cfg = cfg

    async def consult(self, data: Json, place: str, tools: Tools) -> Iterable[Found]:
        found = [next(values(data, steps), None) for steps in (self._better, self._worse)]
        if tools.compare is None or found[0] is None or found[1] is None:
            return []
        (path, _), texts = found[0], (found[0][1], found[1][1])
        context = {name: text for name, steps in self._shown if (text := _all(data, steps))}
        better, worse = ({**context, _free(context): text} for text in texts)
        probabilities = await tools.compare(place, better, worse)
        if probabilities is None:
            return [Fault(tools.unanswered(place), path, "has no readable answer of the judge", unscored=True)]
        score = round(sum(probabilities) / 2, 4)
        if min(probabilities) > 0.5:
            return [Scored(score)]
        details = {"over": self._cfg.over, "orders": [round(one, 4) for one in probabilities]}
        if max(probabilities) < 0.5:
            return [Fault("not_preferred", path, f"the judge prefers {self._cfg.over}", details, score)]
        return [Fault("undecided", path, "the judge's preference depends on the order", details, score)]


def _single(key: str, path: str, task: Task) -> Steps:
    """Return the steps to a single text. Raise KeyProblem for a path to no text, or to the texts of a list."""
    steps = string_place(key, path, task).steps
    if ITEMS in steps:
        raise KeyProblem(key, f"'{path}' is a list of texts; name a single text")
    return steps


def _all(data: Json, steps: Steps) -> str:
    return "; ".join(as_text(value) for _, value in values(data, steps))


def _free(context: Json) -> str:
    """Return a name for the compared text that no shown field has."""
    name = _NAME
    while name in context:
        name += "_compared"
    return name
