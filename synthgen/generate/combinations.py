"""Number the combinations of several lists so that any stretch of numbers uses every entry evenly."""

import math
from collections.abc import Sequence


def indices(number: int, sizes: Sequence[int]) -> tuple[int, ...]:
    """Return one index into each of several lists with these sizes.

    The numbers from 0 to the product of the sizes give every combination exactly once. Each step changes the index
    into every list, so that few numbers already use all entries.
    """
    if not sizes:
        return ()
    found: list[int] = []
    for size in reversed(sizes[1:]):
        others = math.prod(sizes[: len(sizes) - 1 - len(found)])
        found.append((number + number // math.lcm(others, size)) % size)
        number %= others
    return (number % sizes[0], *reversed(found))


def turn(number: int, capacities: Sequence[int]) -> tuple[int, int] | None:
    """Return the list whose turn it is and the number of its earlier turns; None when all lists are used up.

    The lists take turns. A list with this many entries drops out when it has had as many turns.
    """
    done = 0
    for capacity in sorted(set(capacities)):
        left = [place for place, most in enumerate(capacities) if most >= capacity]
        turns = len(left) * (capacity - done)
        if number < turns:
            return left[number % len(left)], done + number // len(left)
        number -= turns
        done = capacity
    return None
