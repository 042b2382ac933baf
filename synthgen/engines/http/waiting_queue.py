"""Queue the requests that wait for a place at an endpoint, the most urgent first."""

import asyncio
import heapq
from collections.abc import Callable
from itertools import count
from typing import Generic, TypeVar

Place = TypeVar("Place")
Turn = tuple[int, int, int]
"""The request's priority, its slot, and its number in the queue. A refused request keeps all three."""


class WaitingQueue(Generic[Place]):
    """Assign free places in the order of the turns.

    `take` reserves a free place and returns it, or None if none is free. `give_back` releases the place of a cancelled
    request. `opens_in` returns the seconds after which a place may become free by itself, or None if none will.
    """

    def __init__(
        self,
        take: Callable[[], Place | None],
        give_back: Callable[[Place], None],
        opens_in: Callable[[], float | None],
    ) -> None:
        self._take = take
        self._give_back = give_back
        self._opens_in = opens_in
        self._numbers = count()
        self._waiting: list[tuple[Turn, int, asyncio.Future[Place | None]]] = []
        self._timer: asyncio.TimerHandle | None = None

    def turn(self, priority: int, slot: int = -1) -> Turn:
        return priority, slot, next(self._numbers)

    @property
    def waiting(self) -> bool:
        return bool(self._waiting)

    async def wait(self, turn: Turn) -> Place | None:
        """Return a place when it is the request's turn; None when `wake_all` wakes all waiting requests."""
        if not self._waiting and (place := self._take()) is not None:
            return place
        waiter: asyncio.Future[Place | None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._waiting, (turn, next(self._numbers), waiter))
        self.move()
        try:
            return await waiter
        except asyncio.CancelledError:
            if waiter.done() and not waiter.cancelled() and (place := waiter.result()) is not None:
                self._give_back(place)
            raise

    def move(self) -> None:
        """Assign the places that are free now; schedule the next call if time alone may free one."""
        while self._waiting:
            waiter = self._waiting[0][2]
            if not waiter.done():
                if (place := self._take()) is None:
                    self._come_back()
                    return
                waiter.set_result(place)
            heapq.heappop(self._waiting)

    def wake_all(self) -> None:
        """Wake all waiting requests without giving them a place."""
        waiting, self._waiting = self._waiting, []
        for _, _, waiter in waiting:
            if not waiter.done():
                waiter.set_result(None)

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def _come_back(self) -> None:
        seconds = self._opens_in()
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None if seconds is None else asyncio.get_running_loop().call_later(seconds, self.move)
