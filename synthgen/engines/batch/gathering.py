"""Choose the gathered requests that make up the next batch."""

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from synthgen.engines.batch.following import SentBatch
from synthgen.errors import FatalRequestError
from synthgen.records import Request


@dataclass(frozen=True)
class BatchSettings:
    """Hold the settings of the batches; `synthgen.engines.batch.config` explains them."""

    least_requests: int
    most_requests: int
    most_bytes: int
    quiet: float
    poll: float
    window: str
    path: str
    judge_batches: bool
    patience: float


@dataclass
class Gathered:
    """Hold a request that waits to be sent."""

    request: Request
    sent: asyncio.Future[SentBatch | None]
    """The batch that it is in; None if it goes to the chat API."""


def choose(
    gathered: deque[Gathered],
    chosen: list[Gathered],
    most_requests: int,
    most_bytes: int,
    to_line: Callable[[Request], bytes],
) -> bytes:
    """Move requests of one model from `gathered` into `chosen`, up to the limits, and return the file of their lines.

    Cancelled requests are dropped. `to_line` returns the line of a request; if it raises FatalRequestError, so does the
    request.
    """
    content, waiting = bytearray(), deque(gathered)
    gathered.clear()
    while waiting:
        one = waiting.popleft()
        if one.sent.done():  # cancelled
            continue
        other_model = chosen and one.request.adapter != chosen[0].request.adapter
        if other_model or len(chosen) == most_requests:
            gathered.append(one)
            continue
        try:
            line = to_line(one.request)
        except FatalRequestError as error:
            one.sent.set_exception(error)
            continue
        if content and len(content) + len(line) > most_bytes:
            gathered.append(one)
            break
        content += line
        chosen.append(one)
    gathered.extend(waiting)
    return bytes(content)
