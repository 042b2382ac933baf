"""From grades to probabilities: a judge's scores held against rows that people rated, and what they are worth.

The maths alone: scores and ratings in, a calibrator, a threshold and figures out. scikit-learn does the fitting.
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
"""Good rows, and bad rows, without which nothing is calibrated."""
ISOTONIC_FROM = 300
"""Rows from which the curve is fitted rather than the line; see docs/decisions.md."""
_FOLDS = 5
_BINS = 10


class Platt(NamedTuple):
    """Calibrate with a sigmoid of a line (Platt 1999), which few rows can support."""

    slope: float
    intercept: float

    def __call__(self, score: float) -> float:
        return 1 / (1 + math.exp(-max(-500.0, min(500.0, self.slope * score + self.intercept))))

    def as_json(self) -> Json:
        return {"method": "platt", "slope": self.slope, "intercept": self.intercept}


class Isotonic(NamedTuple):
    """Calibrate with a curve that never falls, linear between knots, which needs many rows."""

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
    """Hold how often a good row outscores a bad one, ties counting half, with its 95 % interval (DeLong 1988)."""

    value: float
    low: float
    high: float


def fit(scores: Sequence[float], good: Sequence[bool]) -> Calibrator:
    """Map scores to the probability of good; never falling, so that a higher grade never counts for less."""
    x, y = np.asarray(scores, dtype=np.float64), np.asarray(good, dtype=np.float64)
    return _isotonic(x, y) if len(x) >= ISOTONIC_FROM else _platt(x, y)


def held_out(scores: Sequence[float], good: Sequence[bool], seed: int) -> list[float]:
    """Return the calibrated probability of each row, from a calibrator fitted without it."""
    x, y = np.asarray(scores, dtype=np.float64), np.asarray(good, dtype=bool)
    folds = stratified_folds(y, min(_FOLDS, int(y.sum()), int((~y).sum())), seed)
    found = [0.0] * len(x)
    for fold in np.unique(folds):
        calibrator = fit(x[folds != fold].tolist(), y[folds != fold].tolist())
        for row in np.flatnonzero(folds == fold):
            found[row] = calibrator(float(x[row]))
    return found


def auc(scores: Sequence[float], good: Sequence[bool]) -> Auc:
    """Compute the AUC; needs at least two good rows and two bad ones."""
    x, y = np.asarray(scores, dtype=np.float64), np.asarray(good, dtype=bool)
    up, down = x[y], x[~y]
    ranks = _midranks(x)
    beaten = (ranks[y] - _midranks(up)) / len(down)  # the share of bad rows below each good one
    beating = 1 - (ranks[~y] - _midranks(down)) / len(up)
    value = float(beaten.mean())
    error = math.sqrt(beaten.var(ddof=1) / len(up) + beating.var(ddof=1) / len(down))
    return Auc(value, max(0.0, value - 1.96 * error), min(1.0, value + 1.96 * error))


def reliability(probabilities: Sequence[float], good: Sequence[bool]) -> list[Json]:
    """Return the reliability curve: the predicted and the actual share per non-empty tenth."""
    p, y = np.asarray(probabilities, dtype=np.float64), np.asarray(good, dtype=np.float64)
    bins = np.minimum((p * _BINS).astype(np.int64), _BINS - 1)
    return [
        {"said": float(p[bins == b].mean()), "was": float(y[bins == b].mean()), "n": int((bins == b).sum())}
        for b in np.unique(bins)
    ]


def calibration_error(probabilities: Sequence[float], good: Sequence[bool]) -> float:
    """ECE: how far what was said lies from what was so, averaged over the rows of the reliability curve."""
    curve = reliability(probabilities, good)
    return float(sum(point["n"] * abs(point["said"] - point["was"]) for point in curve) / len(probabilities))


def best_threshold(probabilities: Sequence[float], good: Sequence[bool]) -> float:
    """Return the probability to accept from: it maximises the share of good rows taken minus that of bad rows.

    That is balanced accuracy, which does not depend on how many of the rated rows happen to be good. Half-way
    between the rows on either side of the cut; of equally good cuts the one that lets more pass.
    """
    p, y = np.asarray(probabilities, dtype=np.float64), np.asarray(good, dtype=bool)
    values = np.unique(p)
    cuts = np.concatenate([[0.0], (values[1:] + values[:-1]) / 2])
    gains = [(p[y] >= cut).mean() - (p[~y] >= cut).mean() for cut in cuts]
    return float(cuts[int(np.argmax(np.round(gains, 9)))])


def at_threshold(probabilities: Sequence[float], good: Sequence[bool], threshold: float) -> Json:
    """Return the shares of good and of bad rows that a threshold takes, and the precision among them."""
    p, y = np.asarray(probabilities, dtype=np.float64), np.asarray(good, dtype=bool)
    taken = p >= threshold
    return {
        "good_taken": float(taken[y].mean()),
        "bad_taken": float(taken[~y].mean()),
        "precision": float(y[taken].mean()) if taken.any() else None,
    }


@dataclass(frozen=True)
class Figures:
    """Hold the quality of predicted probabilities on rows that they were not fitted on."""

    auc: Auc
    ece: float
    curve: list[Json]

    @classmethod
    def of(cls, probabilities: Sequence[float], good: Sequence[bool]) -> "Figures":
        return cls(auc(probabilities, good), calibration_error(probabilities, good), reliability(probabilities, good))

    def as_json(self) -> Json:
        return {"auc": self.auc._asdict(), "ece": self.ece, "curve": self.curve}


def _midranks(x: Array) -> Array:
    """Return ranks from 1; equal values share the middle rank."""
    _, place, count = np.unique(x, return_inverse=True, return_counts=True)
    return np.asarray((np.cumsum(count) - (count - 1) / 2)[place], dtype=np.float64)


def _platt(x: Array, y: Array) -> Platt:
    """Platt's line to his smoothed targets: each row counts as good and as bad, in the proportion of its target."""
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
    if slope <= 0:  # a judge that prefers the bad is not turned round: it is not to be trusted
        return flat
    return Platt(slope, float(model.intercept_[0]) - slope * middle)


def _isotonic(x: Array, y: Array) -> Isotonic:
    """Kept off 0 and 1, which no number of rows can prove."""
    from sklearn.isotonic import IsotonicRegression

    least = 1 / (len(y) + 2)
    model = IsotonicRegression(y_min=least, y_max=1 - least).fit(x, y)
    return Isotonic(tuple(map(float, model.X_thresholds_)), tuple(map(float, model.y_thresholds_)))
