"""Where the marks of a chart go. Positions are percentages of its width: the template draws them,
and a chart then fits any screen without a script.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Axis:
    """Hold a horizontal axis with round ticks; `at` places a value on it, 0 to 100."""

    low: float
    high: float
    ticks: tuple[float, ...]
    digits: int

    def at(self, value: float) -> float:
        return round(100 * (value - self.low) / (self.high - self.low), 3)


@dataclass(frozen=True)
class Whisker:
    """Hold a mean with its interval, as positions; `text` stands beside it."""

    name: str
    mean: float
    low: float
    high: float
    text: str
    style: str


def axis(values: Sequence[float], ticks: int = 5) -> Axis:
    """Return a round axis around `values`, with a margin at both ends so that no mark touches the edge."""
    low, high = min(values), max(values)
    spread = (high - low) or abs(high) or 1.0
    low, high = low - 0.08 * spread, high + 0.08 * spread
    step = _round_step((high - low) / ticks)
    first = math.ceil(low / step)
    digits = max(0, -math.floor(math.log10(step)))
    marks = tuple(round(i * step, digits) for i in range(first, math.floor(high / step) + 1))
    return Axis(low, high, marks, digits)


def share(part: float, whole: float) -> float:
    """Return a bar's width in percent; a bar above zero stays visible."""
    if part <= 0 or whole <= 0:
        return 0.0
    return round(max(0.4, min(100.0, 100 * part / whole)), 3)


def heat(part: float, whole: float) -> int:
    """Return a cell's shade, 0 to 9; zero only for zero."""
    if part <= 0 or whole <= 0:
        return 0
    return max(1, min(9, round(9 * part / whole)))


def _round_step(raw: float) -> float:
    """Return the next 1, 2 or 5 times a power of ten."""
    power = 10.0 ** math.floor(math.log10(raw))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= raw * 0.999)
