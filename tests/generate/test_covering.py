"""Covering designs: pairs of values are asked for evenly, weights are kept, and no label misses a value."""

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any

import pytest

from synthgen.generate.covering import Covering
from synthgen.tasks.attributes import Attribute, read_attributes

FOUR_BY_FIVE = read_attributes(
    {name: [f"{name}{n}" for n in range(5)] for name in ("place", "person", "season", "style")}
)
Label = str | None


def counted(
    attributes: Sequence[Attribute], slots: Mapping[Label, int], seed: int = 0, labels: Sequence[Label] = ()
) -> tuple[Counter[Any], Counter[Any]]:
    """Count pairs of values, and values by label, over the first slots of each label."""
    covering = Covering(attributes, labels or list(slots), seed)
    pairs: Counter[Any] = Counter()
    by_label: Counter[Any] = Counter()
    for label, count in slots.items():
        for number in range(count):
            chosen = sorted(covering.combination(label, number).items())
            pairs.update(combinations(chosen, 2))
            by_label.update((label, pair) for pair in chosen)
    return pairs, by_label


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("labels", [[None], ["a", "b", "c", "d"]])
def test_300_slots_ask_for_every_pair_of_4_attributes_with_5_values_evenly(seed: int, labels: list[Label]) -> None:
    pairs, _ = counted(FOUR_BY_FIVE, dict.fromkeys(labels, 300 // len(labels)), seed)
    assert len(pairs) == 150
    assert max(pairs.values()) <= 2 * min(pairs.values())


def test_all_pairs_are_asked_for_within_twice_the_least_possible_number_of_slots() -> None:
    pairs, _ = counted(FOUR_BY_FIVE, {None: 50})
    assert len(pairs) == 150


def test_every_label_gets_all_values_evenly_though_labels_have_unequal_numbers_of_slots() -> None:
    slots: dict[Label, int] = {"a": 90, "b": 75, "c": 66, "d": 80}
    _, by_label = counted(FOUR_BY_FIVE, slots)
    for label, count in slots.items():
        found = [n for (of, _), n in by_label.items() if of == label]
        assert len(found) == 20
        assert max(abs(n - count / 5) for n in found) <= 5


def test_weights_are_kept_at_every_length() -> None:
    attributes = read_attributes({"tone": {"formal": 8, "casual": 1, "rude": 1}, "size": {"short": 9, "long": 1}})
    for count in (40, 400, 2000):
        _, by_label = counted(attributes, {None: count})
        assert by_label[None, ("tone", "formal")] == pytest.approx(0.8 * count, abs=2)
        assert by_label[None, ("size", "long")] == pytest.approx(0.1 * count, abs=2)


def test_the_rarest_pair_of_values_is_asked_for_too() -> None:
    attributes = read_attributes({"tone": {"formal": 97, "rude": 3}, "size": {"short": 97, "long": 3}})
    pairs, _ = counted(attributes, {None: 1200})
    assert 1 <= pairs[("size", "long"), ("tone", "rude")] <= 3


def test_a_long_run_repeats_no_fixed_sequence_and_stays_even() -> None:
    covering = Covering(FOUR_BY_FIVE, [None], 0)
    rows = [tuple(covering.combination(None, number).values()) for number in range(800)]
    assert len({tuple(rows[start : start + 200]) for start in range(0, 800, 200)}) == 4
    pairs, _ = counted(FOUR_BY_FIVE, {None: 800})
    assert max(pairs.values()) / min(pairs.values()) < 1.25


def test_a_combination_depends_on_seed_label_and_number_alone() -> None:
    one, other = (Covering(FOUR_BY_FIVE, ["a", "b"], 3) for _ in range(2))
    forwards = {number: one.combination("a", number) for number in range(300)}
    for number in reversed(range(300)):
        other.combination("b", number)
        assert other.combination("a", number) == forwards[number]
    assert Covering(FOUR_BY_FIVE, ["a", "b"], 4).combination("a", 0) != one.combination("a", 0)


def test_one_attribute_alone_is_asked_for_evenly() -> None:
    _, by_label = counted(read_attributes({"tone": ["formal", "casual", "rude"]}), {None: 30})
    assert set(by_label.values()) == {10}


@pytest.mark.slow
def test_a_list_of_a_thousand_personas_takes_seconds_and_uses_each() -> None:
    attributes = read_attributes({"persona": [f"p{n}" for n in range(1000)], "topic": [f"t{n}" for n in range(20)]})
    began = time.process_time()
    _, by_label = counted(attributes, {None: 2000})
    assert time.process_time() - began < 10
    assert {by_label[None, ("persona", f"p{n}")] for n in range(1000)} == {2}
