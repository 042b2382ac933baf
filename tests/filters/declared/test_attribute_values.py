"""The check `attributes`: the judge is asked for each value that the slot asked for."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from synthgen.errors import ConfigError
from synthgen.filters.declared.base import Ask, Tools
from synthgen.filters.declared.kinds import DeclaredChecks
from synthgen.records import Candidate, Json, Verdict
from synthgen.tasks.task import Task

ATTRIBUTES = {"tone": {"meaning": "how it sounds", "values": ["formal", "casual"]}, "length": ["short", "long"]}
GIVEN = {"attributes": {"tone": "formal", "length": "long"}}


@pytest.fixture
def decide(declaring: Callable[..., Task], of: Callable[..., Candidate]) -> Callable[..., Any]:
    async def made(answers: dict[str, float | None], given: Json, **check: Any) -> tuple[Verdict, list[str]]:
        asked: list[str] = []

        async def ask(place: str, question: str, fields: Json) -> float | None:
            asked.append(f"{place}: {question}")
            return next(answer for word, answer in answers.items() if word in question)

        async def embed(texts: Any) -> Any:
            return np.zeros((len(texts), 1))

        answering: Ask = ask
        task = declaring({"kind": "attributes", **check}, attributes=ATTRIBUTES)
        [one] = DeclaredChecks(task).of("judge", Tools(embed, answering, lambda _: "unscored"))
        candidate = of(text="Good morning.").model_copy(update={"given": given})
        return await one(candidate), asked

    return made


async def test_the_judge_is_asked_for_every_value(decide: Callable[..., Any]) -> None:
    verdict, asked = await decide({"formal": 0.9, "long": 0.7}, GIVEN)
    assert (verdict.outcome, verdict.score) == ("pass", 0.7)
    assert [question.partition(": ")[2] for question in asked] == [
        "Is this true of the text? tone (how it sounds): formal",
        "Is this true of the text? length: long",
    ]
    assert len({question.partition(": ")[0] for question in asked}) == 2


async def test_a_value_that_is_not_found_rejects_and_is_named(decide: Callable[..., Any]) -> None:
    verdict, _ = await decide({"formal": 0.4, "long": 0.1}, GIVEN)
    assert (verdict.outcome, verdict.reason, verdict.score) == ("reject", "attributes", 0.1)
    assert (verdict.details["attribute"], verdict.details["value"]) == ("length", "long")


async def test_the_threshold_and_the_attributes_can_be_chosen(decide: Callable[..., Any]) -> None:
    verdict, asked = await decide({"formal": 0.4}, GIVEN, attributes=["tone"], threshold=0.3)
    assert (verdict.outcome, len(asked)) == ("pass", 1)


async def test_an_answer_that_cannot_be_read_is_unscored_and_never_a_pass(decide: Callable[..., Any]) -> None:
    verdict, _ = await decide({"formal": 0.9, "long": None}, GIVEN)
    assert (verdict.outcome, verdict.reason, verdict.details["attribute"]) == ("unscored", "unscored", "length")
    verdict, _ = await decide({"formal": 0.2, "long": None}, GIVEN)
    assert (verdict.outcome, verdict.details["attribute"]) == ("reject", "tone")


async def test_a_sample_of_another_strategy_is_not_asked_about(decide: Callable[..., Any]) -> None:
    verdict, asked = await decide({}, {})
    assert (verdict.outcome, verdict.score, asked) == ("pass", None, [])


@pytest.mark.parametrize(
    ("check", "attributes", "message"),
    [
        ({}, {}, r"task.checks\[0\].kind: the task has no attributes; add some"),
        ({"attributes": ["mood"]}, ATTRIBUTES, r"task.checks\[0\].attributes: 'mood' is not in task.attributes; choose from tone"),
        ({"threshold": 1.0}, ATTRIBUTES, r"task.checks\[0\].threshold: must be above 0 and below 1, got 1.0"),
    ],
)  # fmt: skip
def test_a_declaration_that_does_not_fit_is_named(
    check: Json, attributes: Json, message: str, declaring: Callable[..., Task]
) -> None:
    with pytest.raises(ConfigError, match=message):
        DeclaredChecks(declaring({"kind": "attributes", **check}, attributes=attributes))
