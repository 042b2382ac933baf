"""Test that the request that killed the engine is found among many, one restart after the first death, and nobody else is blamed."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from synthgen.engines.vllm import suspects as module
from synthgen.engines.vllm.suspects import Suspects


@asynccontextmanager
async def turn(suspects: Suspects, name: str) -> AsyncIterator[None]:
    await suspects.enter(name)
    try:
        yield
    finally:
        suspects.leave(name)


class Line:
    """An engine that dies of some requests; each death is a restart later a new engine."""

    def __init__(self, suspects: Suspects, killers: set[str]) -> None:
        self.suspects = suspects
        self.killers = killers
        self.deaths = 0
        self.most_at_once: list[int] = []
        self._poisoned = asyncio.Event()
        self._in_flight_at_death: frozenset[str] = frozenset()

    async def send(self, name: str) -> str:
        """As the supervisor does it, until the request is answered or caught."""
        while True:
            async with turn(self.suspects, name):
                poisoned = self._poisoned
                self.most_at_once.append(len(self.suspects.in_flight))
                await asyncio.sleep(0.002)
                if name in self.killers and not poisoned.is_set():
                    self._die()
                died = await self._served(poisoned)
                if not died:
                    self.suspects.clear(name)
                    return "answered"
                if self.suspects.count_death(name, self._in_flight_at_death):
                    return "caught"
            self.suspects.expect()

    async def _served(self, poisoned: asyncio.Event) -> bool:
        try:
            await asyncio.wait_for(poisoned.wait(), 0.005)
        except TimeoutError:
            return False
        return True

    def _die(self) -> None:
        self.deaths += 1
        self._in_flight_at_death = self.suspects.in_flight
        self._poisoned.set()
        self._poisoned = asyncio.Event()


@pytest.mark.slow
@pytest.mark.parametrize(("count", "restarts"), [(1, 2), (3, 2), (64, 2), (200, 3)])
async def test_of_many_requests_in_flight_only_the_one_that_kills_is_caught(count: int, restarts: int) -> None:
    line = Line(Suspects({}), {"17"} if count > 17 else {"0"})
    fates = await asyncio.gather(*(line.send(str(number)) for number in range(count)))
    assert [str(n) for n, fate in enumerate(fates) if fate == "caught"] == list(line.killers)
    assert line.deaths == restarts


async def test_two_requests_that_kill_are_both_caught() -> None:
    line = Line(Suspects({}), {"5", "40"})
    fates = await asyncio.gather(*(line.send(str(number)) for number in range(64)))
    assert {str(n) for n, fate in enumerate(fates) if fate == "caught"} == {"5", "40"}
    assert line.deaths == 3


async def test_suspects_go_alone_and_others_wait_for_them() -> None:
    suspects = Suspects({"a": 1, "b": 1})
    order: list[str] = []

    async def go(name: str) -> None:
        async with turn(suspects, name):
            order.append(f"{name} begins")
            await asyncio.sleep(0.01)
            order.append(f"{name} ends")
        suspects.clear(name)

    await asyncio.gather(go("fresh"), go("a"), go("b"))
    assert order == ["a begins", "a ends", "b begins", "b ends", "fresh begins", "fresh ends"]


@pytest.mark.slow
async def test_many_suspects_go_a_few_at_a_time() -> None:
    names = [str(number) for number in range(300)]
    line = Line(Suspects(dict.fromkeys(names, 1)), set())
    await asyncio.gather(*(line.send(name) for name in names))
    assert max(line.most_at_once) == 5


async def test_requests_do_not_wait_for_ever_for_suspects_that_are_never_answered(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "_MISSING_SECONDS", 0.1)
    suspects = Suspects({"gone": 1})
    began = time.monotonic()
    async with turn(suspects, "fresh"):
        assert time.monotonic() - began > 0.09


async def test_a_cancelled_request_frees_its_place() -> None:
    suspects = Suspects({"a": 1, "b": 1})
    async with turn(suspects, "a"):
        waiting = asyncio.create_task(suspects.enter("b"))
        await asyncio.sleep(0.01)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
    async with asyncio.timeout(20), turn(suspects, "b"):
        assert suspects.in_flight == {"b"}


async def test_a_request_quarantined_in_an_earlier_session_stays_quarantined() -> None:
    suspects = Suspects({"a": 2, "b": 1}, culprits={"a"})
    assert suspects.is_culprit("a")
    assert not suspects.is_culprit("b")


async def test_waiting_requests_are_released_when_the_engine_is_gone() -> None:
    suspects = Suspects({"a": 1, "b": 2})
    async with turn(suspects, "b"):
        waiting = asyncio.create_task(suspects.enter("a"))
        await asyncio.sleep(0.01)
        suspects.give_up()
        await asyncio.wait_for(waiting, 1)
