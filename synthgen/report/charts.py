"""Compute the positions of a chart's marks, as percentages of its width.

The template draws the marks. Percentages make a chart fit any screen without a script.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Axis:
    """Hold a horizontal axis with round ticks. `at` returns the position of a value, from 0 to 100."""

    low: float
    high: float
    ticks: tuple[float, ...]
    digits: int

    def at(self, value: float) -> float:
        return round(100 * (value - self.low) / (self.high - self.low), 3)


@dataclass(frozen=True)
class Whisker:
    """Hold the positions of a mean and its interval. `text` is shown beside them."""

    name: str
    mean: float
    low: float
    high: float
    text: str
    style: str


def axis(values: Sequence[float], ticks: int = 5) -> Axis:
    """Return an axis with round ends around `values`, with a margin so that no mark touches the edge."""
    low, high = min(values), max(values)
    spread = (high - low) or abs(high) or 1.0
    low, high = low - 0.08 * spread, high + 0.08 * spread
    step = _round_step((high - low) / ticks)
    first = math.ceil(low / step)
    digits = max(0, -math.floor(math.log10(step)))
    marks = tuple(round(i * step, digits) for i in range(first, math.floor(high / step) + 1))
    return Axis(low, high, marks, digits)


def share(part: float, whole: float) -> float:
    """Return a bar's width in percent. A bar above zero is always wide enough to be visible."""
    if part <= 0 or whole <= 0:
        return 0.0
    return round(max(0.4, min(100.0, 100 * part / whole)), 3)


def heat(part: float, whole: float) -> int:
    """Return a cell's shade, from 0 to 9. Only a value of zero has shade 0."""
    if part <= 0 or whole <= 0:
        return 0
    return max(1, min(9, round(9 * part / whole)))


def _round_step(raw: float) -> float:
    """Round up to 1, 2 or 5 times a power of ten."""
    power = 10.0 ** math.floor(math.log10(raw))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= raw * 0.999)
