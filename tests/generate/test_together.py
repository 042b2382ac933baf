"""Several requests of one slot at once: their places in flight, their order, and errors."""

import asyncio

import pytest

from synthgen.engines.window import Window
from synthgen.errors import FatalRequestError
from synthgen.generate.together import together
from synthgen.records import Completion, Request


class Counting:
    """Answer after a moment, and count the requests in flight."""

    def __init__(self, fails: str = "") -> None:
        self.now = self.most = 0
        self.asked: list[str] = []
        self._fails = fails

    async def __call__(self, request: Request) -> Completion:
        self.asked.append(request.id)
        self.now += 1
        self.most = max(self.most, self.now)
        try:
            await asyncio.sleep(0.01)
        finally:
            self.now -= 1
        if request.id == self._fails:
            raise FatalRequestError("refused")
        return Completion(text=request.id, finish_reason="stop")


def requests(*ids: str) -> list[Request]:
    return [Request(id=name, messages=()) for name in ids]


async def test_completions_come_in_the_order_of_the_requests() -> None:
    found = await together(requests("a", "b", "c"), Counting())
    assert [completion.text for completion in found] == ["a", "b", "c"]


async def test_requests_take_free_places_and_give_them_back() -> None:
    window, complete = Window(3), Counting()
    await window.acquire()  # the place of the slot
    await together(requests(*"abcdef"), complete, window)
    assert (complete.most, window.held) == (3, 1)


async def test_slots_that_hold_all_places_do_not_wait_for_each_other() -> None:
    window, complete = Window(4), Counting()

    async def slot(name: str) -> None:
        await window.acquire()
        await together(requests(*(f"{name}{n}" for n in range(5))), complete, window)
        window.release()

    async with asyncio.timeout(5):
        await asyncio.gather(*(slot(name) for name in "abcd"))
    assert len(complete.asked) == 20
    assert (complete.most, window.held) == (4, 0)


async def test_an_error_is_raised_and_nothing_more_is_sent() -> None:
    window, complete = Window(2), Counting(fails="b")
    await window.acquire()
    with pytest.raises(FatalRequestError):
        await together(requests(*"abcdef"), complete, window)
    assert set(complete.asked) <= {"a", "b", "c"}
    assert (complete.now, window.held) == (0, 1)


async def test_a_cancelled_slot_leaves_no_request_and_no_place() -> None:
    window, complete = Window(2), Counting()
    await window.acquire()
    task = asyncio.create_task(together(requests(*"abcdef"), complete, window))
    await asyncio.sleep(0.005)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (complete.now, window.held) == (0, 1)
