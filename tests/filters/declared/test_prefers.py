"""Test the check that compares two texts of a sample in both orders."""

from collections.abc import Callable
from typing import Any

import pytest

from synthgen.errors import ConfigError
from synthgen.filters.declared.base import Compare, Tools
from synthgen.filters.declared.kinds import DeclaredChecks
from synthgen.records import Candidate, Json, Verdict
from synthgen.tasks.task import Task

TEXT = {"type": "string"}
FIELDS = {"prompt": TEXT, "topic": TEXT, "chosen": TEXT, "rejected": TEXT, "tags": {"type": "array", "items": TEXT}}
SCHEMA = {"type": "object", "properties": FIELDS}
PREFERS = {"kind": "prefers", "field": "chosen", "over": "rejected"}
ROW = {"prompt": "How long?", "topic": "time", "chosen": "Ten minutes.", "rejected": "No idea.", "tags": ["a", "b"]}


@pytest.fixture
def task(declaring: Callable[..., Task]) -> Callable[[Json], Task]:
    return lambda check: declaring(check, schema=SCHEMA, input=["prompt"], target=["chosen"])


@pytest.fixture
def decide(task: Callable[[Json], Task], of: Callable[..., Candidate]) -> Callable[..., Any]:
    async def made(check: Json, compare: Compare | None) -> Verdict:
        async def embed(_: Any) -> Any:
            raise AssertionError("nothing is embedded")

        tools = Tools(embed, None, lambda _: "unscored", compare)
        [one] = DeclaredChecks(task(check)).of("judge", tools)
        return await one(of(**ROW))

    return made


def answering(found: tuple[float, float] | None) -> tuple[list[tuple[str, Json, Json]], Compare]:
    asked: list[tuple[str, Json, Json]] = []

    async def compare(place: str, first: Json, second: Json) -> tuple[float, float] | None:
        asked.append((place, first, second))
        return found

    return asked, compare


@pytest.mark.parametrize(
    ("found", "outcome", "reason", "score"),
    [
        ((0.9, 0.7), "pass", None, 0.8),
        ((0.51, 0.52), "pass", None, 0.515),
        ((0.2, 0.4), "reject", "not_preferred", 0.3),
        ((0.9, 0.3), "reject", "undecided", 0.6),
        ((0.1, 0.6), "reject", "undecided", 0.35),
        ((0.5, 0.9), "reject", "undecided", 0.7),
        (None, "unscored", "unscored", None),
    ],
)
async def test_the_better_text_has_to_win_in_both_orders(
    decide: Callable[..., Any], found: tuple[float, float] | None, outcome: str, reason: str | None, score: float | None
) -> None:
    verdict = await decide(PREFERS, answering(found)[1])
    assert (verdict.outcome, verdict.reason, verdict.score) == (outcome, reason, score)


async def test_the_judge_sees_the_input_and_no_name_that_gives_the_answer_away(decide: Callable[..., Any]) -> None:
    asked, compare = answering((0.9, 0.9))
    await decide(PREFERS, compare)
    assert asked == [
        (
            "0.0/question0",
            {"prompt": "How long?", "answer": "Ten minutes."},
            {"prompt": "How long?", "answer": "No idea."},
        )
    ]


async def test_the_judge_is_shown_the_fields_that_the_task_names(decide: Callable[..., Any]) -> None:
    asked, compare = answering((0.9, 0.9))
    await decide(PREFERS | {"fields": ["topic", "tags[]"]}, compare)
    assert asked[0][1] == {"topic": "time", "tags[]": "a; b", "answer": "Ten minutes."}


async def test_nothing_is_compared_where_the_run_has_no_judge(decide: Callable[..., Any]) -> None:
    assert (await decide(PREFERS, None)).outcome == "pass"


def test_a_comparison_is_no_yes_or_no_question(task: Callable[[Json], Task]) -> None:
    checks = DeclaredChecks(task(PREFERS))
    assert (checks.questions, checks.compares) == (0, True)


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"over": "chosen"}, "over: 'chosen' is the same as `field`; name the text that should be worse"),
        ({"field": "tags[]"}, "field: 'tags[]' is a list of texts; name a single text"),
        ({"over": "answer"}, "over: 'answer' is not a field of task.schema"),
        ({"fields": ["rejected"]}, "fields: 'rejected' is one of the two texts"),
    ],
)
def test_wrong_keys_are_named(task: Callable[[Json], Task], keys: Json, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        DeclaredChecks(task(PREFERS | keys))
    assert message in str(caught.value)
