"""Choose combinations of attribute values so that pairs of values are asked for evenly: a covering design.

Every prefix of the sequence is nearly even, so that a short run gets the same mix as a long one. The position in the
sequence alone decides, which makes a resume exact.
"""

import random
from collections import defaultdict
from collections.abc import Sequence
from functools import cached_property
from heapq import nsmallest
from itertools import combinations, product

from synthgen.tasks.attributes import Attribute

_TIMES, _LEAST_TIMES = 8, 3
"""Times that a block repeats the pairs of the two largest attributes, and the least times where that makes it long."""
_LONG = 4096
"""Rows beyond which a block does not grow for evenness or for rare values."""
_LONGEST = 8192
"""Rows within which a block has all pairs of values. Longer lists of values are covered pair by pair as far as it goes."""
_SHORTLIST = 64
"""Most values of an attribute that are compared for a row: those that occurred least for their share."""
_Row = tuple[int, ...]
"""The index of a value for each attribute. The first attribute is the label."""


class Covering:
    """Give each label an endless sequence of combinations.

    The label takes part in the design like an attribute, so that every label gets all values in their shares. The
    sequence repeats a block of combinations that together have all pairs of values, unless there are thousands of pairs.
    In every repetition, values with equal shares swap places at random.
    """

    def __init__(self, attributes: Sequence[Attribute], labels: Sequence[str | None], seed: int) -> None:
        self._attributes = attributes
        self._labels = labels
        self._seed = seed
        self._shares = [[1 / len(labels)] * len(labels), *(list(one.shares) for one in attributes)]

    def combination(self, label: str | None, number: int) -> dict[str, str]:
        """Return the combination for slot `number`, counted from 0, of those that ask for `label`."""
        rows = self._block[self._labels.index(label)]
        repetition, place = divmod(number, len(rows))
        chosen = zip(self._attributes, rows[place], strict=True)
        return {one.name: one.values[self._swapped(one, value, repetition)] for one, value in chosen}

    def _swapped(self, attribute: Attribute, value: int, repetition: int) -> int:
        """Return the value that takes the place of `value` in a repetition of the block."""
        if not repetition:
            return value
        equal = [place for place, share in enumerate(attribute.shares) if share == attribute.shares[value]]
        shuffled = random.Random(f"{self._seed}/attributes/{attribute.name}/{repetition}").sample(equal, len(equal))
        return shuffled[equal.index(value)]

    @cached_property
    def _block(self) -> list[list[_Row]]:
        """Return the block's combinations for each label, in their order."""
        found: list[list[_Row]] = [[] for _ in self._labels]
        for label, *values in _rows(self._shares, random.Random(f"{self._seed}/attributes")):
            found[label].append(tuple(values))
        return found


def _rows(shares: Sequence[Sequence[float]], rng: random.Random) -> list[_Row]:
    """Return the rows of a block, in which every pair of values occurs if `_LONGEST` rows are enough."""
    pairs = list(combinations(range(len(shares)), 2))
    largest = max(len(shares[a]) * len(shares[b]) for a, b in pairs)
    rarest = min(min(shares[a]) * min(shares[b]) for a, b in pairs)
    complete = _LEAST_TIMES * largest <= _LONGEST
    length = 2 * max(map(len, shares))
    if complete:
        length = max(_LEAST_TIMES * largest, min(_TIMES * largest, _LONG), min(round(1 / rarest), _LONG))
    counts = _Counts(shares, rng)
    rows = [counts.next_row({}) for _ in range(length)]
    for a, b in pairs if complete else []:
        for one, other in product(range(len(shares[a])), range(len(shares[b]))):
            if not counts.pairs[a, one].get((b, other)):
                rows.append(counts.next_row({a: one, b: other}))
    return rows


class _Counts:
    """Count values and pairs of values, and choose the next row to use those that lag behind their shares most.

    A value or pair with share s that occurred c times gets the cost (2c + 1) / s, as in the Sainte-Laguë method of
    apportionment: counts follow the shares at every length.
    """

    def __init__(self, shares: Sequence[Sequence[float]], rng: random.Random) -> None:
        self._shares = shares
        self._rng = rng
        self._own_costs = [[1 / share for share in each] for each in shares]
        """Costs of the values alone, which grow by 2 / s with each occurrence."""
        self.pairs: defaultdict[tuple[int, int], dict[tuple[int, int], int]] = defaultdict(dict)
        """Map an attribute's value to the other attributes' values that it occurred with, and how often."""

    def next_row(self, fixed: dict[int, int]) -> _Row:
        """Choose values one by one, in random order of the attributes, after those in `fixed`. Count the row."""
        chosen = dict(fixed)
        order = [attribute for attribute in range(len(self._shares)) if attribute not in fixed]
        self._rng.shuffle(order)
        for attribute in order:
            costs = [(self._cost(attribute, value, chosen), tie, value) for tie, value in self._shortlist(attribute)]
            chosen[attribute] = min(costs)[2]
        for one, other in combinations(sorted(chosen.items()), 2):
            for first, second in ((one, other), (other, one)):
                self.pairs[first][second] = self.pairs[first].get(second, 0) + 1
        for attribute, value in chosen.items():
            self._own_costs[attribute][value] += 2 / self._shares[attribute][value]
        return tuple(value for _, value in sorted(chosen.items()))

    def _shortlist(self, attribute: int) -> list[tuple[float, int]]:
        """Return the values to compare for a row, each after a random number that decides between equal costs."""
        values = [(cost, self._rng.random(), value) for value, cost in enumerate(self._own_costs[attribute])]
        chosen = values if len(values) <= _SHORTLIST else nsmallest(_SHORTLIST, values)
        return [(tie, value) for _, tie, value in chosen]

    def _cost(self, attribute: int, value: int, chosen: dict[int, int]) -> float:
        share = self._shares[attribute][value]
        seen = self.pairs[attribute, value]
        cost = self._own_costs[attribute][value]
        for other in chosen.items():
            cost += (2 * seen.get(other, 0) + 1) / (share * self._shares[other[0]][other[1]])
        return cost
