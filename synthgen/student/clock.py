"""Measure a student's training: its progress, the time left, and when its limit is reached.

It depends on no model. Work is counted in four units. The pace of each unit is measured while the work is done.
"""

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

from synthgen.numerics.durations import duration
from synthgen.records import Json

START, STEP, LOOK, SCORE = "start", "step", "look", "score"
"""Units of work: the start of a fit (with its first step), an optimisation step, the loss of a held-out row, and the
score of an eval row."""
_LEAST_SECONDS, _LEAST_STEPS = 5.0, 3
"""Measured seconds and steps that are needed before the time left is shown."""
_TOLD_SECONDS = 1.0
_LINE_SECONDS = 30.0

Now = Callable[[], float]


class LimitReachedError(Exception):
    """End a training whose limit is reached. The student that is kept exists by then."""


@dataclass(frozen=True)
class Fit:
    """Describe one fit of a student's training. `work` has the greatest number of each unit that it takes."""

    name: str
    what: str
    work: Mapping[str, float]

    @property
    def steps(self) -> int:
        return int(self.work.get(STEP, 0))


@dataclass(frozen=True)
class Paces:
    """Hold the measured seconds of each unit of work, and how many units were measured."""

    seconds: Mapping[str, float]
    units: Mapping[str, float]

    def of(self, kind: str) -> float | None:
        """Return the seconds that one unit takes, or None if none was measured."""
        return self.seconds[kind] / self.units[kind] if self.units.get(kind) else None

    def seconds_for(self, work: Mapping[str, float]) -> tuple[float | None, bool]:
        """Return the seconds that `work` takes, and False if a part without a pace was left out.

        The seconds are None if the main part has no pace: the steps, or the starts where there are no steps.
        """
        main = STEP if work.get(STEP) else START
        total, whole = 0.0, True
        for kind, units in work.items():
            pace = self.of(kind)
            if pace is None and units and kind == main:
                return None, False
            total += units * (pace or 0.0)
            whole = whole and (pace is not None or not units)
        return total, whole


@dataclass(frozen=True)
class TrainingProgress:
    """Describe the current state of a training.

    `left` is in seconds, or None if it is not known yet. It includes the scoring only if `whole` is true.
    """

    what: str
    fit: int
    fits: int
    step: int
    steps: int
    left: float | None
    whole: bool
    scoring: bool = False

    def line(self, subject: str = "student") -> str:
        """Return `student: fit 2 of 9 (seeds only, 1 of 3), step 120 of 400, about 1 min 10 s left`."""
        parts = [f"fit {self.fit} of {self.fits} ({self.what})"] if self.fits > 1 else []
        if self.scoring:
            parts.append("scoring")
        elif self.steps:
            parts.append(f"step {self.step} of {self.steps}")
        if self.left is not None:
            parts.append(f"about {duration(self.left)} left{'' if self.whole else ' without scoring'}")
        return f"{subject}: {', '.join(parts)}"


class Clock:
    """Time the fits of one training. `limit` is the most seconds that it may take, over all its sessions.

    `watch` is called with the progress, at most once a second. `keep` stores the state that `kept` restores in a later
    session.
    """

    def __init__(
        self,
        limit: float = math.inf,
        watch: Callable[[TrainingProgress], None] = lambda _: None,
        now: Now | None = None,
        keep: Callable[[Json], None] = lambda _: None,
    ) -> None:
        self.limit = self._deadline = limit
        self.cut: int | None = None
        """The step at which the limit ended the current fit before its last step."""
        self._watch, self._keep = watch, keep
        self._now: Now = now or time.monotonic
        self._began = self._mark = self._now()
        self._earlier = 0.0
        self._told = -math.inf
        self._seconds: dict[str, float] = {}
        self._units: dict[str, float] = {}
        self._measured = 0.0
        self._fits: dict[str, Fit] = {}
        self._done: set[str] = set()
        self._current: Fit | None = None
        self._planned: dict[str, list[float]] = {}
        self._step = self._evaluated = 0
        self._fresh = self._scoring = False

    # -- the plan ---------------------------------------------------------------------------------

    def plan(self, fits: Sequence[Fit]) -> None:
        self._fits = {fit.name: fit for fit in fits}

    def expect(self, name: str, steps: int) -> None:
        """Set the number of steps of a planned fit once it is known."""
        if name in self._fits:
            fit = self._fits[name]
            self._fits[name] = replace(fit, work={**fit.work, STEP: steps})

    @contextmanager
    def kept(self, kept: Json | None) -> Iterator[None]:
        """Restore the state of an earlier session. Store the state when an error or a signal ends the block."""
        if kept:
            self._earlier = kept["spent"]
            self._seconds, self._units = dict(kept["seconds"]), dict(kept["units"])
            self._planned = dict(kept["planned"])
        try:
            yield
        except BaseException:
            self.keep()
            raise

    def keep(self) -> None:
        """Store the state that a later session needs."""
        kept = {"seconds": self._seconds, "units": self._units, "planned": self._planned}
        self._keep({"spent": round(self.spent(), 3), **kept})

    # -- the limit --------------------------------------------------------------------------------

    def spent(self) -> float:
        """Return the seconds that the training has taken, including earlier sessions."""
        return self._earlier + self._now() - self._began

    def left(self) -> float:
        """Return the seconds until the limit; infinity without one."""
        return max(self._deadline - self.spent(), 0.0)

    def over(self) -> bool:
        return self.spent() >= self._deadline

    @contextmanager
    def half(self) -> Iterator[None]:
        """Halve the remaining time inside the block. A later session gets the same point in time as the limit."""
        if not math.isinf(self.limit):
            limit, half = self._planned.get("half", (math.nan, 0))
            if limit != self.limit:
                half = (self.limit + self.spent()) / 2
                self._planned["half"] = [self.limit, half]
            self._deadline = half
        try:
            yield
        finally:
            self._deadline = self.limit

    def fitting(self, name: str, steps: int) -> int:
        """Return the number of a fit's `steps` that there is time for, at least one; all if no pace is known.

        A later session with the same limit gets the same number, because the learning rate schedule depends on it.
        """
        pace = self.paces.of(STEP)
        if not pace or not steps or math.isinf(self.limit):
            return steps
        limit, planned = self._planned.get(name, (math.nan, 0))
        if limit != self.limit:
            left = self.limit - self.spent() - (self.paces.of(START) or 0.0)
            planned = max(1, int(left / pace))
            self._planned[name] = [self.limit, planned]
        return min(steps, int(planned))

    # -- what happens -----------------------------------------------------------------------------

    @property
    def paces(self) -> Paces:
        return Paces(dict(self._seconds), dict(self._units))

    def begin(self, name: str) -> None:
        """Begin a fit."""
        self._current = self._fits.get(name, Fit(name, name, {}))
        self._step, self._evaluated, self.cut, self._mark = 0, 0, None, self._now()
        self._fresh, self._scoring = True, False

    def stepped(self, step: int, steps: int) -> None:
        """Record that a step is done. The first step of a fit counts as part of its start, because it is slower."""
        now = self._now()
        if self._fresh:
            self._add(START, now - self._mark, 1)
        else:
            self._add(STEP, now - self._mark, 1)
        self._fresh, self._mark, self._step = False, now, step
        if step < steps and self.over():
            self.cut = step
        self._tell()

    @contextmanager
    def evaluating(self, rows: int) -> Iterator[None]:
        """Time the evaluation of held-out rows, separately from the steps."""
        began = self._now()
        yield
        self.looked(rows, self._now() - began)

    def looked(self, rows: int, seconds: float) -> None:
        """Record an evaluation of held-out rows that took `seconds`."""
        self._evaluated += rows
        self._add(LOOK, seconds, rows)
        self._mark += seconds

    def fitted(self) -> None:
        """Record that a fit is done except for its scoring. A fit without steps is timed here."""
        if self._fresh and self._current is not None and not self._current.steps:
            self._add(START, self._now() - self._mark, self._current.work.get(START, 1))
            self._fresh = False

    @contextmanager
    def scoring(self, rows: int) -> Iterator[None]:
        """Time the scoring of eval rows."""
        began, self._scoring = self._now(), True
        self._tell(at_once=True)
        yield
        self._add(SCORE, self._now() - began, rows)

    def finish(self, name: str) -> None:
        """Record that a fit is complete, whether in this session or an earlier one."""
        self._done.add(name)
        self._current = None

    def drop(self, names: Sequence[str]) -> None:
        """Remove planned fits that will not be made."""
        for name in names:
            self._fits.pop(name, None)

    def progress(self) -> TrainingProgress:
        """Return the current state of the training."""
        fit = self._current or Fit("", "", {})
        left, whole = self._left()
        enough = self._measured >= _LEAST_SECONDS and (not fit.steps or self._units.get(STEP, 0) >= _LEAST_STEPS)
        return TrainingProgress(
            what=fit.what,
            fit=min(len(self._done) + 1, max(len(self._fits), 1)),
            fits=max(len(self._fits), 1),
            step=self._step,
            steps=fit.steps,
            left=left if enough else None,
            whole=whole,
            scoring=self._scoring,
        )

    def _left(self) -> tuple[float | None, bool]:
        work: dict[str, float] = {}
        for fit in self._fits.values():
            if fit.name not in self._done:
                for kind, units in self._rest(fit).items():
                    work[kind] = work.get(kind, 0) + units
        left, whole = self.paces.seconds_for(work)
        return (left if left is None else min(left, max(self.limit - self.spent(), 0.0))), whole

    def _rest(self, fit: Fit) -> Mapping[str, float]:
        if self._current is None or fit.name != self._current.name:
            return fit.work
        if self._scoring:
            return {SCORE: fit.work.get(SCORE, 0)}
        return {
            **fit.work,
            START: fit.work.get(START, 0) if self._fresh else 0,
            STEP: fit.steps - self._step,
            LOOK: max(fit.work.get(LOOK, 0) - self._evaluated, 0),
        }

    def _add(self, kind: str, seconds: float, units: float) -> None:
        self._seconds[kind] = self._seconds.get(kind, 0.0) + seconds
        self._units[kind] = self._units.get(kind, 0.0) + units
        self._measured += seconds

    def _tell(self, at_once: bool = False) -> None:
        if at_once or self._now() - self._told >= _TOLD_SECONDS:
            self._told = self._now()
            self._watch(self.progress())


def lines(
    say: Callable[[str], None], subject: str = "student", now: Now | None = None
) -> Callable[[TrainingProgress], None]:
    """Return a function that prints a line of progress at most every half minute."""
    clock = now or time.monotonic
    told = clock()

    def watch(progress: TrainingProgress) -> None:
        nonlocal told
        if clock() - told >= _LINE_SECONDS:
            told = clock()
            say(progress.line(subject))

    return watch
