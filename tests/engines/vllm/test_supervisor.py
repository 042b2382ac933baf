"""An engine that dies is started again within its budget; what it died of is not sent any more."""

import asyncio
from collections.abc import Callable

import pytest

from synthgen.engines.vllm import supervisor as module
from synthgen.engines.vllm.supervisor import Supervisor
from synthgen.errors import (
    EngineDeadError,
    EngineDiedError,
    EngineError,
    EngineGoneError,
    FatalRequestError,
    PoisonError,
    RetryableError,
)
from synthgen.records import Completion, Message, Request


class Mortal:
    """Dies of the word 'poison', and says `error` to everything if it has one."""

    name = "mortal"

    def __init__(self, error: EngineError | None = None) -> None:
        self.error = error
        self.dead = self.closed = False
        self.asked: list[str] = []

    async def complete(self, request: Request) -> Completion:
        self.asked.append(request.id)
        await asyncio.sleep(0)
        if self.error is not None:
            raise self.error
        self.dead = self.dead or "poison" in request.messages[0].content
        await asyncio.sleep(0)
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


News = list[tuple[str, str]]


def supervised(budget: int, first: Mortal, *later: Mortal) -> tuple[Supervisor, News]:
    engines, news = list(later), News()

    async def start() -> Mortal:
        if not engines:
            raise EngineDeadError("does not come up")
        return engines.pop(0)

    return Supervisor(first, start, budget, lambda kind, words: news.append((kind, words))), news


async def persist(engine: Supervisor, asked: Request) -> str:
    """Return what becomes of a request that is sent again for as long as the engine is to blame."""
    while True:
        try:
            return (await engine.complete(asked)).text
        except RetryableError as error:
            assert error.charge == 0
        except PoisonError:
            return "poison"


async def test_a_dead_engine_is_closed_and_another_answers() -> None:
    first, second = Mortal(), Mortal()
    engine, news = supervised(1, first, second)
    with pytest.raises(EngineDiedError):
        await engine.complete(request("0/generate", "poison"))
    assert first.closed
    assert (await engine.complete(request("0/generate"))).text == "fine"
    assert news == [("engine_restart", "starting the engine again (1 of 1 this hour): gone")]


async def test_many_requests_at_one_death_start_one_engine() -> None:
    first, second = Mortal(), Mortal()
    first.dead = True
    engine, news = supervised(3, first, second)
    outcomes = await asyncio.gather(
        *(engine.complete(request(f"{n}/generate")) for n in range(20)), return_exceptions=True
    )
    assert {type(outcome) for outcome in outcomes} == {EngineDiedError}
    assert len(news) == 1


async def test_of_64_requests_in_flight_the_one_that_kills_the_engine_is_quarantined_after_two_restarts() -> None:
    engine, news = supervised(4, *(Mortal() for _ in range(5)))
    asking = (persist(engine, request(f"{n}/generate", "poison" if n == 41 else "hello")) for n in range(64))
    fates = await asyncio.gather(*asking)
    assert [number for number, fate in enumerate(fates) if fate == "poison"] == [41]
    assert [kind for kind, _ in news] == ["engine_restart", "engine_restart", "quarantined"]
    assert "41/generate is not sent any more: in flight at 2 engine deaths, alone at the last" in news[-1][1]
    with pytest.raises(PoisonError):
        await engine.complete(request("41/generate", "poison"))


async def test_requests_made_during_a_slow_start_are_not_sent_along_with_a_suspect(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("synthgen.engines.vllm.suspects._MISSING_SECONDS", 0.1)
    engines, news = [Mortal() for _ in range(4)], News()

    async def start() -> Mortal:
        await asyncio.sleep(0.3)
        return engines.pop()

    engine = Supervisor(engines.pop(), start, 4, lambda kind, words: news.append((kind, words)))

    async def late(name: str) -> str:
        await asyncio.sleep(0.05)  # the first engine is dead by then
        return await persist(engine, request(name))

    killer = persist(engine, request("0/generate", "poison"))
    fates = await asyncio.gather(killer, *(late(f"{n}/generate") for n in range(1, 9)))
    assert fates == ["poison", *["fine"] * 8]
    assert [kind for kind, _ in news] == ["engine_restart", "engine_restart", "quarantined"]


async def test_a_request_found_to_kill_by_the_last_restart_is_quarantined_for_the_next_session() -> None:
    engine, _ = supervised(1, Mortal(), Mortal())
    with pytest.raises(EngineDiedError):
        await engine.complete(request("7/generate", "poison"))
    with pytest.raises(PoisonError):
        await engine.complete(request("7/generate", "poison"))
    with pytest.raises(EngineGoneError, match="after 1 restarts within the hour: gone"):
        await engine.complete(request("8/generate"))


async def test_deaths_and_quarantines_of_earlier_sessions_count() -> None:
    async def start() -> Mortal:
        return Mortal()

    engine = Supervisor(Mortal(), start, 3, lambda *_: None, {"7/generate": 1, "8/generate": 2}, {"8/generate"})
    with pytest.raises(PoisonError, match="this request killed the engine before"):
        await engine.complete(request("8/generate"))
    with pytest.raises(PoisonError, match="in flight at 2 engine deaths"):
        await engine.complete(request("7/generate", "poison"))


async def test_a_request_that_the_engine_never_received_is_no_suspect() -> None:
    engine, news = supervised(3, Mortal(EngineGoneError("the server died")), Mortal(), Mortal())
    with pytest.raises(RetryableError) as caught:
        await engine.complete(request("0/generate", "poison"))
    assert caught.value.charge == 0
    with pytest.raises(EngineDiedError):
        await engine.complete(request("0/generate", "poison"))
    assert [kind for kind, _ in news] == ["engine_restart", "engine_restart"]


@pytest.mark.slow
async def test_past_the_restart_budget_the_engine_stays_dead_and_says_why() -> None:
    engine, _ = supervised(1, Mortal(), Mortal())
    with pytest.raises(EngineDiedError):
        await engine.complete(request("0/generate", "poison"))
    with pytest.raises(EngineDeadError, match="after 1 restarts within the hour: gone"):
        await engine.complete(request("1/generate", "poison"))


async def test_past_the_restart_budget_no_suspect_is_kept_waiting() -> None:
    engine, _ = supervised(1, Mortal(), Mortal(EngineDeadError("gone again")))
    asking = (persist(engine, request(f"{n}/generate", "poison" if n == 0 else "hello")) for n in range(64))
    async with asyncio.timeout(20):
        fates = await asyncio.gather(*asking, return_exceptions=True)
    assert all(isinstance(fate, EngineDeadError) or fate == "poison" for fate in fates)


async def test_a_request_after_the_engine_was_stopped_starts_no_other_engine() -> None:
    engine, news = supervised(3, Mortal(EngineGoneError("the client was closed")), Mortal())
    await engine.aclose()
    with pytest.raises(EngineGoneError, match="the engine was stopped"):
        await engine.complete(request("0/canary"))
    assert news == []


async def test_without_a_restart_budget_the_first_death_is_final() -> None:
    engine, news = supervised(0, Mortal(EngineGoneError("no endpoint answers")))
    with pytest.raises(EngineGoneError, match=r"^no endpoint answers$"):
        await engine.complete(request("0/generate"))
    assert news == []


async def test_an_engine_that_does_not_come_up_is_tried_again_within_the_budget() -> None:
    engine, news = supervised(3, Mortal())
    with pytest.raises(EngineDeadError, match="does not come up"):
        await engine.complete(request("0/generate", "poison"))
    assert len(news) == 3


async def test_each_restart_waits_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float] = []

    async def sleep(seconds: float) -> None:
        waits.append(seconds)

    monkeypatch.setattr(module, "_FIRST_WAIT", 1.0)
    engine, _ = supervised(8, Mortal(EngineDeadError("gone")))
    real = asyncio.sleep
    monkeypatch.setattr(module.asyncio, "sleep", lambda seconds: sleep(seconds) if seconds else real(0))
    with pytest.raises(EngineDeadError):
        await engine.complete(request("0/generate"))
    for wait, expected in zip(waits, [1, 2, 4, 8, 16, 32, 60, 60], strict=True):
        assert 0.5 * expected <= wait <= 1.5 * expected
    assert len({wait / expected for wait, expected in zip(waits, [1, 2, 4, 8, 16, 32, 60, 60], strict=True)}) > 1


@pytest.mark.parametrize("error", [RetryableError("500"), FatalRequestError("too long")])
async def test_errors_of_a_living_engine_are_passed_on(error: EngineError) -> None:
    first = Mortal(error)
    engine, news = supervised(3, first)
    for number in range(40):
        with pytest.raises(type(error)):
            await engine.complete(request(f"{number}/generate"))
    assert not first.closed
    assert news == []


class Paced(Mortal):
    """One that says how much it should have."""

    def __init__(self, limit: int) -> None:
        super().__init__()
        self.limit = limit

    def on_limit(self, callback: Callable[[int], None]) -> None:
        callback(self.limit)


async def test_the_in_flight_limit_of_a_new_engine_replaces_that_of_the_dead_one() -> None:
    engine, _ = supervised(1, Paced(64), Paced(32))
    heard: list[int] = []
    engine.on_limit(heard.append)
    assert heard == [64]
    with pytest.raises(RetryableError):
        await engine.complete(request("a", "poison"))
    assert heard == [64, 32]


async def test_an_engine_without_an_in_flight_limit_announces_none() -> None:
    engine, _ = supervised(1, Mortal())
    heard: list[int] = []
    engine.on_limit(heard.append)
    assert (await engine.complete(request("a"))).text
    assert heard == []
