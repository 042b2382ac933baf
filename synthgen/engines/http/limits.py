"""How many requests one endpoint is sent at once, and how many a minute.

The number at once follows what the endpoint refuses: it rises while requests are answered, and falls by half when one
is refused for load (AIMD, as in TCP). The number at which the last refusal came is remembered, as in CUBIC (RFC 9438):
the limit returns to it quickly, waits there, and tries one more from time to time. Waiting for a place is left to
`synthgen.engines.http.line`.
"""

import math
import random
import time
from collections.abc import Callable

_START = 4
_GROWTH = 0.5  # places an answer, until the first refusal: half as many again with every round of answers
_TRY_AFTER = 4  # rounds of answers at the remembered number before one more is tried; doubled by each try in vain
_MOST_ROUNDS = 256
_FIRST_PAUSE, _LONGEST_PAUSE = 0.25, 30.0


class Limit:
    """The places of one endpoint: `most` at most; without it, as many as are asked for.

    `held` is the number of places taken. It is the caller's to raise before a request is sent and to lower afterwards.
    """

    def __init__(self, most: int | None, clock: Callable[[], float] = time.monotonic) -> None:
        self.held = 0
        self.paused_until = -math.inf
        self._most = float(most) if most is not None else math.inf
        self._clock = clock
        self._size = min(self._most, _START) if most is not None else math.inf
        self._ceiling = math.inf
        self._rounds = _TRY_AFTER
        self._trying = False
        self._waited = 0
        self._tickets = 0
        self._fell_at = -1
        self._in_a_row = 0

    @property
    def size(self) -> float:
        """Requests that the endpoint may have now; infinite where nothing limits them."""
        return self._size

    def has_room(self) -> bool:
        return self.held < max(1.0, self._size) and self._clock() >= self.paused_until

    def ticket(self) -> int:
        """Number a request that is about to be sent, so that its refusal is told from those of an earlier load."""
        self._tickets += 1
        return self._tickets

    def answered(self) -> None:
        """Count an answer. The limit rises only where all places were taken, because else nothing was learnt."""
        self._in_a_row = 0
        if self.held <= self._size - 1:
            return
        if self._size < self._ceiling:
            step = _GROWTH if math.isinf(self._ceiling) else 1.0
            self._size = min(self._size + step, self._ceiling, self._most)
            return
        self._waited += 1
        if self._waited >= (1 if self._trying else self._rounds) * self._size:
            self._trying, self._waited = True, 0
            self._ceiling = self._ceiling + 1
            self._size = min(self._ceiling, self._most)

    def refused(self, ticket: int, after: float | None = None) -> None:
        """Let the limit fall because the request with this ticket was refused for load.

        `after` is how many seconds the endpoint asks to be left alone. Of several requests that were refused together
        only the first counts: the others were sent before the limit fell.
        """
        others = max(1, self.held - 1)
        if math.isinf(self._most):  # somebody else says how many there may be: the server's own metrics
            self.pause(after or 0.0)
            return
        if ticket > self._fell_at:
            self._fell_at, self._in_a_row = self._tickets, self._in_a_row + 1
            self._rounds = min(_MOST_ROUNDS, 2 * self._rounds) if self._trying else self._rounds
            self._trying, self._waited = False, 0
            self._ceiling = others
            self._size = max(1.0, min(self._size, others + 1) / 2)
            if after is None and self._in_a_row > 1:  # fewer at once did not help: it is the rate that is too high
                after = min(_LONGEST_PAUSE, _FIRST_PAUSE * 2.0 ** (self._in_a_row - 2))
        else:
            self._ceiling = min(self._ceiling, others)
            self._size = min(self._size, self._ceiling)
        if after is not None:
            self.pause(after * random.uniform(1.0, 1.1))

    def pause(self, seconds: float) -> None:
        """Send nothing for so many seconds."""
        self.paused_until = max(self.paused_until, self._clock() + seconds)


class Pace:
    """Requests and tokens a minute, evenly over it: what one second allows may be sent at once. None is no bound."""

    def __init__(
        self, requests: float | None, tokens: float | None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._seconds = {"requests": 60 / requests if requests else 0.0, "tokens": 60 / tokens if tokens else 0.0}
        self._paid_until = dict.fromkeys(self._seconds, -math.inf)
        self._clock = clock

    @property
    def counts_tokens(self) -> bool:
        return self._seconds["tokens"] > 0

    def wait(self) -> float:
        """Return the seconds until the next request may be sent; 0 where it may be now."""
        if not any(self._seconds.values()):
            return 0.0
        return max(0.0, max(self._paid_until.values()) - self._clock() - 1.0)

    def spend(self, tokens: float) -> None:
        """Count a request that is sent, and the tokens that it may take."""
        now = self._clock()
        for what, amount in (("requests", 1.0), ("tokens", tokens)):
            self._paid_until[what] = max(self._paid_until[what], now) + amount * self._seconds[what]

    def settle(self, tokens: float) -> None:
        """Give back tokens that were counted and not taken; a negative number counts more."""
        self._paid_until["tokens"] -= tokens * self._seconds["tokens"]
