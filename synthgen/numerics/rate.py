"""Estimate how many events a second there are, from the latest quarter of a second or so."""

import math
import time
from collections.abc import Callable

_SECONDS = 0.25


class Rate:
    """Count events and forget them exponentially."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._at = clock()
        self._rate = 0.0

    def add(self, count: int) -> None:
        """Count `count` events now."""
        self._rate = self.per_second() + count / _SECONDS

    def per_second(self) -> float:
        """Return the present rate."""
        now = self._clock()
        self._rate *= math.exp((self._at - now) / _SECONDS)
        self._at = now
        return self._rate
