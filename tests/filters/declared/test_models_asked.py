"""Test the checks that ask a model of the run: `supported` and `judge`."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

from synthgen.errors import ConfigError
from synthgen.filters.declared.base import Ask, Tools
from synthgen.filters.declared.kinds import DeclaredChecks
from synthgen.records import Candidate, Json, Verdict
from synthgen.tasks.task import Task

TEXT = {"type": "string"}
SCHEMA = {"type": "object", "properties": {"passage": TEXT, "answer": TEXT, "tags": {"type": "array", "items": TEXT}}}
SUPPORTED = {"kind": "supported", "field": "answer", "in": "passage", "threshold": 0.8}
JUDGE = {"kind": "judge", "question": "Does the answer follow from the passage?"}
PASSAGE = "The pool closes at six. Children swim for free. On Monday it is shut."
TOPICS = (("pool", "swim", "泳"), ("child", "孩"), ("monday", "周一"), ("price", "费", "free"))


async def embed(texts: Sequence[str]) -> Any:
    """Embed a text by the topics that it names."""
    found = np.array([[any(word in text.casefold() for word in topic) for topic in TOPICS] for text in texts], float)
    return found / np.maximum(np.linalg.norm(found, axis=1, keepdims=True), 1e-9)


def answering(*probabilities: float | None) -> tuple[list[tuple[str, str, Json]], Ask]:
    asked: list[tuple[str, str, Json]] = []

    async def ask(place: str, question: str, fields: Json) -> float | None:
        asked.append((place, question, fields))
        return probabilities[len(asked) - 1]

    return asked, ask


@pytest.fixture
def decide(declaring: Callable[..., Task], of: Callable[..., Candidate]) -> Callable[..., Any]:
    async def made(check: Json, ask: Ask | None = None, **data: Any) -> Verdict:
        task = declaring(check, schema=SCHEMA, input=["passage"], target=["answer"])
        tools = Tools(embed, ask, lambda place: "unscored")
        checks = DeclaredChecks(task)
        [one] = [*checks.of("embedding", tools), *checks.of("judge", tools)]
        return await one(of(**data))

    return made


@pytest.mark.parametrize(
    ("passage", "answer", "passes"),
    [
        (PASSAGE, "You can swim until six.", True),
        (PASSAGE, "Swimming is free for a child. Not on Monday!", True),
        (PASSAGE, "You can swim until six. The mayor has a dog.", False),
        (PASSAGE, "The mayor has a dog.", False),
        (PASSAGE, "", True),
        ("", "You can swim until six.", False),
        ("泳池六点关门。孩子免费。周一不开。", "周一关闭。", True),
        ("泳池六点关门。孩子免费。周一不开。", "周一关闭。市长有一只狗。", False),
    ],
)
async def test_every_sentence_is_near_a_sentence_of_the_source(
    decide: Callable[..., Any], passage: str, answer: str, passes: bool
) -> None:
    found = await decide(SUPPORTED, passage=passage, answer=answer)
    assert (found.outcome, found.reason) == (("pass", None) if passes else ("reject", "unsupported"))
    assert found.score is not None


async def test_the_worst_sentence_is_named_with_its_cosine(decide: Callable[..., Any]) -> None:
    found = await decide(SUPPORTED, passage=PASSAGE, answer="You can swim until six. The mayor has a dog.")
    assert found.details == {"field": "answer", "sentence": "The mayor has a dog."}
    assert found.score == 0.0


@pytest.mark.parametrize(
    ("probability", "outcome", "reason"),
    [(0.9, "pass", None), (0.2, "reject", "unsupported"), (None, "unscored", "unscored")],
)
async def test_the_judge_is_asked_about_what_the_embedder_passes(
    decide: Callable[..., Any], probability: float | None, outcome: str, reason: str | None
) -> None:
    asked, ask = answering(probability)
    found = await decide(SUPPORTED | {"judge": True}, ask, passage=PASSAGE, answer="Swim until eight.")
    assert (found.outcome, found.reason) == (outcome, reason)
    assert [(place, fields["claim"]) for place, _, fields in asked] == [("0.0/question0-0", "Swim until eight.")]


async def test_a_run_without_a_judge_goes_by_the_embedder(decide: Callable[..., Any]) -> None:
    found = await decide(SUPPORTED | {"judge": True}, None, passage=PASSAGE, answer="Swim until eight.")
    assert found.outcome == "pass"


@pytest.mark.parametrize(
    ("keys", "yes", "outcome", "score"),
    [
        ({}, 0.8, "pass", 0.8),
        ({}, 0.3, "reject", 0.3),
        ({"expect": False}, 0.3, "pass", 0.7),
        ({"expect": False}, 0.8, "reject", 0.2),
        ({"threshold": 0.9}, 0.8, "reject", 0.8),
        ({}, None, "unscored", None),
    ],
)
async def test_the_judge_answers_a_question_of_the_task(
    decide: Callable[..., Any], keys: Json, yes: float | None, outcome: str, score: float | None
) -> None:
    asked, ask = answering(yes)
    found = await decide(JUDGE | keys, ask, passage=PASSAGE, answer="Until six.")
    assert found.outcome == outcome
    assert found.score == (None if score is None else pytest.approx(score))
    assert asked == [("0.0/question0", JUDGE["question"], {"passage": PASSAGE, "answer": "Until six."})]


async def test_the_judge_is_shown_the_fields_that_the_task_names(decide: Callable[..., Any]) -> None:
    asked, ask = answering(0.9)
    await decide(JUDGE | {"fields": ["answer", "tags[]"]}, ask, passage=PASSAGE, answer="Six.", tags=["pool", "time"])
    assert asked[0][2] == {"answer": "Six.", "tags[]": "pool; time"}


async def test_a_question_is_left_out_where_the_run_has_no_judge(decide: Callable[..., Any]) -> None:
    assert (await decide(JUDGE, None, passage=PASSAGE, answer="Six.")).outcome == "pass"


@pytest.mark.parametrize(
    ("check", "message"),
    [
        (JUDGE | {"question": " "}, "question: is empty"),
        (JUDGE | {"threshold": 1}, "threshold: must be above 0 and below 1, got 1"),
        (JUDGE | {"fields": ["question"]}, "fields: 'question' is not a field of task.schema"),
        (SUPPORTED | {"threshold": 2}, "threshold: must be from -1 to 1, got 2"),
        (SUPPORTED | {"in": []}, "in: names no field"),
    ],
)
def test_wrong_keys_are_named(declaring: Callable[..., Task], check: Json, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        DeclaredChecks(declaring(check, schema=SCHEMA, input=["passage"], target=["answer"]))
    assert message in str(caught.value)
