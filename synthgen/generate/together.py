"""Send several requests of one slot at once, within the in-flight limit."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence

from synthgen.engines.window import Window
from synthgen.records import Completion, Request


async def together(
    requests: Sequence[Request], complete: Callable[[Request], Awaitable[Completion]], window: Window | None = None
) -> tuple[Completion, ...]:
    """Return the completions of requests that do not depend on each other, in their order.

    The slot already holds one place of `window`. That place sends the requests one after another; every further place
    that becomes free helps. So no slot waits for places that other waiting slots hold. Without a window, send all
    requests at once. After an error send no further request, wait for those in flight, and raise it.
    """
    left = deque(enumerate(requests))
    found: dict[int, Completion] = {}

    async def work() -> None:
        try:
            while left:
                number, request = left.popleft()
                found[number] = await complete(request)
        except BaseException:
            left.clear()
            raise

    async def help_out() -> None:
        if window is None:
            await work()
            return
        await window.acquire()
        waiting.discard(asyncio.current_task())
        try:
            await work()
        finally:
            window.release()

    helpers = [asyncio.create_task(help_out()) for _ in requests[1:]]
    waiting: set[asyncio.Task[None] | None] = set() if window is None else set(helpers)
    try:
        await work()
        for helper in waiting:
            if helper is not None:
                helper.cancel()  # nothing is left for it to send
        ended = await asyncio.gather(*helpers, return_exceptions=True)
    finally:
        for helper in helpers:
            helper.cancel()
        await asyncio.gather(*helpers, return_exceptions=True)
    for error in ended:
        if isinstance(error, BaseException) and not isinstance(error, asyncio.CancelledError):
            raise error
    return tuple(found[number] for number in range(len(requests)))
