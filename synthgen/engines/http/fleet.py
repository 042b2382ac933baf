"""One engine out of one or several endpoints: who is asked, who is left alone, and whose fault a failure was.

Requests go to the least loaded endpoint that is up. When one fails there, the endpoint is asked a question
that it could answer before, for one token (a probe). If it answers that, the failure was the request's own, or
one that it shared with others. If not, the endpoint is down: nothing but the probe is sent there, again and
again at growing distances, until it is answered. Probes are not part of the run and stand in no ledger.

An endpoint that refuses requests for load is well, and stays up: it is sent fewer at once (`limits`), and those that it
refused keep their turn in the line.
"""

import asyncio
import dataclasses
import math
import random
import time
from collections.abc import Callable, Sequence

from synthgen.engines.base import Tell
from synthgen.engines.http.dialect import in_words
from synthgen.engines.http.endpoint import (
    BusyError,
    Endpoint,
    OverloadedError,
    UnfitError,
    UnreachableError,
)
from synthgen.engines.http.fitness import no_logprobs, readable, unfit, warm_up_requests
from synthgen.engines.http.limits import Pace
from synthgen.engines.http.line import Turn
from synthgen.engines.http.places import Member, Places
from synthgen.engines.http.questions import find_out
from synthgen.errors import EngineGoneError, FatalRequestError, RetryableError
from synthgen.records import Completion, Grammar, Json, Message, Request

_PROBE_SECONDS = 30.0
_SECOND_LOOK = 0.1
_FIRST_WAIT = 0.5
_LONGEST_WAIT = 60.0
_STEADY_SECONDS = 60.0  # an endpoint that fails again sooner is left alone for longer
_ALONE = 2  # distinct requests that fail before a probe is answered; of more, none is to blame alone
_SHARED = 0.2  # of an attempt: what fails in company may still be what the company suffers from
_MOST_UNREADABLE = 8  # answers in a row without the logprobs that were asked for
_FIRST_IN_LINE = -1  # a probe's priority


class Fleet:
    """An Engine over `endpoints`. When all of them have been down for `patience` seconds it is dead."""

    name = "openai"

    def __init__(
        self,
        endpoints: Sequence[Endpoint],
        patience: float,
        tell: Tell,
        most: int | None = None,
        pace: Pace | None = None,
        known: Json | None = None,
    ) -> None:
        """Send each endpoint `most` requests at once, and fewer where it refuses some; without it, all that come.

        With `known`, the rest of each endpoint's dialect is found out by `warm_up`; without it, it is what it is.
        """
        self._members = [Member(endpoint, most) for endpoint in endpoints]
        self._known = known
        self._grammars: Sequence[Grammar] = ()
        self._unknown = set[Member]() if known is None else set(self._members)
        self._places = Places(self._members, pace or Pace(None, None))
        self._patience = patience
        self._tell = tell
        self._known_good = Request(id="-1/hello", messages=(Message(role="user", content="Hello"),))
        self._probes = 0
        self._someone_up = asyncio.Event()
        self._someone_up.set()
        self._abandoned = ""

    def about(self) -> Json:
        """Return the endpoints' dialects and, in words, what each is sent."""
        endpoints = [member.endpoint for member in self._members]
        return {
            "dialects": {endpoint.url: dataclasses.asdict(endpoint.dialect) for endpoint in endpoints},
            "speaks": {endpoint.url: in_words(endpoint.dialect) for endpoint in endpoints},
        }

    async def complete(self, request: Request) -> Completion:
        """Waits while all endpoints are down. Raises a RetryableError whose charge says whose fault it was,
        FatalRequestError for a refusal, EngineGoneError when patience is at its end.
        """
        turn = self._places.turn(request)
        member = await self._place(turn)
        limit, ticket = member.limit, member.limit.ticket()
        tokens = self._places.spend(request)
        try:
            completion = await member.endpoint.complete(request)
        except BusyError as error:
            self._places.keep_turn(request, turn)
            self._refused(member, ticket, error)
            raise
        except (UnreachableError, UnfitError) as error:
            self._leave_alone(member, error)
            raise RetryableError(str(error), charge=0.0) from error
        except RetryableError as error:
            if isinstance(error, OverloadedError):
                limit.refused(ticket)
            raise RetryableError(str(error), await self._charge(member, request.id)) from error
        else:
            limit.answered()
        finally:
            self._places.give_back(member)
        member.refusing_since = None
        self._places.settle(tokens, completion)
        self._learn(member, request, completion)
        return completion

    async def warm_up(
        self, grammars: Sequence[Grammar], say: Callable[[str], None], adapters: Sequence[str] = ()
    ) -> None:
        """Has every endpoint answer one request an adapter and a grammar, one after another, before traffic comes all
        at once.

        So adapters are loaded and grammars compiled, and a wrong model, a wrong key, missing logprobs and grammars that
        are left unread are found now.
        Raises EngineGoneError where no endpoint can be used.
        """
        requests, self._grammars = warm_up_requests(grammars, adapters), grammars
        self._known_good = requests[-1][1] if requests else self._known_good
        await asyncio.gather(*(self._warm(member, requests, say) for member in self._members))
        if not self._someone_up.is_set():
            say(f"no endpoint answers so far; waiting {self._patience:.0f} s at most:{self._reasons()}")
        self._places.give_back(await self._place(self._places.turn(self._known_good)))

    def abandon(self, words: str) -> str:
        """The engine behind the endpoints is gone for good: whoever waits for one learns of it.

        Returns the words of whoever was first to say so.
        """
        self._abandoned = self._abandoned or words
        self._someone_up.set()
        self._places.stir()
        return self._abandoned

    async def aclose(self) -> None:
        self._places.close()
        for member in self._members:
            for task in (member.inquiry, member.nurse):
                if task is not None:
                    task.cancel()
            await member.endpoint.aclose()

    # -- who is asked ------------------------------------------------------------------------------

    async def _place(self, turn: Turn) -> Member:
        """Wait for a place at an endpoint. Raises EngineGoneError when all were down for too long."""
        while True:
            left = self._patience_left()
            try:
                async with asyncio.timeout(left):
                    if left is not None:
                        await self._someone_up.wait()
                    elif (member := await self._places.wait(turn)) is not None:
                        return member
            except TimeoutError:
                continue

    def _patience_left(self) -> float | None:
        """Return the seconds to wait for an endpoint; None while one is up. Raises EngineGoneError."""
        if self._abandoned:
            raise EngineGoneError(self._abandoned)
        down = [member.down_since for member in self._members]
        if None in down:
            return None
        hopeful = [since for since in down if since is not None and since < math.inf]
        left = max(hopeful) + self._patience - time.monotonic() if hopeful else 0.0
        if left <= 0:
            raise EngineGoneError(f"no endpoint answers:{self._reasons()}")
        return left

    def _refused(self, member: Member, ticket: int, error: BusyError) -> None:
        """Send an endpoint fewer requests, because it refused one for load; leave it alone if it refuses all of them."""
        now = time.monotonic()
        member.limit.refused(ticket, error.after)
        member.refusing_since = member.refusing_since or now
        if now - member.refusing_since > self._patience or (error.after or 0) > self._patience:
            self._leave_alone(member, error)

    def _reasons(self) -> str:
        reasons = dict.fromkeys(member.why for member in self._members if member.down_since is not None)
        return "".join(f"\n  {reason}" for reason in reasons) if len(reasons) > 1 else " ".join(["", *reasons])

    # -- whose fault it was ------------------------------------------------------------------------

    async def _charge(self, member: Member, request_id: str) -> float:
        """What a failure costs its request: an attempt where the endpoint is well and few others failed."""
        if member.down_since is not None:
            return _SHARED
        failing = member.failing
        failing.add(request_id)
        if member.inquiry is None:
            member.inquiry = asyncio.create_task(self._inquire(member))
        inquiry = member.inquiry
        await asyncio.wait([inquiry])  # several wait for it; and closing the fleet ends it, not them
        well = not inquiry.cancelled() and inquiry.result()
        return 1.0 if well and len(failing) <= _ALONE else _SHARED

    async def _inquire(self, member: Member) -> bool:
        failure = await self._probe(member)
        if failure is not None:  # one in three may fail where little is wrong; two in a row seldom do
            await asyncio.sleep(_SECOND_LOOK * random.uniform(0.5, 1.5))
            failure = await self._probe(member)
        member.inquiry, member.failing = None, set()
        if failure is not None:
            self._leave_alone(member, failure)
        return failure is None

    async def _probe(self, member: Member) -> RetryableError | None:
        """Asks for one token of something that was answered before; None when it is answered."""
        self._probes += 1
        known = self._known_good
        sampling = known.sampling.model_copy(update={"max_tokens": 1})
        changes = {"id": f"-1/probe/{self._probes}", "sampling": sampling, "priority": _FIRST_IN_LINE}
        try:
            async with asyncio.timeout(_PROBE_SECONDS):
                completion = await member.endpoint.complete(known.model_copy(update=changes))
        except RetryableError as error:
            return error
        except FatalRequestError:  # it answers; what it has against the question is not its health
            return None
        except TimeoutError:
            return RetryableError(f"{member.endpoint.url}: a request for one token is not answered")
        return unfit(member.endpoint, known, completion)

    # -- who is left alone -------------------------------------------------------------------------

    def _leave_alone(self, member: Member, error: Exception, for_good: bool = False) -> None:
        if member.down_since is not None:
            return
        now = time.monotonic()
        member.why = str(error)
        member.down_since = math.inf if for_good else now
        if now - member.up_since > _STEADY_SECONDS:
            member.setbacks = 0
        if all(other.down_since is not None for other in self._members) and not self._abandoned:
            self._someone_up.clear()
            self._places.stir()
        if not isinstance(error, BusyError):  # being told to wait is everyday life
            self._tell("endpoint_down", f"{error}; it is {'not used' if for_good else 'left alone until it answers'}")
        if not for_good:
            member.nurse = asyncio.create_task(self._nurse(member, error))

    async def _nurse(self, member: Member, error: Exception | None) -> None:
        """Probes an endpoint that is down until it answers."""
        told = not isinstance(error, BusyError)
        while error is not None:
            member.why = str(error)
            await asyncio.sleep(self._wait(member, error))
            error = await self._meet(member) or await self._probe(member)
        member.down_since, member.up_since, member.unreadable = None, time.monotonic(), 0
        self._someone_up.set()
        self._places.move()
        if told:
            self._tell("endpoint_up", f"{member.endpoint.url} answers again")

    def _wait(self, member: Member, error: Exception) -> float:
        """Seconds until the next probe: as long as the endpoint asks for, else longer with every setback."""
        if isinstance(error, BusyError) and error.after is not None:
            return error.after * random.uniform(1.0, 1.1)
        member.setbacks += 1
        return min(_LONGEST_WAIT, _FIRST_WAIT * 2.0 ** (member.setbacks - 1)) * random.uniform(0.5, 1.5)

    # -- what answers teach ------------------------------------------------------------------------

    async def _meet(self, member: Member) -> RetryableError | FatalRequestError | None:
        """Find out the dialect of an endpoint that is asked for the first time; return what went wrong, if anything did."""
        if member not in self._unknown:
            return None
        try:
            await find_out(member.endpoint, self._known or {}, self._grammars)
        except (RetryableError, FatalRequestError) as error:
            return error
        self._unknown.discard(member)
        if self._grammars:
            self._tell("endpoint_dialect", f"{member.endpoint.url}: {in_words(member.endpoint.dialect)}")
        return None

    async def _warm(self, member: Member, requests: Sequence[tuple[str, Request]], say: Callable[[str], None]) -> None:
        if (stranger := await self._meet(member)) is not None:
            return self._leave_alone(member, stranger, isinstance(stranger, UnfitError | FatalRequestError))
        for words, request in requests:
            say(words)
            try:
                completion = await member.endpoint.complete(request)
            except (UnfitError, FatalRequestError) as error:
                return self._leave_alone(member, error, for_good=True)
            except RetryableError as error:
                return self._leave_alone(member, error)
            if (problem := unfit(member.endpoint, request, completion)) is not None:
                return self._leave_alone(member, problem, for_good=True)
        return None

    def _learn(self, member: Member, request: Request, completion: Completion) -> None:
        wanted = request.sampling.logprobs is not None and member.endpoint.dialect.logprobs > 0
        if wanted:
            member.unreadable = 0 if readable(request, completion) else member.unreadable + 1
        if member.unreadable >= _MOST_UNREADABLE:
            self._leave_alone(member, no_logprobs(member.endpoint))
        elif wanted or self._known_good.sampling.logprobs is None:  # the judge's questions are the better probes
            self._known_good = request
