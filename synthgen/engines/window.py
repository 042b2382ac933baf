"""Limit the work in flight to a window whose size may change while it is used."""

import asyncio
from collections import deque


class Window:
    """Limit how many places are in use at once to `size`; places taken before it shrank stay.

    `acquire` waits for its turn if no place is free; otherwise it creates no task and no future.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._held = 0
        self._waiters: deque[asyncio.Future[None]] = deque()

    @property
    def size(self) -> int:
        return self._size

    @property
    def held(self) -> int:
        """Return the number of places in use, including those beyond a limit that shrank."""
        return self._held

    async def acquire(self) -> None:
        """Take a place. A caller cancelled while waiting has taken none."""
        if self._held < self._size and not self._waiters:
            self._held += 1
            return
        waiter = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        try:
            await waiter
        except asyncio.CancelledError:
            if waiter.done() and not waiter.cancelled():
                self.release()  # it was already this caller's turn, so pass the place on
            raise

    def release(self) -> None:
        """Release a place."""
        self._held -= 1
        self._assign_free()

    def resize(self, size: int) -> None:
        """Change the limit: growth takes effect at once, shrinking as places are released."""
        self._size = size
        self._assign_free()

    def _assign_free(self) -> None:
        while self._waiters and self._held < self._size:
            waiter = self._waiters.popleft()
            if not waiter.done():
                self._held += 1
                waiter.set_result(None)
