"""Use one or several endpoints as one engine, with a circuit breaker for each endpoint.

Requests go to the least loaded endpoint that is up. When a request fails there, a health probe follows: a request for
one token that the endpoint has answered before. If the probe is answered, the failure was the request's own, or one
that it shared with others. If not, the endpoint is down: only probes are sent to it, at growing intervals, until one is
answered. Probes are not part of the run, and no ledger records them.

An endpoint that refuses requests because of load is healthy and stays up. Its in-flight limit falls (`limits`), and the
refused requests keep their turn in the queue.
"""

import asyncio
import contextlib
import dataclasses
import math
import random
import time
from collections.abc import Callable, Sequence

from synthgen.engines.base import ModelConfig, Tell
from synthgen.engines.http.dialect import in_words
from synthgen.engines.http.endpoint import (
    BusyError,
    Endpoint,
    OverloadedError,
    UnfitError,
    UnreachableError,
)
from synthgen.engines.http.fitness import no_logprobs, readable, unfit, warm_up_requests
from synthgen.engines.http.limits import RateLimit
from synthgen.engines.http.places import EndpointState, Places
from synthgen.engines.http.questions import find_out
from synthgen.engines.http.waiting_queue import Turn
from synthgen.errors import EngineGoneError, FatalRequestError, RetryableError
from synthgen.records import Completion, Grammar, Json, Message, Request

_PROBE_SECONDS = 30.0
_SECOND_LOOK = 0.1
_FIRST_WAIT = 0.5
_SILENT_SECONDS = 2.0  # an endpoint that takes longer for its first answer is named, so that the user can act
_LONGEST_WAIT = 60.0
_STEADY_SECONDS = 60.0  # if an endpoint fails again sooner, its probe interval grows
_FEW_FAILING = 2  # distinct requests; if more fail before a probe is answered, no single one is the cause
_SHARED_CHARGE = 0.2  # of an attempt: one of several failing requests may still cause the failures
_MOST_UNREADABLE = 8  # consecutive answers without the requested logprobs
_PROBE_PRIORITY = -1  # probes go before all other requests


class Fleet:
    """Route requests over `endpoints`. The engine is dead once all of them have been down for `patience` seconds."""

    name = "openai"

    def __init__(
        self,
        endpoints: Sequence[Endpoint],
        patience: float,
        tell: Tell,
        most: int | None = None,
        pace: RateLimit | None = None,
        known: Json | None = None,
        model: ModelConfig | None = None,
    ) -> None:
        """Limit each endpoint to `most` requests in flight, and to fewer while it refuses some; None for no limit.

        `known` holds the known part of the endpoints' dialects; `warm_up` detects the rest. If it is None, nothing is
        detected. `model` says whether the model should think.
        """
        self._members = [EndpointState(endpoint, most) for endpoint in endpoints]
        self._known = known
        self._model = model
        self._grammars: Sequence[Grammar] = ()
        self._hints: dict[str, str] = {}
        self._unknown = set[EndpointState]() if known is None else set(self._members)
        self._places = Places(self._members, pace or RateLimit(None, None))
        self._patience = patience
        self._tell = tell
        self._known_good = Request(id="-1/hello", messages=(Message(role="user", content="Hello"),))
        self._probes = 0
        self._someone_up = asyncio.Event()
        self._someone_up.set()
        self._abandoned = ""

    @property
    def endpoints(self) -> list[Endpoint]:
        return [member.endpoint for member in self._members]

    def about(self) -> Json:
        """Return the endpoints' dialects, as data and in words; nothing if none was detected."""
        if self._known is None:
            return {}
        return {
            "dialects": {endpoint.url: dataclasses.asdict(endpoint.dialect) for endpoint in self.endpoints},
            "speaks": {one.url: in_words(one.dialect, self._hints.get(one.url, "")) for one in self.endpoints},
        }

    async def complete(self, request: Request) -> Completion:
        """Return the answer; wait while all endpoints are down.

        Raise a RetryableError whose charge states how much of the failure counts against the request, FatalRequestError
        for a refused request, and EngineGoneError when all endpoints were down for too long.
        """
        member, turn = None if self._abandoned else self._places.at_once(request), None
        if member is None:
            member = await self._place(turn := self._places.turn(request))
        limit, ticket = member.limit, member.limit.ticket()
        tokens = self._places.spend(request, member.endpoint.dialect)
        try:
            completion = await member.endpoint.complete(request)
        except BusyError as error:
            self._places.keep_turn(request, turn or self._places.turn(request))
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
        member.refusing_since, member.answered_at = None, time.monotonic()
        self._places.settle(tokens, completion)
        self._learn(member, request, completion)
        return completion

    async def warm_up(
        self, grammars: Sequence[Grammar], say: Callable[[str], None], adapters: Sequence[str] = ()
    ) -> None:
        """Send each endpoint one request for each adapter and grammar, one after another, before other traffic.

        This loads the adapters and compiles the grammars. It also finds a wrong model, a wrong key, missing logprobs
        and ignored grammars early. Raise EngineGoneError if no endpoint can be used.
        """
        requests, self._grammars = warm_up_requests(grammars, adapters), grammars
        self._known_good = requests[-1][1] if requests else self._known_good
        watch = asyncio.create_task(self._name_silent(say))
        try:
            await asyncio.gather(*(self._warm(member, requests, say) for member in self._members))
        finally:
            watch.cancel()
        if not self._someone_up.is_set():
            say(
                f"no endpoint answers so far; waiting up to {self._patience:.0f} s (engine.patience) for one; to change "
                f"engine.urls, press Ctrl-C and resume the run with the new ones:{self._reasons()}"
            )
        self._places.give_back(await self._place(self._places.turn(self._known_good)))

    def abandon(self, words: str) -> str:
        """Declare the engine behind the endpoints dead, and wake all waiting requests.

        Return the message of the first call.
        """
        self._abandoned = self._abandoned or words
        self._someone_up.set()
        self._places.wake_all()
        return self._abandoned

    async def aclose(self) -> None:
        self._places.close()
        for member in self._members:
            for task in (member.health_check, member.recovery):
                if task is not None:
                    task.cancel()
            await member.endpoint.aclose()

    # -- choosing an endpoint ----------------------------------------------------------------------

    async def _place(self, turn: Turn) -> EndpointState:
        """Wait for a free place at an endpoint. Raise EngineGoneError when all endpoints were down for too long."""
        while True:
            left = self._patience_left()
            if left is None:
                if (member := await self._places.wait(turn)) is not None:
                    return member
                continue
            with contextlib.suppress(TimeoutError):  # the next round says that none came back
                async with asyncio.timeout(left):
                    await self._someone_up.wait()

    def _patience_left(self) -> float | None:
        """Return the seconds left to wait for an endpoint; None while one is up. Raise EngineGoneError when none are
        left.
        """
        if self._abandoned:
            raise EngineGoneError(self._abandoned)
        down = []
        for member in self._members:
            if member.down_since is None:
                return None
            down.append(member.down_since)
        may_return = [since for since in down if since < math.inf]
        left = max(may_return) + self._patience - time.monotonic() if may_return else 0.0
        if left <= 0:
            raise EngineGoneError(f"no endpoint answers:{self._reasons()}")
        return left

    def _refused(self, member: EndpointState, ticket: int, error: BusyError) -> None:
        """Lower an endpoint's limit after it refused a request because of load; take it out of use if it refuses
        everything.
        """
        now = time.monotonic()
        member.limit.refused(ticket, error.after)
        member.refusing_since = member.refusing_since or now
        if now - member.refusing_since > self._patience or (error.after or 0) > self._patience:
            self._leave_alone(member, error)

    def _reasons(self) -> str:
        reasons = dict.fromkeys(member.why for member in self._members if member.down_since is not None)
        return "".join(f"\n  {reason}" for reason in reasons) if len(reasons) > 1 else " ".join(["", *reasons])

    # -- blaming a failure ------------------------------------------------------------------------

    async def _charge(self, member: EndpointState, request_id: str) -> float:
        """Return the cost of a failure to its request: a full attempt only if the endpoint is healthy and few others
        failed.
        """
        if member.down_since is not None:
            return _SHARED_CHARGE
        failing = member.failing
        failing.add(request_id)
        if member.health_check is None:
            member.health_check = asyncio.create_task(self._check_health(member))
        check = member.health_check
        await asyncio.wait([check])  # several callers share it; closing the fleet cancels it, not them
        well = not check.cancelled() and check.result()
        return 1.0 if well and len(failing) <= _FEW_FAILING else _SHARED_CHARGE

    async def _check_health(self, member: EndpointState) -> bool:
        failure = await self._probe(member)
        if failure is not None:  # a single failed probe is common under a small fault, two in a row are rare
            await asyncio.sleep(_SECOND_LOOK * random.uniform(0.5, 1.5))
            failure = await self._probe(member)
        member.health_check, member.failing = None, set()
        if failure is not None:
            self._leave_alone(member, failure)
        return failure is None

    async def _probe(self, member: EndpointState) -> RetryableError | None:
        """Send a health probe: one token of a request that was answered before. Return the error; None if the endpoint
        answers it, or other requests meanwhile.
        """
        self._probes, began = self._probes + 1, time.monotonic()
        known = self._known_good
        sampling = known.sampling.model_copy(update={"max_tokens": 1, "thinking_tokens": 0})
        changes = {"id": f"-1/probe/{self._probes}", "sampling": sampling, "priority": _PROBE_PRIORITY}
        try:
            async with asyncio.timeout(_PROBE_SECONDS):
                completion = await member.endpoint.complete(known.model_copy(update=changes))
        except RetryableError as error:
            return error
        except FatalRequestError:  # a refusal is an answer: the endpoint is healthy
            return None
        except TimeoutError:
            if (
                member.answered_at > began
            ):  # a server that takes one request at a time answers the probe after the others
                return None
            return RetryableError(f"{member.endpoint.url}: a request for one token is not answered")
        return unfit(member.endpoint, known, completion)

    # -- endpoints out of use ----------------------------------------------------------------------

    def _leave_alone(self, member: EndpointState, error: Exception, for_good: bool = False) -> None:
        if member.down_since is not None:
            return
        now = time.monotonic()
        member.why = str(error)
        member.down_since = math.inf if for_good else now
        if now - member.up_since > _STEADY_SECONDS:
            member.setbacks = 0
        if all(other.down_since is not None for other in self._members) and not self._abandoned:
            self._someone_up.clear()
            self._places.wake_all()
        if not isinstance(error, BusyError):  # a request to wait is normal and needs no event
            consequence = "is not used" if for_good else "gets no requests until it answers a health probe"
            self._tell("endpoint_down", f"{error}; it {consequence}")
        if not for_good:
            member.recovery = asyncio.create_task(self._recover(member, error))

    async def _recover(self, member: EndpointState, error: Exception | None) -> None:
        """Probe an endpoint that is down until it answers."""
        told = not isinstance(error, BusyError)
        while error is not None:
            member.why = str(error)
            await asyncio.sleep(self._wait(member, error))
            error = await self._detect(member) or await self._probe(member)
        member.down_since, member.up_since, member.unreadable = None, time.monotonic(), 0
        self._someone_up.set()
        self._places.move()
        if told:
            self._tell("endpoint_up", f"{member.endpoint.url} answers again")

    def _wait(self, member: EndpointState, error: Exception) -> float:
        """Return the seconds until the next probe: as long as the endpoint asks for, else longer after each failure."""
        if isinstance(error, BusyError) and error.after is not None:
            return error.after * random.uniform(1.0, 1.1)
        member.setbacks += 1
        return min(_LONGEST_WAIT, _FIRST_WAIT * 2.0 ** (member.setbacks - 1)) * random.uniform(0.5, 1.5)

    # -- learning from answers ---------------------------------------------------------------------

    async def _detect(self, member: EndpointState) -> RetryableError | FatalRequestError | None:
        """Detect the dialect of an endpoint before its first request; return the error, if any."""
        if member not in self._unknown:
            return None
        try:
            hint = await find_out(member.endpoint, self._known or {}, self._grammars, self._model)
        except (RetryableError, FatalRequestError) as error:
            return error
        self._unknown.discard(member)
        self._hints[member.endpoint.url] = hint
        if self._grammars:
            self._tell("endpoint_dialect", f"{member.endpoint.url}: {in_words(member.endpoint.dialect, hint)}")
        return None

    async def _name_silent(self, say: Callable[[str], None]) -> None:
        """Name the endpoints that have neither answered nor failed after a short while."""
        await asyncio.sleep(_SILENT_SECONDS)
        for member in self._members:
            if not member.endpoint.responds and member.down_since is None:
                say(f"no answer from {member.endpoint.url} in {_SILENT_SECONDS:.0f} s; still waiting for the first one")

    async def _warm(
        self, member: EndpointState, requests: Sequence[tuple[str, Request]], say: Callable[[str], None]
    ) -> None:
        if (problem := await self._detect(member)) is not None:
            return self._leave_alone(member, problem, isinstance(problem, UnfitError | FatalRequestError))
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

    def _learn(self, member: EndpointState, request: Request, completion: Completion) -> None:
        wanted = request.sampling.logprobs is not None and member.endpoint.dialect.logprobs > 0
        if wanted:
            member.unreadable = 0 if readable(request, completion) else member.unreadable + 1
        if member.unreadable >= _MOST_UNREADABLE:
            self._leave_alone(member, no_logprobs(member.endpoint))
        elif (
            wanted or self._known_good.sampling.logprobs is None
        ):  # a judge request is the better probe, because it tests logprobs too
            self._known_good = request
