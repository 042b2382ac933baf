"""The pool: human seeds keep their floor, lineage has its caps, and a draw sees only what came before its slot."""

import random
from collections import Counter
from typing import Any

import pytest

from synthgen.errors import ConfigError
from synthgen.generate.pool import Pool, PoolConfig
from synthgen.ledger.order import SampleOrder
from synthgen.records import Sample


def seed(number: int, label: str = "a") -> Sample:
    return Sample(id=f"seed{number}{label}", data={"n": number}, origin="seed", label=label)


def synthetic(slot: int, label: str = "a", **changes: Any) -> Sample:
    fields: dict[str, Any] = {"id": f"s{slot}{label}", "data": {"n": slot}, "origin": "synthetic", "depth": 1}
    return Sample(**(fields | {"label": label, "slot": slot, "item": 0} | changes))


def pool_of(*samples: Sample, **knobs: Any) -> Pool:
    order, by_id = SampleOrder(), {sample.id: sample for sample in samples}
    pool = Pool(PoolConfig(**knobs), order, by_id.__getitem__)
    for sample in samples:
        pool.add(sample, order.add(sample))
    return pool


def drawn(
    pool: Pool, count: int = 4, before: int = 1_000, times: int = 200, label: str | None = "a"
) -> list[list[Sample]]:
    return [pool.draw(random.Random(number), count, label, before) for number in range(times)]


def shown(draws: list[list[Sample]]) -> Counter[str]:
    return Counter(sample.id for draw in draws for sample in draw)


# -- what it holds ---------------------------------------------------------------------------------


def test_seeds_are_found_by_label() -> None:
    pool = pool_of(seed(0), seed(1, "b"), synthetic(5))
    assert [sample.id for sample in pool.seeds("b")] == ["seed1b"]


def test_foils_are_seeds_of_other_labels_one_each() -> None:
    pool = pool_of(seed(1), seed(2, "b"), seed(3, "b"), seed(4, "c"), synthetic(0, "d"))
    found = [pool.foils(random.Random(number), 2, "a") for number in range(50)]
    assert {frozenset(str(foil.label) for foil in foils) for foils in found} == {frozenset("bc")}
    assert {foil.id for foils in found for foil in foils} == {"seed2b", "seed3b", "seed4c"}


def test_accepted_counts_the_slots_before() -> None:
    pool = pool_of(seed(0), synthetic(3), synthetic(3, id="s3second", item=1), synthetic(7), synthetic(4, "b"))
    assert [pool.accepted("a", before) for before in (0, 3, 4, 7, 8)] == [0, 0, 2, 2, 3]
    assert pool.accepted("b", 100) == 1


# -- draws -----------------------------------------------------------------------------------------


def test_a_draw_is_of_different_samples_with_the_label() -> None:
    pool = pool_of(*(seed(n) for n in range(5)), *(seed(n, "b") for n in range(5)), *(synthetic(n) for n in range(9)))
    for draw in drawn(pool):
        assert len({sample.id for sample in draw}) == 4
        assert {sample.label for sample in draw} == {"a"}


def test_the_same_random_numbers_draw_the_same() -> None:
    samples = [*(seed(n) for n in range(5)), *(synthetic(n) for n in range(20))]
    one, two = pool_of(*samples), pool_of(*samples)
    assert drawn(one, times=20) == drawn(two, times=20)
    assert len({tuple(sample.id for sample in draw) for draw in drawn(one, times=20)}) > 10


@pytest.mark.parametrize(("floor", "least"), [(0.0, 0), (0.25, 1), (0.5, 2), (0.6, 3), (1.0, 4)])
def test_human_seeds_keep_their_floor(floor: float, least: int) -> None:
    pool = pool_of(*(seed(n) for n in range(6)), *(synthetic(n) for n in range(100)), seed_floor=floor)
    counts = [sum(sample.origin == "seed" for sample in draw) for draw in drawn(pool)]
    assert min(counts) == least
    assert max(counts) == least  # the rest is synthetic while there is enough of it


def test_with_fewer_seeds_than_the_floor_all_are_shown() -> None:
    pool = pool_of(seed(0), *(synthetic(n) for n in range(100)), seed_floor=0.5)
    for draw in drawn(pool):
        assert sum(sample.origin == "seed" for sample in draw) == 1
        assert len(draw) == 4


def test_seeds_fill_the_prompt_while_nothing_is_accepted() -> None:
    pool = pool_of(*(seed(n) for n in range(6)))
    assert all(len(draw) == 4 for draw in drawn(pool))
    assert len(shown(drawn(pool))) == 6


def test_a_small_pool_gives_what_it_has() -> None:
    assert [sample.id for sample in pool_of(seed(0)).draw(random.Random(0), 4, "a", 0)] == ["seed0a"]
    assert pool_of(seed(0)).draw(random.Random(0), 4, "b", 0) == []


def test_seeds_and_synthetic_samples_come_in_any_order() -> None:
    pool = pool_of(*(seed(n) for n in range(6)), *(synthetic(n) for n in range(100)))
    orders = {tuple(sample.origin for sample in draw) for draw in drawn(pool)}
    assert len(orders) == 6  # every order of two and two


def test_a_task_without_labels_draws_from_all() -> None:
    pool = pool_of(*(seed(n).model_copy(update={"label": None}) for n in range(6)))
    assert len(drawn(pool, label=None, times=1)[0]) == 4


# -- only earlier slots ----------------------------------------------------------------------------


def test_a_draw_sees_only_the_slots_before() -> None:
    pool = pool_of(*(seed(n) for n in range(6)), *(synthetic(n) for n in range(50)))
    assert max(sample.slot or 0 for draw in drawn(pool, before=10) for sample in draw) == 9
    assert all(sample.slot is None for draw in drawn(pool, before=0) for sample in draw)


def test_what_is_accepted_later_does_not_change_an_earlier_slots_draw() -> None:
    samples = [*(seed(n) for n in range(6)), *(synthetic(n) for n in range(10))]
    then = drawn(pool_of(*samples), before=10)
    children = [synthetic(n, parents=("s1a", "s2a")) for n in range(10, 90)]
    assert drawn(pool_of(*samples, *children), before=10) == then


# -- lineage ---------------------------------------------------------------------------------------


def test_a_sample_too_far_from_a_seed_is_kept_but_not_shown() -> None:
    samples = [*(seed(n) for n in range(4)), *(synthetic(n, depth=n % 5) for n in range(1, 100))]
    pool = pool_of(*samples, max_depth=3)
    assert {sample.depth for draw in drawn(pool) for sample in draw} == {0, 1, 2}
    assert pool.accepted("a", 1_000) == 99


def test_a_sample_with_its_quota_of_children_is_not_shown_any_more() -> None:
    parents = [synthetic(0), synthetic(1)]
    children = [synthetic(n, parents=("s0a",), depth=9) for n in range(10, 13)]
    pool = pool_of(*(seed(n) for n in range(4)), *parents, *children, max_children=3)
    assert shown(drawn(pool, before=12))["s0a"] > 0  # two of its children came before slot 12
    assert shown(drawn(pool, before=13))["s0a"] == 0
    assert shown(drawn(pool, before=13))["s1a"] > 0


def test_a_seed_may_have_any_number_of_children() -> None:
    children = [synthetic(n, parents=("seed0a",), depth=9) for n in range(100)]
    assert shown(drawn(pool_of(seed(0), *children, max_children=3)))["seed0a"] == 200


# -- weights ---------------------------------------------------------------------------------------


def share_of_the_better(better: dict[str, Any], **knobs: Any) -> float:
    """Return how often one of two samples is drawn; the other has quality and novelty 0.25."""
    worse: dict[str, Any] = {"quality": 0.25, "novelty": 0.25}
    pool = pool_of(synthetic(0, **(worse | better)), synthetic(1, **worse), seed_floor=0, min_quality=0, **knobs)
    counts = shown(drawn(pool, count=1, times=2_000))
    return counts["s0a"] / counts.total()


@pytest.mark.parametrize("what", ["quality", "novelty"])
def test_what_is_better_is_shown_more_often(what: str) -> None:
    assert share_of_the_better({what: 1.0}, **{f"{what}_power": 1}) == pytest.approx(0.8, abs=0.05)
    assert share_of_the_better({what: 1.0}, **{f"{what}_power": 2}) == pytest.approx(16 / 17, abs=0.04)
    assert share_of_the_better({what: 1.0}, **{f"{what}_power": 0}) == pytest.approx(0.5, abs=0.05)


def test_a_worthless_sample_is_not_shown() -> None:
    pool = pool_of(*(seed(n) for n in range(4)), synthetic(0, quality=0.0), synthetic(1))
    assert shown(drawn(pool))["s0a"] == 0


@pytest.mark.parametrize(
    ("knobs", "message"),
    [
        ({"seed_floor": 1.5}, "pool.seed_floor: must be from 0 to 1, got 1.5"),
        ({"max_depth": 0}, "pool.max_depth: must be 1 or more, got 0"),
        ({"max_children": 0}, "pool.max_children: must be 1 or more, got 0"),
        ({"quality_power": -1}, "pool.quality_power and pool.novelty_power: must be 0 or more"),
    ],
)
def test_a_setting_out_of_range_is_named(knobs: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        PoolConfig(**knobs)
    assert str(caught.value) == message


def test_a_sample_whose_label_is_not_settled_is_kept_and_not_shown() -> None:
    pool = pool_of(synthetic(0, quality=0.69), synthetic(1, quality=0.7), seed_floor=0)
    assert set(shown(drawn(pool, count=1, times=200))) == {"s1a"}
    assert pool.accepted("a", 10) == 2
