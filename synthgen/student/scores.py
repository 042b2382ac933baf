"""Compute figures on held-out rows: macro scores, losses, and the bootstrap intervals of all metrics.

It uses NumPy only, and depends on no model. The metrics of generated texts are in `synthgen.student.metrics`. The
bootstrap resamples the eval rows, after the figures are averaged over the repeated trainings. The intervals therefore do
not cover the variation between trainings.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from synthgen.records import Json

Ints = npt.NDArray[np.intp]
Floats = npt.NDArray[np.float64]
Figures = Callable[[Ints], dict[str, float]]
"""Function from the indices of eval rows to the figures of one arm on these rows."""

SEEDS_ONLY, DESCRIBED, SYNTHETIC = "seeds_only", "described", "synthetic"
"""The arms: seeds; seeds and label rows; seeds, label rows and synthetic rows."""
SPOKEN = {SEEDS_ONLY: "seeds only", DESCRIBED: "with label rows", SYNTHETIC: "with synthetic rows"}
"""The arms in words."""
GAINS = {"gain": (SEEDS_ONLY, SYNTHETIC), "gain_over_described": (DESCRIBED, SYNTHETIC)}
"""The reported differences between two arms: the second arm minus the first."""
LOWER_IS_BETTER = ("loss", "perplexity", "mae")
_PRF = ("precision", "recall", "f1")


def intervals(
    arms: Mapping[str, Figures],
    rows: int,
    resamples: int,
    confidence: float,
    seed: int,
    gains: Mapping[str, tuple[str, str]] = GAINS,
) -> dict[str, Json]:
    """Return {arm: {figure: {mean, low, high}}}: each figure on all rows, and its percentile interval.

    Each of `gains` whose two arms exist is added. It is the second arm minus the first on the same resamples, a paired
    difference (Efron and Tibshirani, 1993). Its sign is chosen so that above 0 is better.
    """
    rng = np.random.default_rng(seed)
    samples = [np.arange(rows), *(rng.integers(0, rows, rows) for _ in range(resamples))]
    drawn: dict[str, dict[str, Floats]] = {}
    for arm, figures in arms.items():
        table = [figures(sample) for sample in samples]
        drawn[arm] = {name: np.asarray([row[name] for row in table]) for name in table[0]}
    for gain, (first, second) in gains.items():
        if first in arms and second in arms:
            one, other = drawn[first], drawn[second]
            drawn[gain] = {
                name: one[name] - other[name] if name in LOWER_IS_BETTER else other[name] - one[name] for name in one
            }
    return {
        arm: {name: _interval(values, confidence) for name, values in figures.items()} for arm, figures in drawn.items()
    }


def _interval(values: Floats, confidence: float) -> Json:
    """Return the mean and the bounds. `values` holds the figure on all rows first, then on each resample."""
    tail = 50 * (1 - confidence)
    low, high = np.nanpercentile(values[1:], [tail, 100 - tail])
    found = {"mean": float(values[0]), "low": float(low), "high": float(high)}
    return {name: value if math.isfinite(value) else None for name, value in found.items()}


def macro_figures(truth: Ints, predicted: Ints, classes: int) -> Figures:
    """Return accuracy and macro precision, recall and F1; `predicted` has shape (repeats, rows)."""

    def figures(rows: Ints) -> dict[str, float]:
        averages = macro(confusion(truth[rows], predicted[:, rows], classes))
        return {name: float(values.mean()) for name, values in averages.items()}

    return figures


def text_figures(losses: Floats, tokens: Floats, metrics: Mapping[str, Callable[[Ints], float]]) -> Figures:
    """Return the metrics, and loss and perplexity per token. `losses` are sums over a row's tokens.

    `losses` has shape (repeats, rows), and `tokens` has shape (rows,).
    """

    def figures(rows: Ints) -> dict[str, float]:
        loss = float(losses[:, rows].mean(0).sum() / max(tokens[rows].sum(), 1))
        found = {name: metric(rows) for name, metric in metrics.items()}
        return {**found, "loss": loss, "perplexity": float(np.exp(loss))}

    return figures


def span_figures(counts: Floats) -> Figures:
    """Return span precision, recall and F1 over all types (micro average), as seqeval computes them.

    `counts` has shape (repeats, rows, types, 3), with the numbers of correct, predicted and true spans.
    """

    def figures(rows: Ints) -> dict[str, float]:
        found = precision_recall_f1(*counts[:, rows].sum((1, 2)).T)
        return {f"span_{name}": float(values.mean()) for name, values in zip(_PRF, found, strict=True)}

    return figures


def precision_recall_f1(hit: Floats, predicted: Floats, support: Floats) -> tuple[Floats, Floats, Floats]:
    """Compute precision, recall and F1 from counts of any shape; 0 / 0 is 0."""
    return hit / np.maximum(predicted, 1), hit / np.maximum(support, 1), 2 * hit / np.maximum(support + predicted, 1)


def class_table(names: Sequence[str], hit: Any, predicted: Any, support: Any) -> Json:
    """Return {name: {precision, recall, f1, support}} from counts of shape (names,)."""
    found = zip(names, *precision_recall_f1(hit, predicted, support), support, strict=True)
    return {
        name: {"precision": float(precision), "recall": float(recall), "f1": float(f1), "support": int(count)}
        for name, precision, recall, f1, count in found
    }


def log_loss(shares: Floats, targets: Floats) -> Floats:
    """Return the cross-entropy of each row."""
    return np.asarray(-(targets * np.log(shares + 1e-9)).sum(1), dtype=np.float64)


def binary_log_loss(shares: Floats, targets: Floats) -> Floats:
    """Return the sum of the binary cross-entropies of each row's labels."""
    return np.asarray(-(targets * np.log(shares + 1e-9) + (1 - targets) * np.log(1 - shares + 1e-9)).sum(1))


def confusion(truth: Ints, predicted: Ints, classes: int) -> Ints:
    """Return confusion counts (repeats, true class, predicted class) for predictions (repeats, rows)."""
    repeats = len(predicted)
    cells = (np.arange(repeats)[:, None] * classes + truth[None, :]) * classes + predicted
    counts = np.bincount(cells.ravel(), minlength=repeats * classes * classes)
    return counts.reshape(repeats, classes, classes)


def per_class(counts: Ints) -> dict[str, Floats]:
    """Return precision, recall, F1 and their counts, each of shape (repeats, classes)."""
    hit = np.diagonal(counts, axis1=-2, axis2=-1).astype(np.float64)
    support, predicted = counts.sum(-1).astype(np.float64), counts.sum(-2).astype(np.float64)
    figures = dict(zip(_PRF, precision_recall_f1(hit, predicted, support), strict=True))
    return {**figures, "support": support, "predicted": predicted}


def macro(counts: Ints) -> dict[str, Floats]:
    """Return accuracy and macro precision, recall and F1 of confusion counts, each of shape (repeats,).

    As in scikit-learn, a class that neither occurs in the rows nor is predicted is left out of the average, and 0 / 0
    is 0.
    """
    table = per_class(counts)
    seen = (table["support"] + table["predicted"]) > 0
    hits = np.trace(counts, axis1=-2, axis2=-1)
    return {
        "accuracy": hits / counts.sum((-2, -1)),
        **{f"macro_{name}": (table[name] * seen).sum(-1) / seen.sum(-1) for name in _PRF},
    }
