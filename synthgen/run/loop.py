"""Run the loop: send requests, check candidates, settle slots in order, plan new groups.

Requests finish in any order, and the arriving checks run on their candidates at once. Slots are settled in slot order:
then the settling checks run, and accepted samples take effect. The plan of new groups depends only on the settled slots
(see `synthgen.generate.planner`), so the result does not depend on timing. The engine has to wait only when one slot is
very late.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial

from synthgen.diversity.drift import Alarm, DriftMonitor
from synthgen.engines.window import Window
from synthgen.errors import FatalRequestError, PoisonError, RetryableError, TooLongError
from synthgen.generate import repair
from synthgen.generate.adapt import SettledSlot
from synthgen.generate.mix import Mix
from synthgen.generate.planner import Planner
from synthgen.generate.strategy import answered, never_written
from synthgen.ledger import Ledger, Settled
from synthgen.ledger.recorder import Recorder
from synthgen.records import Candidate, PlannedSlot, Sample
from synthgen.run.budget import StopRules
from synthgen.run.chain import Chain
from synthgen.run.corpus import Corpus
from synthgen.run.progress import Progress
from synthgen.run.spending import BUDGET, Spending

_TICK_SECONDS = 0.25
Worked = tuple[str, list[Candidate]]
"""The final state of a slot, and its candidates with the verdicts of the arriving checks."""
Working = tuple[PlannedSlot, asyncio.Task[Worked]]
Boundary = Callable[[int, Callable[[], bool]], Awaitable[bool]]
"""Called before a slot is settled, with the slot and a function that returns True once the loop is closing. Returns
False if the closing of the loop interrupted it."""


@dataclass(frozen=True)
class Parts:
    """Hold the parts of the loop."""

    strategies: Mix
    engine: Recorder
    corpus: Corpus
    chain: Chain
    planner: Planner
    rules: StopRules
    drift: DriftMonitor
    ledger: Ledger
    spending: Spending
    shorten: Callable[[PlannedSlot, Sequence[Sample], TooLongError], Awaitable[PlannedSlot | None]]
    """Returns the slot with a shorter prompt after the engine refused it as too long; None if it cannot be shorter."""
    boundary: Boundary | None = None
    """Takes over the samples of other runs; None for a run that shares its work with none."""


class Loop:
    """Run the loop of one session. `planned` are the slots that earlier sessions planned and did not settle."""

    def __init__(
        self,
        parts: Parts,
        progress: Progress,
        in_flight: int,
        planned: Sequence[PlannedSlot] = (),
        on_tick: Callable[[Progress], None] = lambda _: None,
        on_alarm: Callable[[Alarm], None] = lambda _: None,
        grace: float | None = None,
    ) -> None:
        """Prepare to run. `grace` limits the seconds that requests in flight may take when a budget is used up."""
        self._parts = parts
        self.progress = progress
        self.window = Window(in_flight)
        """The in-flight limit for generation requests. A request frees its place when it is answered."""
        self._left_over = planned
        self._moved = asyncio.Event()
        self._closing: str | None = None
        self._earlier_tokens = progress.output_tokens
        self._on_tick = on_tick
        self._on_alarm = on_alarm
        self._tasks: set[asyncio.Task[Worked]] = set()
        self._cut = False
        self._grace = grace

    def stop(self, reason: str, grace: float | None = None) -> None:
        """Plan no more slots. Finish and settle the requests in flight, for at most `grace` seconds."""
        self._closing = self._closing or reason
        self._moved.set()
        if grace is not None:
            asyncio.get_running_loop().call_later(grace, self._drop)

    def _drop(self) -> None:
        """Cancel the requests in flight. A resume sends them again."""
        self._cut = True
        for task in self._tasks:
            task.cancel()

    async def run(self) -> str:
        """Run to the target, a budget or a stop, and return its name. Raise EngineDeadError when the engine is lost."""
        if reason := self._parts.rules.reached():
            return reason
        working: asyncio.Queue[Working | None] = asyncio.Queue()
        feeder = asyncio.create_task(self._feed(working))
        ticker = asyncio.create_task(self._tick())
        try:
            while (entry := await working.get()) is not None:
                planned, task = entry
                boundary = self._parts.boundary
                if boundary is not None and not await boundary(planned.slot, lambda: self._closing is not None):
                    break
                try:
                    state, candidates = await task
                except asyncio.CancelledError:
                    if not self._cut:
                        raise
                    break
                await self._settle(planned, state, candidates)
                if reason := self._parts.rules.reached():
                    return reason
            for side in (feeder, ticker):
                if side.done():
                    side.result()  # raises the error that ended it early
            return self._closing or "target"
        finally:
            for pending in (feeder, ticker, *self._tasks):
                pending.cancel()
            await asyncio.gather(feeder, ticker, *self._tasks, return_exceptions=True)
            await self._parts.ledger.written()
            self.progress.usd = self._parts.spending.usd
            self._tell(self.progress)

    async def _feed(self, working: asyncio.Queue[Working | None]) -> None:
        """Keep the number of requests in flight at its limit: start one task per slot, in slot order."""
        try:
            async for planned in self._slots():
                await self.window.acquire()
                if not await self._parts.spending.opens(planned.slot):
                    self.stop(BUDGET)
                if self._closing is not None:
                    break
                task = asyncio.create_task(self._work(planned))
                self._tasks.add(task)
                task.add_done_callback(partial(self._worked, planned.slot))
                working.put_nowait((planned, task))
        finally:
            working.put_nowait(None)

    def _worked(self, slot: int, task: asyncio.Task[Worked]) -> None:
        self._tasks.discard(task)
        self._parts.spending.closes(slot)
        if not task.cancelled():
            # Mark the exception as seen. Settling the slot raises it; several tasks fail at once when an engine dies.
            task.exception()

    async def _slots(self) -> AsyncIterator[PlannedSlot]:
        """Yield the unsettled slots of earlier sessions, then the slots of new groups as they are planned."""
        for planned in self._left_over:
            yield planned
        pending = self._parts.planner.pending
        while self._closing is None:
            if not pending:
                self._moved.clear()
                await self._moved.wait()
                continue
            if reason := self._parts.strategies.used_up(self._parts.rules.shares.lacking):
                self.stop(reason)
                break
            slots = self._parts.strategies.plan(pending.popleft(), self._parts.corpus.pool)
            self._parts.ledger.plan(slots)
            for planned in slots:
                yield planned

    async def _work(self, planned: PlannedSlot) -> Worked:
        """Generate the candidates of a slot, and run the arriving checks on each until one rejects it."""
        parts = self._parts
        try:
            candidates = await self._write(planned)
        except PoisonError:
            return "quarantined", []
        except TooLongError as error:
            parts.engine.give_up(error)
            candidates = [never_written(planned)]
        except (FatalRequestError, RetryableError):  # the recorder has written the reason to the ledger
            return "failed", []
        finally:
            self.window.release()
        await parts.chain.arrive(candidates)
        return "settled", candidates

    async def _write(self, planned: PlannedSlot) -> list[Candidate]:
        """Return the candidates of a slot. Show fewer samples if the prompt is too long, while that is possible."""
        parts = self._parts
        while True:
            shown = [parts.corpus.samples[parent] for parent in planned.parents]
            try:
                complete = partial(repair.complete, parts.engine)
                return await answered(parts.strategies.ask(planned, shown), complete, self.window)
            except TooLongError as error:
                if (shorter := await parts.shorten(planned, shown, error)) is None:
                    raise
                planned = shorter

    async def _settle(self, planned: PlannedSlot, state: str, candidates: Sequence[Candidate]) -> None:
        """Accept or reject the candidates of a slot for good, and write the slot in one transaction."""
        parts = self._parts
        settled: list[Settled] = []
        passed: list[str | None] = []
        for candidate in candidates:
            entry = await parts.chain.settle(candidate)
            parts.rules.settled(*(outcome := entry.outcome))
            parts.rules.replied(candidate.finish_reason)
            passed += [outcome.label] if outcome.passed else []
            settled.append(entry)
        written = parts.ledger.settle(planned.slot, state, settled)
        written.add_done_callback(lambda done: None if done.exception() else self.progress.written(settled))
        accepted = [(entry.sample, entry.candidate.embedding) for entry in settled if entry.sample is not None]
        for alarm in parts.drift.settled(planned.slot, accepted, len(settled)):
            self._on_alarm(alarm)
        novelties = [entry.sample.novelty if entry.sample is not None else 0.0 for entry in settled]
        parts.strategies.settled(SettledSlot(planned.strategy, novelties, parts.engine.written(planned.slot)))
        parts.planner.settle(planned.label, len(settled), passed)
        self._moved.set()

    def _tell(self, progress: Progress) -> None:
        self._on_tick(progress)

    async def _tick(self) -> None:
        """Report the progress and check the budgets at intervals, until the loop ends."""
        try:
            while True:
                self.progress.output_tokens = self._earlier_tokens + self._parts.engine.tokens["completion"]
                self.progress.usd = self._parts.spending.usd
                self._tell(self.progress)
                if reason := self._parts.rules.spent(self.progress.seconds, self.progress.output_tokens):
                    self.stop(reason, self._grace)
                await asyncio.sleep(_TICK_SECONDS)
        except Exception:
            self.stop("failure")
            raise
