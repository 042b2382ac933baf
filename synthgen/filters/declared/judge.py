"""Ask the run's judge a question of the task's own about a sample, which it answers with yes or no."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, ClassVar

from synthgen.filters.declared.base import Fault, Found, KeyProblem, Scored, Stage, Tools
from synthgen.filters.declared.fields import any_place
from synthgen.records import UNANSWERED, Json
from synthgen.tasks.paths import ITEMS, values
from synthgen.tasks.task import Task, as_text


@dataclass
class JudgeQuestionConfig:
    question: str
    """The question, such as `Does the answer follow from the passage?`."""
    fields: list[str] = field(default_factory=list)
    """Paths that the judge is shown; all fields if empty."""
    expect: bool = True
    """The right answer: true for yes, false for no."""
    threshold: float = 0.5
    """Least probability of the right answer."""


class JudgeQuestion:
    """Find samples for which the judge gives another answer than the task expects."""

    kind: ClassVar[str] = "judge"
    meaning: ClassVar[str] = "The run's judge answers `question` about the sample with yes."
    reasons: ClassVar[dict[str, str]] = {
        "judge": "gets another answer of the judge than its task expects",
        **{reason.code: reason.words for reason in UNANSWERED},
    }
    config: ClassVar[type[JudgeQuestionConfig]] = JudgeQuestionConfig
    scores: ClassVar[str] = "probability of the right answer, 0 to 1"
    stage: ClassVar[Stage] = "judge"

    def __init__(self, cfg: JudgeQuestionConfig, task: Task) -> None:
        if not cfg.question.strip():
            raise KeyProblem("question", "is empty; write a question that yes or no answers")
        if not 0 < cfg.threshold < 1:
            raise KeyProblem("threshold", f"must be above 0 and below 1, got {cfg.threshold}")
        self._cfg = cfg
        self._shown = [(name, any_place("fields", name, task).steps) for name in cfg.fields]
        self.questions = 1

    async def consult(self, data: Json, place: str, tools: Tools) -> Iterable[Found]:
        if tools.ask is None:
            return []
        yes = await tools.ask(place, self._cfg.question, self._fields(data))
        if yes is None:
            reason = tools.unanswered(place)
            return [
                Fault(reason, (), "has no readable answer of the judge", {"question": self._cfg.question}, None, True)
            ]
        right = round(yes if self._cfg.expect else 1 - yes, 4)
        if right >= self._cfg.threshold:
            return [Scored(right)]
        problem = f"the judge answers '{self._cfg.question}' with {'no' if self._cfg.expect else 'yes'}"
        return [Fault("judge", (), problem, {"question": self._cfg.question}, right)]

    def _fields(self, data: Json) -> Json:
        """Return the fields to show. The values of a path with `[]` become one list."""
        if not self._shown:
            return data
        shown: dict[str, Any] = {}
        for name, steps in self._shown:
            found = [value for _, value in values(data, steps)]
            if ITEMS in steps:
                shown[name] = "; ".join(map(as_text, found))
            elif found:
                shown[name] = found[0]
        return shown
