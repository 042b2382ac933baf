"""Places for work under way: never more than the size, first come first served, none lost."""

import asyncio
import random

import pytest

from synthgen.engines.window import Window


async def waiting(window: Window, count: int) -> list[asyncio.Task[None]]:
    """So many tasks that wait for a place, in order."""
    tasks = [asyncio.create_task(window.acquire()) for _ in range(count)]
    await asyncio.sleep(0)
    return tasks


async def test_below_the_limit_a_request_does_not_wait() -> None:
    window = Window(2)
    for _ in range(2):
        coroutine = window.acquire()
        with pytest.raises(StopIteration):  # it came to its end at the first step
            coroutine.send(None)
    assert window.held == 2


async def test_places_are_given_in_the_order_of_arrival() -> None:
    window = Window(1)
    await window.acquire()
    first, second = await waiting(window, 2)
    window.release()
    await asyncio.sleep(0)
    assert (first.done(), second.done()) == (True, False)
    window.release()
    await asyncio.sleep(0)
    assert second.done()


async def test_a_new_request_does_not_overtake_waiting_ones() -> None:
    window = Window(1)
    await window.acquire()
    (first,) = await waiting(window, 1)
    window.release()  # the place is the first one's, though it has not run yet
    (late,) = await waiting(window, 1)
    assert (first.done(), late.done()) == (True, False)
    late.cancel()


async def test_a_larger_window_lets_in_at_once() -> None:
    window = Window(1)
    tasks = await waiting(window, 4)
    window.resize(3)
    await asyncio.sleep(0)
    assert [task.done() for task in tasks] == [True, True, True, False]
    tasks[-1].cancel()


async def test_a_smaller_window_waits_for_places_to_be_given_back() -> None:
    window = Window(3)
    for _ in range(3):
        await window.acquire()
    window.resize(1)
    assert (window.held, window.size) == (3, 1)
    (late,) = await waiting(window, 1)
    for held in (2, 1):
        window.release()
        await asyncio.sleep(0)
        assert (window.held, late.done()) == (held, False)
    window.release()
    await asyncio.sleep(0)
    assert late.done()


async def test_a_waiter_that_gives_up_takes_no_place() -> None:
    window = Window(1)
    await window.acquire()
    first, second = await waiting(window, 2)
    first.cancel()
    window.release()
    await asyncio.sleep(0)
    assert second.done()
    assert window.held == 1


async def test_a_waiter_cancelled_at_its_turn_passes_its_place_on() -> None:
    window = Window(1)
    await window.acquire()
    first, second = await waiting(window, 2)
    window.release()
    first.cancel()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert first.cancelled()
    assert second.done()
    assert window.held == 1


async def test_no_place_is_lost_or_added_while_many_requests_come_finish_and_are_cancelled() -> None:
    rng = random.Random(1)
    window, inside, most = Window(5), 0, 5

    async def visit() -> None:
        nonlocal inside
        await window.acquire()
        inside += 1
        try:
            assert inside <= most
            await asyncio.sleep(0)
        finally:
            inside -= 1
            window.release()

    tasks = []
    for _ in range(500):
        tasks.append(asyncio.create_task(visit()))
        if rng.random() < 0.3:
            rng.choice(tasks).cancel()
        if rng.random() < 0.1:
            window.resize(rng.randint(1, 5))
        if rng.random() < 0.5:
            await asyncio.sleep(0)
    window.resize(5)
    outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    assert all(outcome is None or isinstance(outcome, asyncio.CancelledError) for outcome in outcomes)
    assert (window.held, inside) == (0, 0)
