"""The streaming loop: ask, check, accept, and ask again from what was accepted.

Requests finish in any order and are checked at once; a slot's fate is settled in slot order.
So the engine does not wait for a straggler until it lies far back, and a run's result does not depend
on timing: what is asked for follows from the slots that were settled, see `synthgen.generate.planner`.
"""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field

from synthgen.diversity.drift import Alarm, DriftWatch
from synthgen.diversity.restated import Restated
from synthgen.engines.window import Window
from synthgen.errors import FatalRequestError, PoisonError, RetryableError
from synthgen.generate import repair
from synthgen.generate.fewshot import FewShot
from synthgen.generate.planner import Group, Planner
from synthgen.generate.steering import UNSTEERED, Coverage
from synthgen.labels.decide import LabelDecider
from synthgen.ledger import Ledger, Settled
from synthgen.ledger.recorder import Recorder
from synthgen.records import (
    LABEL_FULL,
    OTHER_LABEL,
    OVER_TARGET,
    SURPLUS,
    Candidate,
    Check,
    Json,
    PlannedSlot,
    Sample,
    Verdict,
    content_id,
)
from synthgen.run.budget import StopRules
from synthgen.run.held import Held

_TICK_SECONDS = 0.25
Judged = list[tuple[Candidate, tuple[Verdict, ...]]]
Worked = tuple[str, Judged]  # how the slot ended, and what came of it
Working = tuple[PlannedSlot, asyncio.Task[Worked]]


@dataclass
class Progress:
    """What a run has reached; counts only what is on disk."""

    target: int
    accepted: int = 0
    inherited: int = 0
    """How many of those another run accepted."""
    candidates: int = 0
    rejected: Counter[str] = field(default_factory=Counter)
    output_tokens: int = 0
    spent: float = 0.0
    """Seconds of the loop in earlier sessions."""
    started: float = field(default_factory=time.monotonic)
    """When this session's share of the loop began, by the monotonic clock: once the engine is ready."""

    @property
    def acceptance(self) -> float | None:
        """The share of this run's candidates that was accepted."""
        return (self.accepted - self.inherited) / self.candidates if self.candidates else None

    @property
    def seconds(self) -> float:
        return self.spent + time.monotonic() - self.started


@dataclass
class Parts:
    """What the loop is made of."""

    strategy: FewShot
    engine: Recorder
    checks: Sequence[Check]
    held: Held
    labels: LabelDecider | None
    """Decides labels from several sources, where that is on."""
    restated: Restated | None
    """Keeps down what restates a sample of its prompt, where that is on."""
    steering: Coverage | None
    """Steers the prompts of a task without labels, where that is on."""
    drift: DriftWatch
    planner: Planner
    rules: StopRules
    ledger: Ledger


class Loop:
    """One session of a run. `planned` are slots of an earlier one that are not settled yet."""

    def __init__(
        self,
        parts: Parts,
        progress: Progress,
        in_flight: int,
        planned: Sequence[PlannedSlot] = (),
        on_tick: Callable[[Progress], None] = lambda _: None,
        on_alarm: Callable[[Alarm], None] = lambda _: None,
    ) -> None:
        self._parts = parts
        self.progress = progress
        self.window = Window(in_flight)
        """Places for generation requests; what was answered and is being checked has none any more."""
        self._left_over = planned
        self._moved = asyncio.Event()
        self._closing: str | None = None
        self._earlier_tokens = progress.output_tokens
        self._on_tick = on_tick
        self._on_alarm = on_alarm
        self._tasks: set[asyncio.Task[Worked]] = set()
        self._cut = False

    def stop(self, reason: str, grace: float | None = None) -> None:
        """Ask for nothing more; what is in flight is finished and settled, for `grace` seconds at most."""
        self._closing = self._closing or reason
        self._moved.set()
        if grace is not None:
            asyncio.get_running_loop().call_later(grace, self._drop)

    def _drop(self) -> None:
        """Gives up what is in flight; a resume asks for it again."""
        self._cut = True
        for task in self._tasks:
            task.cancel()

    async def run(self) -> str:
        """Runs to the target, a budget or a stop; returns which. Raises EngineDeadError."""
        if reason := self._parts.rules.reached():
            return reason
        working: asyncio.Queue[Working | None] = asyncio.Queue()
        feeder = asyncio.create_task(self._feed(working))
        ticker = asyncio.create_task(self._tick())
        try:
            while (entry := await working.get()) is not None:
                planned, task = entry
                try:
                    state, judged = await task
                except asyncio.CancelledError:
                    if not self._cut:
                        raise
                    break
                await self._settle(planned, state, judged)
                if reason := self._parts.rules.reached():
                    return reason
            for side in (feeder, ticker):
                if side.done():
                    side.result()  # raises what ended it early
            return self._closing or "target"
        finally:
            for pending in (feeder, ticker, *self._tasks):
                pending.cancel()
            await asyncio.gather(feeder, ticker, *self._tasks, return_exceptions=True)
            await self._parts.ledger.written()
            self._tell(self.progress)

    async def _feed(self, working: asyncio.Queue[Working | None]) -> None:
        """Keeps the window full: one task a slot, in slot order."""
        try:
            async for planned in self._slots():
                await self.window.acquire()
                if self._closing is not None:
                    break
                task = asyncio.create_task(self._work(planned))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)
                task.add_done_callback(_worked)
                working.put_nowait((planned, task))
        finally:
            working.put_nowait(None)

    async def _slots(self) -> AsyncIterator[PlannedSlot]:
        """What earlier sessions left over, then new groups as they are planned."""
        for planned in self._left_over:
            yield planned
        pending = self._parts.planner.pending
        while self._closing is None:
            if not pending:
                self._moved.clear()
                await self._moved.wait()
                continue
            slots = self._fill(pending.popleft())
            self._parts.ledger.plan(slots)
            for planned in slots:
                yield planned

    def _fill(self, group: Group) -> list[PlannedSlot]:
        """Choose the samples that a group shows."""
        parts, pool, label, before = self._parts, self._parts.held.pool, group.label, group.horizon
        steer = parts.steering.plan(group.number, before) if parts.steering is not None else UNSTEERED
        rng = parts.strategy.seeded(group.number)
        shown = pool.draw(rng, parts.strategy.demonstrations, label, before, steer.seeds(pool.seeds(label)))
        shown = [*pool.foils(rng, parts.strategy.foils, label), *shown]
        return parts.strategy.plan(group, shown, steer.strategy)

    async def _work(self, planned: PlannedSlot) -> Worked:
        """Asks for a slot's candidates and runs the checks on each until one rejects."""
        parts = self._parts
        shown = [parts.held.samples[parent] for parent in planned.parents]
        try:
            completion = await repair.complete(parts.engine, parts.strategy.request(planned, shown))
        except PoisonError:
            return "quarantined", []
        except (FatalRequestError, RetryableError):  # the recorder has written down why
            return "failed", []
        finally:
            self.window.release()
        candidates = parts.strategy.candidates(planned, completion, shown)
        if len(candidates) == 1:  # the usual case, which needs no task of its own
            return "settled", [(candidates[0], await self._check(candidates[0]))]
        verdicts = await asyncio.gather(*map(self._check, candidates))
        return "settled", list(zip(candidates, verdicts, strict=True))

    async def _check(self, candidate: Candidate) -> tuple[Verdict, ...]:
        verdicts: list[Verdict] = []
        for check in self._parts.checks:
            verdicts.append(await check(candidate))
            if verdicts[-1].outcome != "pass":
                break
        return tuple(verdicts)

    async def _settle(self, planned: PlannedSlot, state: str, judged: Judged) -> None:
        """Accepts or rejects a slot's candidates for good, in one transaction."""
        settled, passed = [], list[str | None]()
        if self._parts.labels is not None:
            await self._parts.labels.reach(planned.slot)
        for candidate, verdicts in judged:
            entry = await self._decide(candidate, verdicts)
            if entry.sample is not None:
                passed.append(entry.sample.label)
                self._parts.rules.settled(entry.sample.label, 1.0 - entry.sample.novelty)
            elif entry.verdicts[-1].reason in SURPLUS:
                passed.append(entry.verdicts[-1].details.get("label"))
                self._parts.rules.settled(passed[-1], None, surplus=True)
            else:
                self._parts.rules.settled(candidate.label, None)
            settled.append(entry)
        written = self._parts.ledger.settle(planned.slot, state, settled)
        written.add_done_callback(lambda done: self._count(settled) if done.exception() is None else None)
        accepted = [(entry.sample, entry.candidate.embedding) for entry in settled if entry.sample is not None]
        for alarm in self._parts.drift.settled(planned.slot, accepted, len(settled)):
            self._on_alarm(alarm)
        self._parts.planner.settle(planned.label, len(settled), passed)
        self._moved.set()

    async def _decide(self, candidate: Candidate, verdicts: tuple[Verdict, ...]) -> Settled:
        parts, label = self._parts, candidate.label
        if verdicts[-1].outcome != "pass":
            return Settled(candidate, verdicts)
        if parts.labels is not None:
            decided = parts.labels.decide(candidate, verdicts)
            verdicts, label = (*verdicts, decided), decided.details["label"]
            if decided.outcome != "pass":
                return Settled(candidate, verdicts)
        for check in parts.held.settling:  # again: what was accepted meanwhile came first
            again = await check(candidate)
            if again.outcome != "pass":
                return Settled(candidate, (*verdicts, again))
        if parts.restated is not None:
            verdicts = (*verdicts, parts.restated(candidate))
            if verdicts[-1].outcome != "pass":
                return Settled(candidate, verdicts)
        relabelled = None
        if label is not None and label != candidate.label:
            relabelled = label, parts.strategy.labelled(candidate.data or {}, label)
        sample = to_sample(candidate, verdicts, 1.0 - max(0.0, again.score or 0.0), relabelled)
        if parts.held.worth is not None:
            verdicts = (*verdicts, parts.held.worth(sample, candidate.embedding))
            if verdicts[-1].outcome != "pass":
                return Settled(candidate, verdicts)
        if not parts.rules.wants(label):
            return Settled(candidate, (*verdicts, self._surplus(candidate, label)))
        parts.held.add(sample, candidate.embedding)
        if parts.labels is not None:
            parts.labels.add(candidate.slot, candidate, verdicts, sample.id)
        if parts.restated is not None:
            parts.restated.add(verdicts)
        if parts.steering is not None:
            parts.steering.add(candidate.slot, candidate.embedding)
        return Settled(candidate, verdicts, sample)

    def _surplus(self, candidate: Candidate, label: str | None) -> Verdict:
        """Rejects a candidate that passed all checks, because enough with the label that it has were accepted."""
        rules = self._parts.rules
        reason = LABEL_FULL if label == candidate.label else OTHER_LABEL
        if rules.accepted >= rules.target:
            reason = OVER_TARGET
        return Verdict(check="budget", outcome="reject", reason=reason, details={"label": label} if label else {})

    def _count(self, settled: Sequence[Settled]) -> None:
        """Called by the ledger's thread when a settled slot is on disk."""
        for entry in settled:
            self.progress.candidates += 1
            if entry.sample is not None:
                self.progress.accepted += 1
            else:
                self.progress.rejected[entry.verdicts[-1].reason or entry.verdicts[-1].check] += 1

    def _tell(self, progress: Progress) -> None:
        self._on_tick(progress)

    async def _tick(self) -> None:
        try:
            await self._keep_ticking()
        except Exception:
            self.stop("failure")
            raise

    async def _keep_ticking(self) -> None:
        while True:
            self.progress.output_tokens = self._earlier_tokens + self._parts.engine.tokens["completion"]
            self._tell(self.progress)
            if reason := self._parts.rules.spent(self.progress.seconds, self.progress.output_tokens):
                self.stop(reason)
            await asyncio.sleep(_TICK_SECONDS)


def _worked(task: asyncio.Task[Worked]) -> None:
    if not task.cancelled():
        task.exception()  # raised where the slot is settled; several fail at once when an engine dies


def to_sample(
    candidate: Candidate, verdicts: Sequence[Verdict], novelty: float, relabelled: tuple[str, Json] | None = None
) -> Sample:
    """An accepted candidate as a sample, or with another label and so other data if it is `relabelled`.

    Quality is the mean of what the judge's checks gave, from 0 to 1; of a label, how surely it is right in a prompt.
    """
    label, data = relabelled or (candidate.label, candidate.data or {})
    scores = {v.check: v.details.get("settled", v.score) for v in verdicts if v.score is not None}
    grades = [scores[check] for check in ("trust", "label") if check in scores][:1]
    grades += [(scores["rubric"] - 1) / 4] if "rubric" in scores else []
    return Sample(
        id=content_id(data) if relabelled else candidate.id,
        data=data,
        origin="synthetic",
        label=label,
        slot=candidate.slot,
        item=candidate.item,
        parents=candidate.parents,
        depth=candidate.depth,
        strategy=candidate.strategy,
        template=candidate.template,
        quality=sum(grades) / len(grades) if grades else 1.0,
        novelty=novelty,
    )
