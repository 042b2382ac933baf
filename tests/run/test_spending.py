"""Prices, and the budget that keeps slots from starting when they could cost more than is left."""

import asyncio

import pytest

from synthgen.engines.prices import PricesConfig
from synthgen.errors import ConfigError
from synthgen.records import Completion, Message, Request, Sampling
from synthgen.run.spending import Spending, Spent

PRICES = PricesConfig(prompt=1.0, cached=0.5, completion=10.0)
ANSWER = Completion(text="{}", finish_reason="stop", prompt_tokens=100_000, completion_tokens=10_000)  # 0.20 dollars


def generate(slot: int) -> Request:
    message = Message(role="user", content="x" * 30)
    return Request(id=f"{slot}/generate", messages=(message,), sampling=Sampling(max_tokens=20_000))


def spending(budget: float | None, spent: Spent | None = None) -> Spending:
    return Spending(lambda _: PRICES, budget, spent)


async def settled(spending: Spending, slot: int) -> None:
    spending.sending(generate(slot), slot)
    spending.answered(generate(slot), slot, ANSWER)
    spending.closes(slot)


async def waits(spending: Spending, slot: int) -> bool:
    """Return True if a slot has to wait for others, and leave the wait."""
    try:
        async with asyncio.timeout(0.01):
            await spending.opens(slot)
    except TimeoutError:
        return True
    return False


def test_a_request_costs_its_prompt_its_cached_tokens_and_its_answer() -> None:
    assert PRICES.usd(1_000_000, 0, 0) == 1.0
    assert PRICES.usd(1_000_000, 1_000_000, 100_000) == 1.5
    assert PricesConfig(prompt=2.0, completion=0.0).usd(1_000_000, 500_000, 7) == 2.0


def test_tokens_that_the_server_does_not_count_are_counted_by_characters() -> None:
    uncounted = Completion(text="y" * 300, finish_reason="stop")
    assert PRICES.of(generate(0), uncounted) == pytest.approx((10 * 1.0 + 100 * 10.0) / 1e6)


@pytest.mark.parametrize(
    ("prices", "words"),
    [
        ({"prompt": -1.0, "completion": 1.0}, "engine.prices.prompt: must be 0 or more"),
        ({"prompt": 1.0}, "engine.prices: give prompt and completion"),
        ({"cached": 1.0}, "engine.prices: give prompt and completion"),
    ],
)
def test_prices_that_say_too_little_are_refused(prices: dict[str, float], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        PricesConfig(**prices).check("engine.prices")


async def test_without_a_budget_every_slot_starts_and_costs_are_counted() -> None:
    counted = spending(None)
    assert all([await counted.opens(slot) for slot in range(100)])
    assert counted.usd is None
    await settled(counted, 3)
    assert counted.usd == pytest.approx(0.2)
    assert counted.exhausted() is None


async def test_few_slots_start_until_one_has_told_what_it_costs() -> None:
    counted = spending(100.0)
    assert all([await counted.opens(slot) for slot in range(4)])
    assert await waits(counted, 4)
    await settled(counted, 0)
    assert not await waits(counted, 4)


async def test_slots_in_flight_never_cost_more_than_is_left() -> None:
    counted = spending(1.0, Spent(0.0, {"/generate": 0.2}))
    assert all([await counted.opens(slot) for slot in range(5)])
    assert await waits(counted, 5)
    await settled(counted, 0)  # what it cost is gone for good
    assert await waits(counted, 5)
    for slot in range(1, 5):
        await settled(counted, slot)
    assert not await counted.opens(5)
    assert counted.usd == pytest.approx(1.0)
    assert counted.exhausted() == "budget_usd"


async def test_a_slot_that_turns_out_cheap_makes_room_for_another() -> None:
    counted = spending(0.5, Spent(0.0, {"/generate": 0.2}))
    assert all([await counted.opens(slot) for slot in range(2)])
    waiting = asyncio.create_task(counted.opens(2))
    await asyncio.sleep(0)
    assert not waiting.done()
    counted.closes(0)
    assert await waiting


async def test_the_questions_of_a_judge_count_as_part_of_the_next_slots() -> None:
    counted = spending(1.0, Spent(0.0, {"/generate": 0.2}))
    await counted.opens(0)
    judged = generate(0).model_copy(update={"id": "0.0/rubric/natural"})
    counted.sending(judged, 0)
    counted.answered(judged, 0, ANSWER)
    assert await counted.opens(1)  # 0.2 spent, and 0.2 and 0.4 to come
    assert await waits(counted, 2)


def test_what_earlier_sessions_spent_counts() -> None:
    assert spending(1.0, Spent(0.9, {"/generate": 0.2})).exhausted() == "budget_usd"
    assert spending(2.0, Spent(0.9, {"/generate": 0.2})).exhausted() is None
