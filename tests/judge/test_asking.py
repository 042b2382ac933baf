"""Questions put to engines that give no logprobs, or hold the answer to no grammar: answers are counted."""

import pytest

from synthgen.engines.grammar.schema import choice
from synthgen.judge.asking import Questions
from synthgen.records import Completion, Message, Request

OPTIONS = ("business", "sport")


class Plain:
    """An engine that answers with texts alone, one after another."""

    name = "plain"

    def __init__(self, *texts: str) -> None:
        self.asked: list[Request] = []
        self._texts = list(texts)

    async def complete(self, request: Request) -> Completion:
        self.asked.append(request)
        return Completion(text=self._texts.pop(0), finish_reason="stop")

    async def aclose(self) -> None:
        pass


async def ask(engine: Plain, votes: int = 1, attempts: int = 2) -> tuple[dict[str, float] | None, Questions]:
    questions = Questions(engine, attempts, votes=votes)
    messages = (Message(role="user", content="Label?"),)
    found, _ = await questions.ask("0.0/label", messages, choice(OPTIONS), OPTIONS, 1)
    return found, questions


async def test_one_answer_is_the_whole_vote() -> None:
    engine = Plain("Sport")
    found, _ = await ask(engine)
    assert found == {"business": 0.0, "sport": 1.0}
    assert len(engine.asked) == 1


async def test_several_answers_are_counted_and_drawn_at_temperature_one() -> None:
    engine = Plain("sport", "business", "sport", "neither")
    found, _ = await ask(engine, votes=4)
    assert found == pytest.approx({"business": 1 / 3, "sport": 2 / 3})
    assert [request.sampling.temperature for request in engine.asked] == [0.0, 1.0, 1.0, 1.0]
    assert [request.id for request in engine.asked[1:]] == [f"0.0/label/vote{vote}" for vote in (1, 2, 3)]


async def test_an_answer_that_begins_a_sentence_is_asked_for_with_room_for_one() -> None:
    engine = Plain("The", "The label is sport.")
    found, _ = await ask(engine)
    assert found == {"business": 0.0, "sport": 1.0}
    assert [request.sampling.max_tokens for request in engine.asked] == [1, 32]


async def test_the_model_is_asked_not_to_think_and_has_room_where_it_does() -> None:
    engine = Plain("sport")
    questions = Questions(engine, 1, thinking_tokens=64)
    await questions.ask("0.0/label", (Message(role="user", content="Label?"),), choice(OPTIONS), OPTIONS, 1)
    (asked,) = engine.asked
    assert (asked.thinking, asked.sampling.max_tokens, asked.sampling.thinking_tokens) == (False, 1, 64)


async def test_an_answer_that_names_nothing_stays_unreadable() -> None:
    assert (await ask(Plain("Hello!", "Hello!")))[0] is None
