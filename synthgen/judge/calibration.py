"""Calibrate a judge: fit a map from its scores to probabilities on rows that people rated, and measure its quality.

This module holds the maths only. It takes scores and ratings, and returns a calibrator, a threshold and figures.
scikit-learn does the fitting.
"""

import bisect
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from synthgen.numerics.folds import stratified_folds
from synthgen.records import Json

Array = npt.NDArray[np.float64]

LEAST_OF_EACH = 5
"""Minimum number of good rows, and of bad rows, for a calibration."""
ISOTONIC_FROM = 300
"""Minimum number of rows for the isotonic curve; with fewer, the sigmoid is fitted. See docs/decisions.md."""
_FOLDS = 5
_BINS = 10


class Platt(NamedTuple):
    """Calibrate with a sigmoid of a line (Platt 1999), for which few rows are enough."""

    slope: float
    intercept: float

    def __call__(self, score: float) -> float:
        return 1 / (1 + math.exp(-max(-500.0, min(500.0, self.slope * score + self.intercept))))

    def as_json(self) -> Json:
        return {"method": "platt", "slope": self.slope, "intercept": self.intercept}


class Isotonic(NamedTuple):
    """Calibrate with a monotone curve, linear between knots, which needs many rows."""

    scores: tuple[float, ...]
    shares: tuple[float, ...]

    def __call__(self, score: float) -> float:
        after = bisect.bisect_right(self.scores, score)
        if after == 0:
            return self.shares[0]
        if after == len(self.scores):
            return self.shares[-1]
        low, high = self.scores[after - 1], self.scores[after]
        part = (score - low) / (high - low)
        return self.shares[after - 1] + part * (self.shares[after] - self.shares[after - 1])

    def as_json(self) -> Json:
        return {"method": "isotonic", "knots": [list(knot) for knot in zip(self.scores, self.shares, strict=True)]}


Calibrator = Platt | Isotonic


class Auc(NamedTuple):
    """Hold the AUC with its 95 % interval (DeLong 1988): the rate at which a good row outscores a bad one.

    Ties count half.
    """

    value: float
    low: float
    high: float


def fit(scores: Sequence[float], good: Sequence[bool]) -> Calibrator:
    """Fit a map from scores to the probability that a row is good. A higher score never gives a lower probability."""
    x, y = np.asarray(scores, dtype=np.float64), np.asarray(good, dtype=np.float64)
    return _isotonic(x, y) if len(x) >= ISOTONIC_FROM else _platt(x, y)


def held_out(scores: Sequence[float], good: Sequence[bool], seed: int) -> list[float]:
    """Return the calibrated probability of each row, from a calibrator fitted on the folds without that row."""
    x, y = np.asarray(scores, dtype=np.float64), np.asarray(good, dtype=bool)
    folds = stratified_folds(y, min(_FOLDS, int(y.sum()), int((~y).sum())), seed)
    found = [0.0] * len(x)
    for fold in np.unique(folds):
        calibrator = fit(x[folds != fold].tolist(), y[folds != fold].tolist())
        for row in np.flatnonzero(folds == fold):
            found[row] = calibrator(float(x[row]))
    return found


def auc(scores: Sequence[float], good: Sequence[bool]) -> Auc:
    """Compute the AUC. Needs at least two good rows and two bad rows."""
    x, y = np.asarray(scores, dtype=np.float64), np.asarray(good, dtype=bool)
    up, down = x[y], x[~y]
    ranks = _midranks(x)
    beaten = (ranks[y] - _midranks(up)) / len(down)  # the share of bad rows below each good one
    beating = 1 - (ranks[~y] - _midranks(down)) / len(up)
    value = float(beaten.mean())
    error = math.sqrt(beaten.var(ddof=1) / len(up) + beating.var(ddof=1) / len(down))
    return Auc(value, max(0.0, value - 1.96 * error), min(1.0, value + 1.96 * error))


def reliability(probabilities: Sequence[float], good: Sequence[bool]) -> list[Json]:
    """Return the reliability curve: for each non-empty bin of ten, the mean prediction and the share of good rows."""
    p, y = np.asarray(probabilities, dtype=np.float64), np.asarray(good, dtype=np.float64)
    bins = np.minimum((p * _BINS).astype(np.int64), _BINS - 1)
    return [
        {"said": float(p[bins == b].mean()), "was": float(y[bins == b].mean()), "n": int((bins == b).sum())}
        for b in np.unique(bins)
    ]


def calibration_error(probabilities: Sequence[float], good: Sequence[bool]) -> float:
    """Return the expected calibration error: the mean gap between prediction and share in the reliability curve."""
    curve = reliability(probabilities, good)
    return float(sum(point["n"] * abs(point["said"] - point["was"]) for point in curve) / len(probabilities))


def best_threshold(probabilities: Sequence[float], good: Sequence[bool]) -> float:
    """Return the acceptance threshold: it maximises the share of good rows accepted minus the share of bad rows.

    This maximises balanced accuracy, which does not depend on the proportion of good rows among the rated ones. The
    threshold lies half-way between the rows on either side of it. Of equally good thresholds, the lowest is returned.
    """
    p, y = np.asarray(probabilities, dtype=np.float64), np.asarray(good, dtype=bool)
    values = np.unique(p)
    cuts = np.concatenate([[0.0], (values[1:] + values[:-1]) / 2])
    gains = [(p[y] >= cut).mean() - (p[~y] >= cut).mean() for cut in cuts]
    return float(cuts[int(np.argmax(np.round(gains, 9)))])


def at_threshold(probabilities: Sequence[float], good: Sequence[bool], threshold: float) -> Json:
    """Return the shares of good and of bad rows that a threshold accepts, and the precision among accepted rows."""
    p, y = np.asarray(probabilities, dtype=np.float64), np.asarray(good, dtype=bool)
    taken = p >= threshold
    return {
        "good_taken": float(taken[y].mean()),
        "bad_taken": float(taken[~y].mean()),
        "precision": float(y[taken].mean()) if taken.any() else None,
    }


@dataclass(frozen=True)
class CalibrationFigures:
    """Hold the quality of predicted probabilities on rows that they were not fitted on."""

    auc: Auc
    ece: float
    curve: list[Json]

    @classmethod
    def of(cls, probabilities: Sequence[float], good: Sequence[bool]) -> "CalibrationFigures":
        return cls(auc(probabilities, good), calibration_error(probabilities, good), reliability(probabilities, good))

    def as_json(self) -> Json:
        return {"auc": self.auc._asdict(), "ece": self.ece, "curve": self.curve}


def _midranks(x: Array) -> Array:
    """Return ranks, starting at 1. Equal values share their middle rank."""
    _, place, count = np.unique(x, return_inverse=True, return_counts=True)
    return np.asarray((np.cumsum(count) - (count - 1) / 2)[place], dtype=np.float64)


def _platt(x: Array, y: Array) -> Platt:
    """Fit Platt's sigmoid to his smoothed targets. Each row counts as good and as bad, in proportion to its target."""
    from sklearn.linear_model import LogisticRegression

    n_good, n_bad = y.sum(), len(y) - y.sum()
    target = np.where(y > 0, (n_good + 1) / (n_good + 2), 1 / (n_bad + 2))
    base = float(target.mean())
    flat = Platt(0.0, math.log(base / (1 - base)))
    if np.ptp(x) == 0:
        return flat
    middle, spread = float(x.mean()), float(x.std())
    column: Any = np.concatenate([x, x])[:, None]
    model = LogisticRegression(C=np.inf).fit(
        (column - middle) / spread,
        np.repeat([1, 0], len(x)),
        sample_weight=np.concatenate([target, 1 - target]),
    )
    slope = float(model.coef_[0, 0]) / spread
    if slope <= 0:  # a judge that prefers bad rows is not inverted, because it cannot be trusted
        return flat
    return Platt(slope, float(model.intercept_[0]) - slope * middle)


def _isotonic(x: Array, y: Array) -> Isotonic:
    """Fit an isotonic regression whose values stay away from 0 and 1, because no number of rows can prove those."""
    from sklearn.isotonic import IsotonicRegression

    least = 1 / (len(y) + 2)
    model = IsotonicRegression(y_min=least, y_max=1 - least).fit(x, y)
    return Isotonic(tuple(map(float, model.X_thresholds_)), tuple(map(float, model.y_thresholds_)))
