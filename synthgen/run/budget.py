"""When a run ends: its target, its budgets, and the signs that going on is not worth it.

A rule is named after its config key, and so is the reason in summary.json. Rules that look at
candidates are fed in slot order and give the same answer however the run was interrupted; rules
that look at a clock cannot.
"""

import datetime
import math
import shlex
import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from synthgen.errors import ConfigError
from synthgen.generate.balance import Shares
from synthgen.generate.planner import Goal
from synthgen.records import LABEL_FULL, OTHER_LABEL, OVER_TARGET, Candidate, CheckSpec, Reason, Verdict


@dataclass
class BudgetConfig:
    target: int = 200
    """Accepted samples wanted, split evenly among the labels (classification); the run ends when it has them."""
    per_label: int | None = None
    """Accepted samples wanted of each label (classification); the run ends at this or at the target."""
    label_attempts: int | None = 20
    """Generation requests for a label, for each sample of its share, after which it is given up (classification; 50 more
    are always allowed); the run ends when all other labels have their share. null for never."""
    candidates: int | None = None
    """Most candidates to be generated; null for no limit."""
    output_tokens: int | None = None
    """Most tokens to be generated, judge included; null for no limit."""
    minutes: float | None = None
    """Most minutes that the loop may take from when the engine is ready, earlier sessions of the run included; null for no
    limit."""
    until: str | None = None
    """Local time at which the loop ends: "07:00" for the next one, or a date and time in ISO 8601."""
    idle_minutes: float | None = 60.0
    """End when nothing was accepted for this long; null for never."""
    min_acceptance: float = 0.005
    """End when the share accepted of the last `window` candidates is below this; 0 for never."""
    max_similarity: float = 1.0
    """End when the mean cosine of the last `window` accepted samples to their nearest neighbour is above this."""
    window: int = 500
    """How many candidates, or accepted samples, the two rules above look back on."""
    ask_after: int | None = None
    """Stop once, with exit code 3, when this many samples are accepted and no person has labelled any yet (synthgen label); a
    resume goes on in any case. null for never."""
    min_free_gigabytes: float = 0.1
    """End while the run folder's disk has at least this much room: enough to write down what is under way."""
    grace: float = 30.0
    """Seconds that what is in flight may take to finish when the run is interrupted."""

    def __post_init__(self) -> None:
        for key in (
            "target",
            "per_label",
            "label_attempts",
            "candidates",
            "output_tokens",
            "minutes",
            "idle_minutes",
            "window",
            "ask_after",
        ):
            value = getattr(self, key)
            if value is not None and value <= 0:
                raise ConfigError(f"budget.{key}: must be above 0, got {value}")
        for key in ("min_acceptance", "max_similarity"):
            if not 0 <= getattr(self, key) <= 1:
                raise ConfigError(f"budget.{key}: must be from 0 to 1, got {getattr(self, key)}")
        if self.min_free_gigabytes < 0:
            raise ConfigError(f"budget.min_free_gigabytes: must be 0 or more, got {self.min_free_gigabytes}")
        if self.grace < 0:
            raise ConfigError(f"budget.grace: must be 0 seconds or more, got {self.grace}")
        if self.until is not None:
            deadline(self.until, datetime.datetime.now())


def deadline(until: str, now: datetime.datetime) -> datetime.datetime:
    """Return the time that `until` names: the next such time of day after `now`, or a date and time.

    Raises ConfigError when it is neither.
    """
    try:
        if "-" in until:
            return datetime.datetime.fromisoformat(until).replace(tzinfo=None)
        moment = datetime.datetime.combine(now.date(), datetime.time.fromisoformat(until))
    except ValueError as error:
        raise ConfigError(f'budget.until: \'{until}\' is not a time such as "07:00" or "2030-01-31T07:00"') from error
    return moment if moment > now else moment + datetime.timedelta(days=1)


class StopRules:
    """Decide when a run is over. Feed every settled candidate in order; on resume, the earlier ones first."""

    def __init__(
        self,
        cfg: BudgetConfig,
        labels: Iterable[str],
        clock: Callable[[], float] = time.monotonic,
        free_bytes: Callable[[], float] = lambda: math.inf,
    ) -> None:
        self._cfg = cfg
        self._free_bytes = free_bytes
        self._clock = clock
        labels = list(labels)
        if cfg.per_label is not None and not labels:
            raise ConfigError("budget.per_label: only classification tasks have labels")
        self.target = min(cfg.target, cfg.per_label * len(labels)) if cfg.per_label is not None else cfg.target
        self.goal = Goal(self.target, cfg.per_label, cfg.candidates, cfg.label_attempts if labels else None)
        self.shares = Shares(labels, self.target, cfg.per_label)
        """What each label may still take; shared with the planner, which follows earlier goals while a run is restored."""
        self.accepted = 0
        self.candidates = 0
        self._outcomes: deque[bool] = deque(maxlen=cfg.window)
        self._hits = 0
        """How many of the outcomes are acceptances."""
        self._similarities: deque[float] = deque(maxlen=cfg.window)
        self._last_accepted = clock()
        seconds = (deadline(cfg.until, now) - now).total_seconds() if cfg.until and (now := _now()) else None
        self._alarms: list[Callable[[], str | None]] = []
        self._deadline = None if seconds is None else clock() + seconds

    def watch(self, alarm: Callable[[], str | None]) -> None:
        """Add a rule: end the run as soon as `alarm` returns a name."""
        self._alarms.append(alarm)

    def wants(self, label: str | None) -> bool:
        """Return True when one more sample with this label may be accepted."""
        return self.accepted < self.target and self.shares.lacks(label) > 0

    def inherited(self, label: str | None) -> None:
        """Count a sample that a fork began with: towards the target, and not as a candidate."""
        self.accepted += 1
        self.shares.add(label)

    def settled(self, label: str | None, similarity: float | None, surplus: bool = False) -> None:
        """Count a settled candidate: its cosine to its nearest neighbour if it was accepted, else None.

        One that was rejected as `surplus` alone says nothing about quality: the acceptance rate leaves it out.
        """
        self.candidates += 1
        if surplus:
            return
        if len(self._outcomes) == self._cfg.window:
            self._hits -= self._outcomes[0]
        self._outcomes.append(similarity is not None)
        self._hits += self._outcomes[-1]
        if similarity is not None:
            self.accepted += 1
            self.shares.add(label)
            self._similarities.append(similarity)
            self._last_accepted = self._clock()

    def reached(self) -> str | None:
        """Return the rule about candidates that ends the run here, if any."""
        cfg = self._cfg
        if self.accepted >= self.target:
            return "target"
        if cfg.candidates is not None and self.candidates >= cfg.candidates:
            return "candidates"
        if len(self._outcomes) == cfg.window and self._hits / cfg.window < cfg.min_acceptance:
            return "min_acceptance"
        if cfg.max_similarity < 1 and self._too_similar():
            return "max_similarity"
        return next((reason for alarm in self._alarms if (reason := alarm())), None)

    def _too_similar(self) -> bool:
        """Summed up anew each time, so that it is the same after a resume."""
        window = self._cfg.window
        return len(self._similarities) == window and sum(self._similarities) / window > self._cfg.max_similarity

    def spent(self, seconds: float, output_tokens: int) -> str | None:
        """Return the budget of time, tokens or disk space that is used up, if any."""
        cfg, now = self._cfg, self._clock()
        if cfg.output_tokens is not None and output_tokens >= cfg.output_tokens:
            return "output_tokens"
        if cfg.minutes is not None and seconds >= cfg.minutes * 60:
            return "minutes"
        if self._deadline is not None and now >= self._deadline:
            return "until"
        if cfg.idle_minutes is not None and now - self._last_accepted >= cfg.idle_minutes * 60:
            return "idle_minutes"
        if self._free_bytes() < cfg.min_free_gigabytes * 1e9:
            return "min_free_gigabytes"
        return None


class Surplus:
    """Rejects a candidate that passed all other checks where enough samples with its label were accepted."""

    spec = CheckSpec(
        "budget",
        "A sample that its label's share of the target, and the target, have room for.",
        (
            Reason(LABEL_FULL, "passed all checks, but its label had its share of the target", "budget.target"),
            Reason(
                OTHER_LABEL,
                "turned out to have another label than the one asked for, and that one had its share of the target",
                "budget.target",
            ),
            Reason(OVER_TARGET, "passed all checks, but the target was reached", "budget.target"),
        ),
        keeps_passes=False,
    )
    name = spec.name

    def __init__(self, rules: StopRules) -> None:
        self._rules = rules

    async def __call__(self, candidate: Candidate) -> Verdict:
        rules, label = self._rules, candidate.decided_label
        if rules.wants(label):
            return _ROOM
        reason = LABEL_FULL if label == candidate.label else OTHER_LABEL
        if rules.accepted >= rules.target:
            reason = OVER_TARGET
        return Verdict(check=self.name, outcome="reject", reason=reason, details={"label": label} if label else {})


_ROOM = Verdict(check=Surplus.name)


_LEAST_ACCEPTED, _LEAST_SECONDS, _FAR = 5, 5.0, 7 * 86_400.0


def time_left(missing: int, accepted: int, seconds: float) -> float | None:
    """Return the seconds that `missing` samples take at the pace of `accepted` ones in the last `seconds`.

    None while there are too few of them to tell, and where it would be more than a week.
    """
    if accepted < _LEAST_ACCEPTED or seconds < _LEAST_SECONDS or missing <= 0:
        return None
    left = missing * seconds / accepted
    return left if left <= _FAR else None


def going_on(cfg: BudgetConfig, reason: str) -> list[str]:
    """Return overrides that let a run stopped by `reason` continue: the budget doubled, the rule off."""
    if reason == "unfilled_labels" and cfg.label_attempts is not None:
        return [f"budget.label_attempts={2 * cfg.label_attempts}"]
    if reason in ("candidates", "output_tokens", "minutes", "idle_minutes"):
        return [f"budget.{reason}={2 * getattr(cfg, reason)}"]
    if reason == "canaries":
        return ["judge.canaries.stop=false"]
    if reason in ("collapse", "drift"):
        return ["diversity.alarms.stop=false"]
    off = {"until": "null", "min_acceptance": "0", "max_similarity": "1"}
    return [f"budget.{reason}={off[reason]}"] if reason in off else []


def resume_command(folder: Path, cfg: BudgetConfig, reason: str) -> str:
    """Return the command that continues the run in `folder`, stopped by `reason`, from the working directory."""
    return shlex.join(["synthgen", "resume", relative(folder), *going_on(cfg, reason)])


def relative(folder: Path) -> str:
    """Return the path of `folder` as it is shortest from the working directory."""
    here = Path.cwd()
    return str(folder.relative_to(here) if folder.is_relative_to(here) else folder)


def _now() -> datetime.datetime:
    return datetime.datetime.now()
