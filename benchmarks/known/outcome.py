"""Find what became of the known generator's replies in a run: caught or not, by which check, and with which label."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from benchmarks.known.faults import COPY, CUT_OFF, GOOD, KINDS, NEAR, OFF_TASK, RUN_OUT, WRONG
from benchmarks.known.writer import Plant
from synthgen.labels.pool import Weighed
from synthgen.ledger import Reader
from synthgen.records import Json

_NOT_JUDGED = frozenset({"budget"})
"""Checks that reject a sample because there are enough of its kind, whatever it is like."""
_BINS = 10


@dataclass(frozen=True)
class Fate:
    """Hold a reply and its result in the run; `label` is the sample's, None if it was rejected."""

    plant: Plant
    sample: str | None
    label: str | None
    check: str | None
    reason: str | None

    @property
    def why(self) -> str:
        return self.reason or self.check or "unknown"


def fates(reader: Reader, plants: Sequence[Plant]) -> list[Fate]:
    """Return every settled candidate of the ledger that was judged, in slot order.

    Raises LookupError for a candidate that is no reply of the known generator.
    """
    known = {plant.reply: plant for plant in plants}
    sql = (
        'SELECT c.text, s.id, s.label, c."check", c.reason FROM candidates c'
        " LEFT JOIN samples s ON s.slot = c.slot AND s.item = c.item ORDER BY c.slot, c.item"
    )
    found = [Fate(known[text], *rest) for text, *rest in reader.rows(sql)]
    return [fate for fate in found if fate.check not in _NOT_JUDGED]


@dataclass
class Counts:
    """Count the fates of one or several runs."""

    planted: Counter[str] = field(default_factory=Counter)
    caught: Counter[str] = field(default_factory=Counter)
    reasons: dict[str, Counter[str]] = field(default_factory=lambda: {kind: Counter() for kind in (*KINDS, RUN_OUT)})
    relabelled_right: int = 0
    accepted: int = 0
    kept_right: int = 0
    doubled: Counter[str] = field(default_factory=Counter)
    """Accepted samples whose row another accepted one has. A duplicate whose original was rejected is not one of them."""
    posteriors: list[tuple[float, bool]] = field(default_factory=list)
    """For each accepted sample with a true label: the final label model's probability of its likeliest label, and True if that is right."""

    def add(self, found: Sequence[Fate], worth: Mapping[str, Weighed]) -> None:
        """Count the fates of one run; `worth` are its accepted samples' label probabilities, by sample id."""
        rows = Counter(fate.plant.source for fate in found if fate.sample is not None)
        for fate in found:
            plant, kind = fate.plant, fate.plant.kind
            self.planted[kind] += 1
            if fate.sample is None:
                self.reasons[kind][fate.why] += 1
            elif fate.label != plant.asked:
                self.reasons[kind]["relabelled"] += 1
            self.caught[kind] += is_caught(fate)
            if fate.sample is None:
                continue
            self.accepted += 1
            self.kept_right += fate.label == plant.true
            self.relabelled_right += kind == WRONG and fate.label == plant.true
            self.doubled[kind] += plant.source >= 0 and rows[plant.source] > 1
            if plant.true is not None:
                self.posteriors.append(_likeliest(fate, worth.get(fate.sample, Weighed())))

    def figures(self) -> Json:
        """Return shares by key; None where nothing was there to share."""
        sums: Json = {f"caught.{kind}": _share(self.caught[kind], self.planted[kind])
                      for kind in (WRONG, NEAR, COPY, OFF_TASK, CUT_OFF)}  # fmt: skip
        shares = np.asarray([share for share, _ in self.posteriors])
        right = np.asarray([float(was) for _, was in self.posteriors])
        return {
            **sums,
            "relabelled_right": _share(self.relabelled_right, self.planted[WRONG]),
            "lost_good": _share(self.caught[GOOD], self.planted[GOOD]),
            **{
                f"lost_good.{why}": _share(count, self.planted[GOOD])
                for why, count in sorted(self.reasons[GOOD].items())
            },
            "accepted": self.accepted,
            "kept_right": _share(self.kept_right, self.accepted),
            **{f"doubled.{kind}": _share(self.doubled[kind], self.planted[kind]) for kind in (NEAR, COPY)},
            "model_right": float(right.mean()) if len(right) else None,
            "model_sure": float(shares.mean()) if len(right) else None,
            "model_ece": calibration_error(shares, right) if len(right) else None,
            **{f"planted.{kind}": self.planted[kind] for kind in (*KINDS, RUN_OUT)},
        }


def is_caught(fate: Fate) -> bool:
    """Return True for a rejected reply, and for a new whole row that got another label than the requested one."""
    relabelled = fate.plant.kind in (WRONG, GOOD) and fate.label != fate.plant.asked
    return fate.sample is None or relabelled


def calibration_error(shares: np.ndarray, right: np.ndarray) -> float:
    """Return the expected calibration error (Guo et al. 2017) over ten bins of equal width."""
    bins = np.minimum((shares * _BINS).astype(int), _BINS - 1)
    gaps = [abs(float((right - shares)[bins == place].sum())) for place in range(_BINS)]
    return sum(gaps) / len(shares)


def _likeliest(fate: Fate, worth: Weighed) -> tuple[float, bool]:
    labels = worth.labels or {str(fate.label): 1.0}
    best = max(labels, key=lambda label: labels[label])
    return float(labels[best]), best == fate.plant.true


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None
