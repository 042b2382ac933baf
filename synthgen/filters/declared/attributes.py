"""Ask the run's judge whether a sample shows the attribute values that its slot asked for."""

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import ClassVar

from synthgen.filters.declared.base import Fault, Found, KeyProblem, Scored, Stage, Tools
from synthgen.records import UNANSWERED, Json
from synthgen.tasks.criteria import in_chinese
from synthgen.tasks.task import ATTRIBUTES, Task

_QUESTION = "Is this true of the text? {name}{meaning}: {value}"
_QUESTION_ZH = "这段文字是否符合：{name}{meaning}：{value}？"


@dataclass
class AttributeValuesConfig:
    attributes: list[str] = field(default_factory=list)
    """Names of the attributes to ask about; all attributes of the task if empty."""
    threshold: float = 0.5
    """Least probability of yes, for each value."""


class AttributeValues:
    """Find samples that do not show an attribute value that their slot asked for."""

    kind: ClassVar[str] = "attributes"
    meaning: ClassVar[str] = "The run's judge finds the attribute values that the strategy `attributes` asked for."
    reasons: ClassVar[dict[str, str]] = {
        "attributes": "does not show an attribute value that was asked for",
        **{reason.code: reason.words for reason in UNANSWERED},
    }
    config: ClassVar[type[AttributeValuesConfig]] = AttributeValuesConfig
    scores: ClassVar[str] = "least probability, over the attributes, that the sample has the value asked for, 0 to 1"
    stage: ClassVar[Stage] = "judge"

    def __init__(self, cfg: AttributeValuesConfig, task: Task) -> None:
        known = {one.name: one.meaning for one in task.attributes}
        if not known:
            raise KeyProblem(
                "kind",
                "the task has no attributes; add some, such as attributes: {tone: [formal, casual]}, or remove the check",
            )
        for name in cfg.attributes:
            if name not in known:
                raise KeyProblem("attributes", f"'{name}' is not in task.attributes; choose from {', '.join(known)}")
        if not 0 < cfg.threshold < 1:
            raise KeyProblem("threshold", f"must be above 0 and below 1, got {cfg.threshold}")
        self._threshold = cfg.threshold
        chinese = in_chinese(task.language)
        self._question = _QUESTION_ZH if chinese else _QUESTION
        opening, closing = ("（", "）") if chinese else (" (", ")")
        self._meanings = {
            name: f"{opening}{known[name]}{closing}" if known[name] else "" for name in cfg.attributes or known
        }
        self.questions = len(self._meanings)

    async def consult(self, data: Json, place: str, tools: Tools) -> Iterable[Found]:
        """Return nothing, because no slot asked for this sample."""
        return await self.consult_given(data, {}, place, tools)

    async def consult_given(self, data: Json, given: Json, place: str, tools: Tools) -> Iterable[Found]:
        asked: dict[str, str] = given.get(ATTRIBUTES, {})
        names = [name for name in self._meanings if name in asked]
        if tools.ask is None or not names:
            return []
        questions = [
            self._question.format(name=name, meaning=self._meanings[name], value=asked[name]) for name in names
        ]
        answers = await asyncio.gather(
            *(tools.ask(f"{place}-{number}", question, data) for number, question in enumerate(questions))
        )
        scores = {name: round(yes, 4) for name, yes in zip(names, answers, strict=True) if yes is not None}
        missing = [name for name in names if scores.get(name, 1.0) < self._threshold]
        if missing:
            name = min(missing, key=lambda each: scores[each])
            problem = f"the judge does not find the {name} asked for, '{asked[name]}'"
            return [Fault("attributes", (), problem, {"attribute": name, "value": asked[name]}, scores[name])]
        if unread := [name for name in names if name not in scores]:
            reason = tools.unanswered(f"{place}-{names.index(unread[0])}")
            return [Fault(reason, (), "has no readable answer of the judge", {"attribute": unread[0]}, None, True)]
        return [Scored(min(scores.values()))]
