"""Measure how far people agree: per cent, Cohen's, Fleiss' and Krippendorff's coefficients, with bootstrap intervals.

The figures themselves come from scikit-learn, statsmodels and `krippendorff`. Their intervals come from the same
formulas on many resamples at once, because thousands of calls of the libraries would take minutes. Samples are
resampled, not answers, because the answers to one sample depend on each other.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
import numpy.typing as npt

from synthgen.labels.answers import by_sample, explained, ordinary
from synthgen.records import PersonAnswer

Floats = npt.NDArray[np.float64]
RESAMPLES = 1000
_LEVEL = 0.95
_ONE_ANSWER = "all answers are the same, so that agreement by chance cannot be told from any other"


@dataclass(frozen=True)
class Figure:
    """Hold a figure with its 95 per cent bootstrap interval; None where one of them is undefined."""

    value: float | None
    low: float | None = None
    high: float | None = None
    undefined: str | None = None
    """Why the figure, or its interval, is undefined."""


@dataclass(frozen=True)
class Pair:
    """Hold the agreement of two people."""

    people: tuple[str, str]
    shared: int
    percent: Figure
    kappa: Figure
    """Cohen's kappa."""


@dataclass(frozen=True)
class OfLabel:
    """Hold the agreement on one label against all others."""

    label: str
    answers: int
    """Number of answers that are this label, over the samples of several people."""
    percent: Figure
    """Share of the pairs of answers with this label on at least one side that have it on both."""
    alpha: Figure


@dataclass(frozen=True)
class Agreement:
    """Hold the agreement of people over the samples that several of them answered."""

    shared: int
    people: tuple[str, ...]
    percent: Figure
    """Share of equal pairs of answers, as a mean over samples."""
    alpha: Figure
    """Krippendorff's alpha, nominal."""
    fleiss: Figure
    """Fleiss' kappa over the samples with the most common number of answers."""
    fleiss_samples: int
    """Number of these samples."""
    pairs: tuple[Pair, ...]
    labels: tuple[OfLabel, ...]


def measure(answers: Sequence[PersonAnswer], labels: Sequence[str], seed: int = 0) -> Agreement | None:
    """Return the agreement of people, without adjudications; None when no sample has answers of two people.

    `labels` gives the order of the labels; "not a sample" counts as a label of its own.
    """
    units = [given for given in by_sample(ordinary(answers)).values() if len(given) > 1]
    if not units:
        return None
    said = {one.answer for given in units for one in given}
    names: list[str | None] = [label for label in labels if label in said]
    names += sorted(label for label in said - set(names) if label is not None)
    names += [None] if None in said else []
    column = {name: place for place, name in enumerate(names)}
    counts = np.zeros((len(units), len(names)))
    for row, given in enumerate(units):
        for one in given:
            counts[row, column[one.answer]] += 1
    weights = resamples(len(units), seed)
    people = tuple(sorted({one.annotator for given in units for one in given}))
    sizes = counts.sum(1)
    usual = max(set(sizes.tolist()), key=lambda size: (int((sizes == size).sum()), size))
    same = counts[sizes == usual]
    return Agreement(
        shared=len(units),
        people=people,
        percent=_figure(float(_percent(counts, np.ones((1, len(units))))[0]), _percent(counts, weights)),
        alpha=_figure(alpha(counts), _alpha(counts, weights), _ONE_ANSWER),
        fleiss=_figure(_fleiss_value(same), _fleiss(same, resamples(len(same), seed)), _ONE_ANSWER),
        fleiss_samples=len(same),
        pairs=tuple(_pair(one, other, units, column, seed) for one, other in combinations(people, 2)),
        labels=tuple(
            _of_label(explained(name), counts[:, [place]], sizes, weights) for place, name in enumerate(names)
        ),
    )


def resamples(units: int, seed: int) -> Floats:
    """Return how often each unit occurs in each resample, of shape (RESAMPLES, units)."""
    rng = np.random.default_rng(seed)
    return (
        rng.multinomial(units, np.full(units, 1 / units), size=RESAMPLES).astype(float) if units else np.empty((0, 0))
    )


def alpha(counts: Floats) -> float | None:
    """Return Krippendorff's alpha of the counts of each answer, of shape (units, answers); None when undefined."""
    import krippendorff

    if (counts.sum(0) > 0).sum() < 2:
        return None
    return float(krippendorff.alpha(value_counts=counts.astype(int), level_of_measurement="nominal"))


def _percent(counts: Floats, weights: Floats) -> Floats:
    sizes = counts.sum(1)
    equal = (counts * (counts - 1)).sum(1) / (sizes * (sizes - 1))
    return np.asarray(weights @ equal / weights.sum(1))


def _alpha(counts: Floats, weights: Floats) -> Floats:
    """Compute nominal alpha for each resample (Krippendorff 2011)."""
    sizes = counts.sum(1)
    differing = (sizes**2 - (counts**2).sum(1)) / (sizes - 1)
    totals = weights @ counts
    n = totals.sum(1)
    expected = (n**2 - (totals**2).sum(1)) / (n - 1)
    return _divided(weights @ differing, expected)


def _fleiss_value(counts: Floats) -> float | None:
    from statsmodels.stats.inter_rater import fleiss_kappa

    if (counts.sum(0) > 0).sum() < 2:
        return None
    return float(fleiss_kappa(counts[:, counts.sum(0) > 0], method="fleiss"))


def _fleiss(counts: Floats, weights: Floats) -> Floats:
    n = counts.sum(1)[0]
    observed = weights @ ((counts * (counts - 1)).sum(1) / (n * (n - 1))) / weights.sum(1)
    shares = weights @ counts / (weights.sum(1, keepdims=True) * n)
    return _divided(1 - observed, 1 - (shares**2).sum(1))


def _pair(
    one: str, other: str, units: Sequence[Sequence[PersonAnswer]], column: dict[str | None, int], seed: int
) -> Pair:
    found = [{given.annotator: column[given.answer] for given in unit} for unit in units]
    both = [(unit[one], unit[other]) for unit in found if one in unit and other in unit]
    if not both:
        none = Figure(None, undefined="these two have answered no sample in common")
        return Pair((one, other), 0, none, none)
    answers = np.array(both)
    cells = np.zeros((len(both), len(column), len(column)))
    cells[np.arange(len(both)), answers[:, 0], answers[:, 1]] = 1
    weights = resamples(len(both), seed)
    joint = np.tensordot(weights, cells, 1) / len(both)
    equal = joint.trace(axis1=1, axis2=2)
    expected = (joint.sum(2) * joint.sum(1)).sum(1)
    percent = float((answers[:, 0] == answers[:, 1]).mean())
    return Pair(
        (one, other),
        len(both),
        _figure(percent, equal),
        _figure(_cohen(answers), _divided(1 - equal, 1 - expected), _ONE_ANSWER),
    )


def _cohen(answers: npt.NDArray[Any]) -> float | None:
    from sklearn.metrics import cohen_kappa_score

    if len(np.unique(answers)) < 2:
        return None
    return float(cohen_kappa_score(answers[:, 0], answers[:, 1]))


def _of_label(label: str, own: Floats, sizes: Floats, weights: Floats) -> OfLabel:
    counts = np.hstack([own, sizes[:, None] - own])
    pairs = sizes * (sizes - 1)
    both = (own[:, 0] * (own[:, 0] - 1)) / pairs
    some = both + 2 * own[:, 0] * (sizes - own[:, 0]) / pairs
    shares = 1 - _divided(weights @ both, weights @ some)
    value = float(both.sum() / some.sum()) if some.sum() else None
    coefficient = _figure(alpha(counts), _alpha(counts, weights), _ONE_ANSWER)
    return OfLabel(label, int(own.sum()), _figure(value, shares), coefficient)


def _divided(one: Floats, other: Floats) -> Floats:
    """Return 1 - one / other, NaN where `other` is 0."""
    return np.where(other > 1e-12, 1 - one / np.where(other > 1e-12, other, 1.0), np.nan)


def _figure(value: float | None, resampled: Floats, why: str = "") -> Figure:
    """Return a figure with its interval; `why` says why a figure without a value is undefined."""
    if value is None or not np.isfinite(value):
        return Figure(None, undefined=why)
    kept = resampled[np.isfinite(resampled)]
    if not len(kept):
        return Figure(round(value, 4), undefined="the interval, because it is undefined in every resample")
    low, high = np.quantile(kept, [(1 - _LEVEL) / 2, (1 + _LEVEL) / 2])
    return Figure(round(value, 4), round(float(low), 4), round(float(high), 4))
