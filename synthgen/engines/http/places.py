"""Assign places at an engine's endpoints, within each endpoint's limit and the rate limit of all together."""

import asyncio
import math
import time
from collections.abc import Sequence

from synthgen.engines.http.dialect import Dialect
from synthgen.engines.http.endpoint import Endpoint
from synthgen.engines.http.limits import Limit, RateLimit
from synthgen.engines.http.thinking import room
from synthgen.engines.http.waiting_queue import Turn, WaitingQueue
from synthgen.records import Completion, Request

_TICK = 0.001  # seconds of tolerance, because clocks are inexact


def _slot(request_id: str) -> int:
    """Return the slot that a request id begins with; -1 for requests before the first slot."""
    number = request_id.partition("/")[0].partition(".")[0]
    return int(number) if number.isdecimal() else -1


class EndpointState:
    """Hold an endpoint and its state in the circuit breaker."""

    def __init__(self, endpoint: Endpoint, most: int | None) -> None:
        self.endpoint = endpoint
        self.limit = Limit(most)
        self.answered_at = -math.inf
        self.refusing_since: float | None = None
        """Time of the first refusal because of load since its last answer."""
        self.down_since: float | None = None
        """None while it is up; infinity if it is permanently out of use."""
        self.up_since = -math.inf
        self.why = ""
        self.setbacks = 0
        self.failing: set[str] = set()
        self.health_check: asyncio.Task[bool] | None = None
        self.recovery: asyncio.Task[None] | None = None
        self.unreadable = 0


class Places:
    """Assign places at the least loaded endpoint that is up, in the order of the requests' priorities."""

    def __init__(self, members: Sequence[EndpointState], pace: RateLimit) -> None:
        self._members = members
        self._pace = pace
        self._line: WaitingQueue[EndpointState] = WaitingQueue(self._take, self.give_back, self._opens_in)
        self._turns: dict[str, Turn] = {}
        """Turns of requests that were refused because of load."""

    def at_once(self, request: Request) -> EndpointState | None:
        """Reserve a place where one is free and no other request waits; return None otherwise. This needs no turn."""
        member = None if self._line.waiting else self._take()
        if member is not None and self._turns:
            self._turns.pop(request.id, None)
        return member

    def turn(self, request: Request) -> Turn:
        """Return the request's turn; a request that was refused because of load keeps its old turn.

        Of two requests with the same priority, that of the earlier slot goes first, because slots are settled in order.
        """
        return self._turns.pop(request.id, None) or self._line.turn(request.priority, _slot(request.id))

    def keep_turn(self, request: Request, turn: Turn) -> None:
        self._turns[request.id] = turn

    async def wait(self, turn: Turn) -> EndpointState | None:
        """Reserve a place at an endpoint and return that endpoint; None when `wake_all` wakes all waiting requests."""
        return await self._line.wait(turn)

    def give_back(self, member: EndpointState) -> None:
        member.limit.held -= 1
        self._line.move()

    def move(self) -> None:
        """Assign the places that have become free."""
        self._line.move()

    def wake_all(self) -> None:
        self._line.wake_all()

    def close(self) -> None:
        self._line.close()

    def spend(self, request: Request, dialect: Dialect) -> float:
        """Count a request that is sent; return the most tokens that it may use, 0 if tokens are not counted."""
        tokens = 0.0
        if self._pace.counts_tokens:
            tokens = sum(len(message.content) for message in request.messages) / 4
            tokens += request.sampling.max_tokens + room(dialect, request)
        self._pace.spend(tokens)
        return tokens

    def settle(self, expected: float, completion: Completion) -> None:
        """Replace the expected tokens of a request by the tokens that its answer used."""
        if self._pace.counts_tokens:
            self._pace.settle(expected - completion.prompt_tokens - completion.completion_tokens)

    def _take(self) -> EndpointState | None:
        if self._pace.wait() > 0:
            return None
        now = time.monotonic()
        best: EndpointState | None = None
        for member in self._members:
            if best is not None and member.limit.held >= best.limit.held:
                continue
            if member.down_since is None and member.limit.has_room() and member.endpoint.no_quota_until <= now:
                best = member
        if best is not None:
            best.limit.held += 1
        return best

    def _opens_in(self) -> float | None:
        """Return the seconds until an endpoint may get more requests; None if time alone frees no place."""
        if (wait := self._pace.wait()) > 0:
            return wait + _TICK
        now = time.monotonic()
        up = [member for member in self._members if member.down_since is None]
        pauses = [max(member.limit.paused_until, member.endpoint.no_quota_until) - now for member in up]
        return min((pause + _TICK for pause in pauses if pause > 0), default=None)
