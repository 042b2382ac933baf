"""Who killed the engine: what was in flight at a death is sent again a few at a time, until one is caught alone.

A prompt is guilty when the engine dies of it twice, and the second time nothing else was there. So of the
many that were in flight at the first death the innocent are cleared by their answers, one restart later.
"""

import asyncio
import math
import time
from collections import Counter
from collections.abc import Iterable, Mapping

_MOST_BATCHES = 64  # up to so many suspects go one by one; of more, as many at a time as keep to it
_MISSING_SECONDS = 5.0


class Suspects:
    """Find the request that kills the engine. `deaths` counts the deaths at which a request was in flight.

    Both come from the ledger on resume.
    """

    def __init__(self, deaths: Mapping[str, int], guilty: Iterable[str] = ()) -> None:
        self._deaths = Counter(deaths)
        self._guilty = set(guilty)
        self._at_large = set(deaths) - self._guilty
        self._first: set[str] = set()
        self._present: set[str] = set()
        self._trying: set[str] = set()
        self._last_seen = time.monotonic()
        self._moved = asyncio.Event()
        self._rank()

    def deaths(self, request_id: str) -> int:
        return self._deaths[request_id]

    def is_guilty(self, request_id: str) -> bool:
        return request_id in self._guilty

    @property
    def present(self) -> frozenset[str]:
        """Return the requests in flight now."""
        return frozenset(self._present)

    async def enter(self, request_id: str) -> None:
        """Wait until the request may be sent; it holds a place until `leave`."""
        while not self._may_go(request_id):
            await self._wait()
        self._present.add(request_id)
        if request_id in self._at_large:
            self._trying.add(request_id)

    def leave(self, request_id: str) -> None:
        """Give the place back: the request was answered, or the engine is dead."""
        self._present.discard(request_id)
        if request_id in self._trying:
            self._trying.discard(request_id)
            self._last_seen = time.monotonic()
            self._moved.set()

    def clear(self, request_id: str) -> None:
        """Drop the suspicion: the engine answered the request."""
        if request_id in self._deaths:
            del self._deaths[request_id]
            self._at_large.discard(request_id)
            self._rank()

    def blame(self, request_id: str, company: frozenset[str]) -> bool:
        """Count an engine death for the requests in flight; return True when this request is the cause."""
        self._deaths[request_id] += 1
        caught = self._deaths[request_id] > 1 and company == {request_id}
        if caught:
            self._guilty.add(request_id)
            self._at_large.discard(request_id)
        else:
            self._at_large.add(request_id)
        self._rank()
        return caught

    def expect(self) -> None:
        """Make other requests wait a while for the suspects, which are about to be sent again."""
        self._last_seen = time.monotonic()

    def disband(self) -> None:
        """End all waiting: there is no engine any more to test suspects on."""
        self._at_large.clear()
        self._rank()

    def _rank(self) -> None:
        """Order requests by the number of deaths they were present at, most first."""
        worst = max((self._deaths[suspect] for suspect in self._at_large), default=0)
        self._first = {suspect for suspect in self._at_large if self._deaths[suspect] == worst}
        self._moved.set()

    def _may_go(self, request_id: str) -> bool:
        if not self._at_large:
            return True
        if request_id in self._first:
            return len(self._trying) < math.ceil(len(self._first) / _MOST_BATCHES)
        # A suspect may never come back: its slot may have been given up. Nobody waits for it for ever.
        return not self._trying and time.monotonic() - self._last_seen > _MISSING_SECONDS

    async def _wait(self) -> None:
        self._moved.clear()
        try:
            async with asyncio.timeout(_MISSING_SECONDS / 2):
                await self._moved.wait()
        except TimeoutError:
            return
