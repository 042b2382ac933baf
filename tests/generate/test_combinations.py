"""Combinations of lists: each once, and every entry evenly."""

from collections import Counter
from itertools import product
from math import prod

import pytest

from synthgen.generate.combinations import indices, turn


@pytest.mark.parametrize("sizes", [(), (5,), (3, 4), (4, 4, 4), (2, 3, 6), (4, 6, 9)])
def test_every_combination_comes_once(sizes: tuple[int, ...]) -> None:
    found = [indices(number, sizes) for number in range(prod(sizes))]
    assert sorted(found) == sorted(product(*map(range, sizes)))


def test_any_stretch_uses_the_entries_evenly() -> None:
    for axis, size in enumerate((4, 6, 9)):
        counts = Counter(indices(number, (4, 6, 9))[axis] for number in range(50))
        assert len(counts) == size and max(counts.values()) - min(counts.values()) <= 2


def test_lists_take_turns_until_each_is_used_up() -> None:
    assert [turn(number, [2, 1, 3]) for number in range(7)] == [(0, 0), (1, 0), (2, 0), (0, 1), (2, 1), (2, 2), None]
