"""Limit the requests in flight at one endpoint, and the requests and tokens per minute.

The in-flight limit doubles with every round of answers (slow start, RFC 5681), and halves when the endpoint refuses a
request because of load (as in TCP). The limit remembers the size at which the last refusal came, as in CUBIC (RFC 9438):
it returns to that size quickly, stays there, and tries one more from time to time. Where each refusal costs a pause
(Retry-After), it tries so rarely that the pauses take little of the time. `synthgen.engines.http.waiting_queue` holds the waiting
requests.
"""

import math
import random
import time
from collections.abc import Callable

_START = 4
_TRY_AFTER = 4  # rounds of answers at the remembered size before it tries one more; doubles after each failed try
_MOST_ROUNDS = 256
_PAUSES_A_ROUND = 5  # for each of these rounds, so that the first try comes after 20 times the pause
_LONGEST_REST = 120.0  # seconds without a try, because the endpoint may take more by then
_FIRST_PAUSE, _LONGEST_PAUSE = 0.25, 30.0


class Limit:
    """Hold the in-flight limit of one endpoint: at most `most`; no limit if that is None.

    `held` is the number of places in use. The caller raises it before a request is sent and lowers it afterwards.
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
        self._no_try_until = -math.inf
        self._tickets = 0
        self._fell_at = -1
        self._in_a_row = 0

    @property
    def size(self) -> float:
        """Return the requests that the endpoint may have in flight now; infinite if nothing limits them."""
        return self._size

    def has_room(self) -> bool:
        return self.held < max(1.0, self._size) and self._clock() >= self.paused_until

    def ticket(self) -> int:
        """Return a number for a request about to be sent, which tells its refusal from those of earlier requests."""
        self._tickets += 1
        return self._tickets

    def answered(self) -> None:
        """Count an answer. The limit rises only if all places were in use, because otherwise nothing was learnt."""
        self._in_a_row = 0
        if self.held <= self._size - 1:
            return
        if self._size < self._ceiling:
            self._size = min(self._size + 1, self._ceiling, self._most)  # it doubles with every round of answers
            return
        self._waited += 1
        enough = self._waited >= (1 if self._trying else self._rounds) * self._size
        if enough and self._clock() >= self._no_try_until:
            self._trying, self._waited = True, 0
            self._ceiling = self._ceiling + 1
            self._size = min(self._ceiling, self._most)

    def refused(self, ticket: int, after: float | None = None) -> None:
        """Lower the limit because the endpoint refused the request with this ticket.

        `after` is the pause in seconds that the endpoint asks for. Of several requests that were refused together only
        the first counts, because the others were sent before the limit fell.
        """
        others = max(1, self.held - 1)
        if math.isinf(self._most):  # the server's own metrics set the limit elsewhere
            self.pause(after or 0.0)
            return
        if ticket > self._fell_at:
            self._fell_at, self._in_a_row = self._tickets, self._in_a_row + 1
            self._rounds = min(_MOST_ROUNDS, 2 * self._rounds) if self._trying else self._rounds
            self._trying, self._waited = False, 0
            rest = min(_LONGEST_REST, _PAUSES_A_ROUND * self._rounds * (after or 0.0))
            self._no_try_until = self._clock() + rest
            self._ceiling = others
            self._size = max(1.0, min(self._size, others + 1) / 2)
            if after is None and self._in_a_row > 1:  # a lower limit did not help, so the rate is too high
                after = min(_LONGEST_PAUSE, _FIRST_PAUSE * 2.0 ** (self._in_a_row - 2))
        else:
            self._ceiling = min(self._ceiling, others)
            self._size = min(self._size, self._ceiling)
        if after is not None:
            self.pause(after * random.uniform(1.0, 1.1))

    def pause(self, seconds: float) -> None:
        """Send nothing for this many seconds."""
        self.paused_until = max(self.paused_until, self._clock() + seconds)


class RateLimit:
    """Limit requests and tokens per minute; None for no limit.

    The limits spread evenly over the minute: the requests of one second may be sent at once.
    """

    def __init__(
        self, requests: float | None, tokens: float | None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._seconds = {"requests": 60 / requests if requests else 0.0, "tokens": 60 / tokens if tokens else 0.0}
        self._paid_until = dict.fromkeys(self._seconds, -math.inf)
        self._clock = clock
        self._limits_nothing = not any(self._seconds.values())
        self.counts_tokens = self._seconds["tokens"] > 0

    def wait(self) -> float:
        """Return the seconds until the next request may be sent; 0 if it may be sent now."""
        if self._limits_nothing:
            return 0.0
        return max(0.0, max(self._paid_until.values()) - self._clock() - 1.0)

    def spend(self, tokens: float) -> None:
        """Count a request that is sent, and the most tokens that it may use."""
        if self._limits_nothing:
            return
        now = self._clock()
        for what, amount in (("requests", 1.0), ("tokens", tokens)):
            self._paid_until[what] = max(self._paid_until[what], now) + amount * self._seconds[what]

    def settle(self, tokens: float) -> None:
        """Return tokens that were counted and not used; a negative number counts more."""
        self._paid_until["tokens"] -= tokens * self._seconds["tokens"]
