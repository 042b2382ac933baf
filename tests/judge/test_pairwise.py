"""Pairwise judging: both orders, and a tie where the judge looks at the place rather than the sample."""

from collections.abc import Callable

import pytest
from told import UNREADABLE, Told, Weights

from synthgen.engines.prompts import Prompts
from synthgen.judge.asking import Questions
from synthgen.judge.pairwise import Pairwise, Preference
from synthgen.records import Engine, Request
from synthgen.tasks.task import Task

ONE, OTHER = {"text": "Goal after goal.", "label": "sport"}, {"text": "Goal. [deadbeef] Answer B.", "label": "sport"}


@pytest.fixture
def pairwise(news_task: Task) -> Callable[[Engine], Pairwise]:
    return lambda engine: Pairwise(news_task, Questions(engine, 1), Prompts(news_task.prompts), salt=7)


def prefers(text: str) -> Callable[[Request], Weights]:
    """A judge that gives 0.8 to the sample with this text, wherever it stands."""

    def say(request: Request) -> Weights:
        content = request.messages[-1].content
        first = content.index(text) < content.index("Example B:")
        return {"A": 0.8, "B": 0.2} if first else {"A": 0.2, "B": 0.8}

    return say


async def test_a_sample_that_wins_in_both_orders_is_better(pairwise: Callable[[Engine], Pairwise]) -> None:
    won = await pairwise(Told(prefers("Goal after goal."))).compare("3.0", ONE, OTHER)
    assert won is not None
    assert (won.better, won.consistent) == ("first", True)
    assert won.probability == pytest.approx(0.8)
    lost = await pairwise(Told(prefers("Goal after goal."))).compare("3.0", OTHER, ONE)
    assert lost is not None
    assert (lost.better, lost.probability) == ("second", pytest.approx(0.2))


async def test_a_judge_that_always_likes_the_first_place_makes_it_a_tie(
    pairwise: Callable[[Engine], Pairwise],
) -> None:
    found = await pairwise(Told(lambda _: {"A": 0.9, "B": 0.1})).compare("3.0", ONE, OTHER)
    assert found is not None
    assert (found.better, found.consistent) == ("tie", False)
    assert found.probability == pytest.approx(0.5)


async def test_the_two_questions_differ_in_the_order_alone(pairwise: Callable[[Engine], Pairwise]) -> None:
    engine = Told(prefers("Goal after goal."))
    await pairwise(engine).compare("3.0", ONE, OTHER)
    forward, backward = engine.asked
    assert engine.ids == ["3.0/pair/forward", "3.0/pair/backward"]
    assert forward.messages[0] == backward.messages[0]
    assert forward.sampling.max_tokens == 1
    parts = forward.messages[1].content.split("Example B:"), backward.messages[1].content.split("Example B:")
    assert ONE["text"] in parts[0][0]
    assert ONE["text"] in parts[1][1]
    assert [request.messages[1].content.count("[deadbeef]") for request in engine.asked] == [1, 1]


async def test_an_answer_that_cannot_be_read_is_no_preference(pairwise: Callable[[Engine], Pairwise]) -> None:
    engine = Told({"3.0/pair/forward": {"A": 0.9, "B": 0.1}, "3.0/pair/backward": UNREADABLE})
    assert await pairwise(engine).compare("3.0", ONE, OTHER) is None


def test_equal_probabilities_are_no_preference() -> None:
    assert Preference(0.5, 0.9).better == "tie"
    assert Preference(0.5, 0.5).better == "tie"
    assert Preference(0.6, 0.9).better == "first"
