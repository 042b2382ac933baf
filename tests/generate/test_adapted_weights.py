"""The bandit that moves strategies' weights: its floor, its preference, and what it depends on."""

import json
import random
from collections.abc import Sequence

import pytest

from synthgen.errors import ConfigError
from synthgen.generate.adapt import Bandit, SettledSlot
from synthgen.generate.kinds import GenerateConfig
from synthgen.records import Json

SHARES = {"fewshot": 0.5, "attributes": 0.3, "evolve": 0.2}


def bandit(floor: float = 0.25, seed: int = 0) -> Bandit:
    return Bandit(SHARES, floor, 16, seed)


def after(slots: Sequence[SettledSlot], floor: float = 0.25) -> Bandit:
    found = bandit(floor)
    for slot in slots:
        found.settled(slot)
    return found


class Keeping:
    """Keeps each list of rounds as JSON, as a ledger does."""

    def __init__(self, kept: list[str]) -> None:
        self._kept = kept

    def __call__(self, rounds: list[Json]) -> None:
        self._kept.append(json.dumps(rounds))


def rounds_of(*kinds: SettledSlot, rounds: int = 8) -> list[SettledSlot]:
    """Slots of each kind in turn, for so many rounds of 16 slots."""
    return [kinds[number % len(kinds)] for number in range(16 * rounds)]


def test_the_first_round_has_the_configured_shares() -> None:
    found = after([SettledSlot("evolve", [0.9], 20)] * 15)
    assert found.shares(0) == found.shares(15) == SHARES


def test_a_strategy_that_yields_nothing_sinks_to_its_floor() -> None:
    good, worse, nothing = (
        SettledSlot("fewshot", [0.6], 30),
        SettledSlot("attributes", [0.5], 30),
        SettledSlot("evolve", [0.0], 30),
    )
    found = after(rounds_of(good, worse, nothing))
    assert found.shares(128)["evolve"] == pytest.approx(0.25 * 0.2)
    assert sum(found.shares(128).values()) == pytest.approx(1)


def test_a_slot_without_candidates_counts_as_one_that_was_rejected() -> None:
    lost, good = SettledSlot("evolve", [], 30), SettledSlot("fewshot", [0.6], 30)
    assert after(rounds_of(lost, good)).shares(128)["evolve"] == pytest.approx(0.05)


def test_of_two_that_are_accepted_alike_the_one_with_fewer_tokens_gets_more() -> None:
    cheap, dear = SettledSlot("evolve", [0.5], 20), SettledSlot("fewshot", [0.5], 80)
    shares = after(rounds_of(cheap, dear)).shares(128)
    assert shares["evolve"] > 0.5 > 0.2 > shares["fewshot"] >= 0.125


def test_a_strategy_that_costs_nothing_and_yields_little_does_not_win() -> None:
    free, good = SettledSlot("evolve", [0.01], 0), SettledSlot("fewshot", [0.6], 40)
    shares = after(rounds_of(free, good, SettledSlot("attributes", [0.0], 40))).shares(128)
    assert shares["fewshot"] > 0.5 > shares["evolve"]


def test_of_several_candidates_in_a_slot_each_counts_with_its_part_of_the_tokens() -> None:
    one, four = SettledSlot("evolve", [0.5], 25), SettledSlot("fewshot", [0.5] * 4, 100)
    shares = after(rounds_of(one, four)).shares(128)
    assert shares["evolve"] > 0.1 and shares["fewshot"] > 0.2


def test_with_a_floor_of_one_the_shares_stay_as_they_are() -> None:
    shares = after(rounds_of(SettledSlot("evolve", [0.9], 10), SettledSlot("fewshot", [0.0], 90)), floor=1.0)
    assert shares.shares(128) == pytest.approx(SHARES)


def test_shares_follow_from_slots_before_the_round_alone() -> None:
    rng = random.Random(1)
    slots = [SettledSlot(rng.choice(list(SHARES)), [rng.random()], rng.randrange(90)) for _ in range(160)]
    whole = after(slots)
    for cut in (0, 5, 16, 47, 48, 100):
        kept: list[str] = []
        resumed = bandit()
        resumed.restore(iter(slots[:cut]), Keeping(kept))
        assert resumed.rounds == whole.rounds[: cut // 16 + 1]
        for slot in slots[cut:]:
            resumed.settled(slot)
        assert resumed.rounds == whole.rounds
        assert [len(json.loads(each)) for each in kept] == list(range(cut // 16 + 1, 12))


def test_a_slot_of_a_strategy_that_is_gone_counts_for_the_round_alone() -> None:
    found = after([SettledSlot("steered", [0.9], 10)] * 16)
    assert [each["slot"] for each in found.rounds] == [0, 16]


@pytest.mark.parametrize("floor", [-0.1, 1.5, float("nan")])
def test_a_floor_out_of_range_is_named(floor: float) -> None:
    with pytest.raises(ConfigError, match=r"generate\.adapt_floor: must be from 0 to 1, got"):
        GenerateConfig(adapt_floor=floor)
