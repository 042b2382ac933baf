"""Decide when a run ends: at its target, at a budget, or when continuing is no longer worthwhile.

Each stop rule has the name of its config key, and summary.json gives that name as the reason. Rules about candidates
count them in slot order, so an interruption of the run does not change their result. Rules about time or disk space do
not have this property.
"""

import datetime
import math
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from synthgen.errors import ConfigError
from synthgen.generate.balance import Shares
from synthgen.generate.planner import Goal
from synthgen.records import LABEL_FULL, OTHER_LABEL, OVER_TARGET, THINKING_ONLY, Candidate, CheckSpec, Reason, Verdict
from synthgen.tasks.typed import nearest

_MOST_ONLY_THOUGHT = 32  # candidates in a row that are thinking without an answer


@dataclass
class BudgetConfig:
    target: int = 200
    """Number of accepted samples at which the run ends. It is split evenly among the labels of a classification task, and
    among the values of `task.assign`."""
    per_label: int | None = None
    """Number of accepted samples per label (classification). The run ends when every label has so many, or at the
    target."""
    quotas: dict[str, int] = field(default_factory=dict)
    """Number of accepted samples of each label, instead of an even split of the target, such as {spam: 40, ham: 5}. A label
    that is not named gets none. The run ends when every label has its number, or at the target. `synthgen prepare
    --write-quotas` writes a file that sets it to what a dataset lacks. Empty: an even split."""
    label_attempts: int | None = 20
    """Most generation requests for a label per sample of its share, plus 50 (classification). After that the run gives
    the label up, and ends when all other labels have their share. null for no limit."""
    candidates: int | None = None
    """Stop after this many candidates; null for no limit."""
    output_tokens: int | None = None
    """Stop after this many generated tokens, including the judge's; null for no limit."""
    minutes: float | None = None
    """Stop after this many minutes of generation, counted from when the engine is ready and over all sessions of the
    run; null for no limit."""
    until: str | None = None
    """Stop at this local time: "07:00" for the next time that the clock shows it, or a date and time in ISO 8601."""
    idle_minutes: float | None = 60.0
    """Stop when no sample was accepted for this many minutes; null for never. It does not apply to engine=openai_batch."""
    min_acceptance: float = 0.005
    """Stop when the acceptance rate of the last `window` candidates is below this; 0 for never."""
    max_similarity: float = 1.0
    """Stop when the mean cosine of the last `window` accepted samples to their nearest neighbours is above this."""
    window: int = 500
    """Number of latest candidates for `min_acceptance`, and of latest accepted samples for `max_similarity`."""
    ask_after: int | None = None
    """Stop with exit code 3 when this many samples are accepted and no person has labelled one yet (`synthgen label`).
    This happens at most once; a resume continues the run in any case. null for never."""
    min_free_gigabytes: float = 0.1
    """Stop when the disk of the run folder has less free space than this, in gigabytes, so that work in flight can
    still be saved."""
    grace: float = 30.0
    """Seconds that requests in flight may take to finish when the run is interrupted."""

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
        if wrong := next((label for label, count in self.quotas.items() if count < 0), None):
            raise ConfigError(f"budget.quotas.{wrong}: must be 0 or more, got {self.quotas[wrong]}")
        if self.quotas and not sum(self.quotas.values()):
            raise ConfigError("budget.quotas: every label has 0 samples; ask for one sample or more")
        if self.quotas and self.per_label is not None:
            raise ConfigError("budget.quotas: excludes budget.per_label; set only one of them")
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

    Raise ConfigError when `until` is neither.
    """
    try:
        if "-" in until:
            return datetime.datetime.fromisoformat(until).replace(tzinfo=None)
        moment = datetime.datetime.combine(now.date(), datetime.time.fromisoformat(until))
    except ValueError as error:
        raise ConfigError(f'budget.until: \'{until}\' is not a time such as "07:00" or "2030-01-31T07:00"') from error
    return moment if moment > now else moment + datetime.timedelta(days=1)


def _check_quotas(quotas: Mapping[str, int], labels: Sequence[str]) -> None:
    """Raise ConfigError for a quota of a label that the task does not have."""
    if quotas and not labels:
        raise ConfigError("budget.quotas: only classification tasks and tasks with task.assign have labels")
    if unknown := next((label for label in quotas if label not in labels), None):
        raise ConfigError(f"budget.quotas: the task has no label '{unknown}'{nearest(unknown, labels)}")


class StopRules:
    """Decide when a run ends. Count every settled candidate in order; on resume, count the earlier candidates first."""

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
            raise ConfigError("budget.per_label: only classification tasks and tasks with task.assign have labels")
        _check_quotas(cfg.quotas, labels)
        self.target = cfg.target
        if cfg.per_label is not None:
            self.target = min(cfg.target, cfg.per_label * len(labels))
        if cfg.quotas:
            self.target = min(cfg.target, sum(cfg.quotas.values()))
        attempts, quotas = cfg.label_attempts if labels else None, dict(cfg.quotas) or None
        self.goal = Goal(self.target, cfg.per_label, cfg.candidates, attempts, quotas)
        self.shares = Shares(labels, self.target, cfg.per_label, quotas)
        """The samples that each label still needs. The planner shares this object and sets earlier goals during a
        restore."""
        self.accepted = 0
        self.candidates = 0
        self._outcomes: deque[bool] = deque(maxlen=cfg.window)
        self._hits = 0
        """Number of acceptances among the outcomes."""
        self._only_thought = 0
        self._similarities: deque[float] = deque(maxlen=cfg.window)
        self._last_accepted = clock()
        seconds = (deadline(cfg.until, now) - now).total_seconds() if cfg.until and (now := _now()) else None
        self._alarms: list[Callable[[], str | None]] = []
        self._deadline = None if seconds is None else clock() + seconds

    def watch(self, alarm: Callable[[], str | None]) -> None:
        """End the run as soon as `alarm` returns the name of a rule."""
        self._alarms.append(alarm)

    def wants(self, label: str | None) -> bool:
        """Return True when one more sample with this label may be accepted."""
        return self.accepted < self.target and self.shares.lacks(label) > 0

    def inherited(self, label: str | None) -> None:
        """Count a sample that a fork took over. It counts towards the target, but not as a candidate."""
        self.accepted += 1
        self.shares.add(label)

    def settled(self, label: str | None, similarity: float | None, surplus: bool = False) -> None:
        """Count a settled candidate. `similarity` is its cosine to its nearest neighbour if it was accepted, else None.

        The acceptance rate leaves out a candidate that was rejected only as `surplus`, which says nothing about
        quality.
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

    def replied(self, finish_reason: str) -> None:
        """Count a candidate of this session that is thinking without an answer; any other candidate ends the count.

        Earlier sessions do not count, so that a resume with other settings can try again.
        """
        self._only_thought = self._only_thought + 1 if finish_reason == THINKING_ONLY else 0

    def reached(self) -> str | None:
        """Return the name of the rule about candidates that ends the run now, or None."""
        cfg = self._cfg
        if self.accepted >= self.target:
            return "target"
        if cfg.candidates is not None and self.candidates >= cfg.candidates:
            return "candidates"
        if self._only_thought >= _MOST_ONLY_THOUGHT:
            return THINKING_ONLY
        if len(self._outcomes) == cfg.window and self._hits / cfg.window < cfg.min_acceptance:
            return "min_acceptance"
        if cfg.max_similarity < 1 and self._too_similar():
            return "max_similarity"
        for alarm in self._alarms:
            if reason := alarm():
                return reason
        return None

    def _too_similar(self) -> bool:
        """Return True when the mean similarity is above the limit.

        Add the values up from the start each time: a running sum would round differently after a resume.
        """
        window = self._cfg.window
        return len(self._similarities) == window and sum(self._similarities) / window > self._cfg.max_similarity

    def spent(self, seconds: float, output_tokens: int) -> str | None:
        """Return the name of the budget of time, tokens or disk space that is used up, or None."""
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
    """Reject a candidate that passed all other checks when enough samples with its label were accepted already."""

    spec = CheckSpec(
        "budget",
        "The label of the sample still needs samples, and the run has not reached its target.",
        (
            Reason(LABEL_FULL, "passed all checks, but its label already had its share of the target", "budget.target"),
            Reason(
                OTHER_LABEL,
                "has another label than the one asked for, and that label already had its share of the target",
                "budget.target",
            ),
            Reason(OVER_TARGET, "passed all checks, but the run had already reached its target", "budget.target"),
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
    """Return the seconds until `missing` samples are accepted, at the pace of `accepted` samples in `seconds`.

    Return None when `accepted` is too small for an estimate, or when the estimate is more than a week.
    """
    if accepted < _LEAST_ACCEPTED or seconds < _LEAST_SECONDS or missing <= 0:
        return None
    left = missing * seconds / accepted
    return left if left <= _FAR else None


def _now() -> datetime.datetime:
    return datetime.datetime.now()
