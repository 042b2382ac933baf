"""An engine that dies is started again within its budget; what it may have died of is not sent a third time."""

import asyncio

import pytest

from synthgen.errors import EngineDeadError, EngineDiedError, PoisonError, RetryableError
from synthgen.llm import supervisor as module
from synthgen.llm.supervisor import Supervisor
from synthgen.records import Completion, Message, Request


class Mortal:
    """Dies of the word 'poison', and of `deaths_left` whatever it is asked."""

    name = "mortal"

    def __init__(self, failing: bool = False) -> None:
        self.failing = failing
        self.dead = self.closed = False

    async def complete(self, request: Request) -> Completion:
        await asyncio.sleep(0)
        if self.failing:
            raise RetryableError("500")
        self.dead = self.dead or "poison" in request.messages[0].content
        if self.dead:
            raise EngineDeadError("gone")
        return Completion(text="fine", finish_reason="stop")

    async def aclose(self) -> None:
        self.closed = True


def request(name: str, text: str = "hello") -> Request:
    return Request(id=name, messages=(Message(role="user", content=text),))


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_FIRST_WAIT", 0.0)


def supervised(budget: int, first: Mortal, *later: Mortal) -> tuple[Supervisor, list[str]]:
    engines, news = list(later), list[str]()

    async def start() -> Mortal:
        if not engines:
            raise EngineDeadError("does not come up")
        return engines.pop(0)

    return Supervisor(first, start, budget, news.append), news


async def test_a_dead_engine_is_closed_and_another_answers() -> None:
    first, second = Mortal(), Mortal()
    engine, news = supervised(1, first, second)
    with pytest.raises(EngineDiedError):
        await engine.complete(request("0/generate", "poison"))
    assert first.closed
    assert (await engine.complete(request("1/generate"))).text == "fine"
    assert news == ["starting the engine again (1 of 1 this hour): gone"]


async def test_many_requests_at_one_death_start_one_engine() -> None:
    first, second = Mortal(), Mortal()
    first.dead = True
    engine, news = supervised(3, first, second)
    outcomes = await asyncio.gather(
        *(engine.complete(request(f"{n}/generate")) for n in range(20)), return_exceptions=True
    )
    assert {type(outcome) for outcome in outcomes} == {EngineDiedError}
    assert len(news) == 1


async def test_a_prompt_at_two_deaths_is_not_sent_again() -> None:
    engine, _ = supervised(5, Mortal(), Mortal(), Mortal())
    for _ in range(2):
        with pytest.raises(EngineDiedError):
            await engine.complete(request("7/generate", "poison"))
    with pytest.raises(PoisonError, match="in flight at 2 engine deaths"):
        await engine.complete(request("7/generate", "poison"))
    assert (await engine.complete(request("8/generate"))).text == "fine"


async def test_deaths_of_earlier_sessions_count() -> None:
    engine = Supervisor(Mortal(), lambda: asyncio.sleep(0, Mortal()), 1, lambda _: None, {"7/generate": 2})
    with pytest.raises(PoisonError):
        await engine.complete(request("7/generate"))


async def test_past_its_budget_the_engine_stays_dead() -> None:
    engine, _ = supervised(1, Mortal(), Mortal(), Mortal())
    with pytest.raises(EngineDiedError):
        await engine.complete(request("0/generate", "poison"))
    with pytest.raises(EngineDeadError, match="gone"):
        await engine.complete(request("1/generate", "poison"))
    with pytest.raises(EngineDeadError, match="restart budget is used up"):
        await engine.complete(request("2/generate"))


async def test_an_engine_that_does_not_come_up_is_tried_again_within_the_budget() -> None:
    engine, news = supervised(3, Mortal())
    with pytest.raises(EngineDeadError, match="does not come up"):
        await engine.complete(request("0/generate", "poison"))
    assert len(news) == 3


async def test_a_storm_of_failures_is_a_death() -> None:
    first = Mortal(failing=True)
    engine, news = supervised(1, first, Mortal())
    for number in range(32):
        with pytest.raises(RetryableError):
            await engine.complete(request(f"{number}/generate"))
    assert first.closed
    assert "32 requests failed in a row" in news[0]
    assert (await engine.complete(request("99/generate"))).text == "fine"


async def test_without_a_budget_failures_are_left_to_the_caller() -> None:
    first = Mortal(failing=True)
    engine, _ = supervised(0, first)
    for number in range(40):
        with pytest.raises(RetryableError):
            await engine.complete(request(f"{number}/generate"))
    assert not first.closed
