"""Find the request that kills the engine.

The requests that were in flight at an engine death become suspects. They are sent again a few at a time, until the
engine dies with only one in flight. A request is a culprit when the engine has died at least twice with it in flight,
and the last time with no other. All other suspects are cleared by their answers, one restart after the first death.
"""

import asyncio
import math
import time
from collections import Counter
from collections.abc import Iterable, Mapping

_MOST_BATCHES = 64  # up to this many suspects are sent one by one; more are sent in this many batches
_MISSING_SECONDS = 5.0


class Suspects:
    """Find the requests that kill the engine.

    `deaths` counts, for each request, the engine deaths at which it was in flight; `culprits` are the known ones. Both
    come from the ledger on resume.
    """

    def __init__(self, deaths: Mapping[str, int], culprits: Iterable[str] = ()) -> None:
        self._deaths = Counter(deaths)
        self._culprits = set(culprits)
        self._suspected = set(deaths) - self._culprits
        self._most_suspected: set[str] = set()
        self._in_flight: set[str] = set()
        self._on_trial: set[str] = set()
        self._last_seen = time.monotonic()
        self._changed = asyncio.Event()
        self._rank()

    def deaths(self, request_id: str) -> int:
        return self._deaths[request_id]

    def is_culprit(self, request_id: str) -> bool:
        return request_id in self._culprits

    @property
    def in_flight(self) -> frozenset[str]:
        """Return the requests in flight now."""
        return frozenset(self._in_flight)

    async def enter(self, request_id: str) -> None:
        """Wait until the request may be sent; it holds a place until `leave`."""
        while not self._may_go(request_id):
            await self._wait()
        self._in_flight.add(request_id)
        if request_id in self._suspected:
            self._on_trial.add(request_id)

    def leave(self, request_id: str) -> None:
        """Release the place, because the request was answered or the engine is dead."""
        self._in_flight.discard(request_id)
        if request_id in self._on_trial:
            self._on_trial.discard(request_id)
            self._last_seen = time.monotonic()
            self._changed.set()

    def clear(self, request_id: str) -> None:
        """Clear a request of suspicion, because the engine answered it."""
        if request_id in self._deaths:
            del self._deaths[request_id]
            self._suspected.discard(request_id)
            self._rank()

    def count_death(self, request_id: str, in_flight: frozenset[str]) -> bool:
        """Count an engine death for a request; return True if the request is the culprit.

        `in_flight` holds all the requests that were in flight at that death.
        """
        self._deaths[request_id] += 1
        is_culprit = self._deaths[request_id] > 1 and in_flight == {request_id}
        if is_culprit:
            self._culprits.add(request_id)
            self._suspected.discard(request_id)
        else:
            self._suspected.add(request_id)
        self._rank()
        return is_culprit

    def expect(self) -> None:
        """Make other requests wait for a while, because the suspects are about to be sent again."""
        self._last_seen = time.monotonic()

    def give_up(self) -> None:
        """End all waiting, because no engine is left to test suspects on."""
        self._suspected.clear()
        self._rank()

    def _rank(self) -> None:
        """Find the suspects that were in flight at the most deaths; they are sent first."""
        worst = max((self._deaths[suspect] for suspect in self._suspected), default=0)
        self._most_suspected = {suspect for suspect in self._suspected if self._deaths[suspect] == worst}
        self._changed.set()

    def _may_go(self, request_id: str) -> bool:
        if not self._suspected:
            return True
        if request_id in self._most_suspected:
            return len(self._on_trial) < math.ceil(len(self._most_suspected) / _MOST_BATCHES)
        # A suspect may never be sent again, because its slot may have been given up: limit the wait for it.
        return not self._on_trial and time.monotonic() - self._last_seen > _MISSING_SECONDS

    async def _wait(self) -> None:
        self._changed.clear()
        try:
            async with asyncio.timeout(_MISSING_SECONDS / 2):
                await self._changed.wait()
        except TimeoutError:
            return
