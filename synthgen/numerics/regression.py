"""Fit multinomial logistic regression to rows whose label may be a probability distribution.

It minimises the same loss as scikit-learn's `LogisticRegression`, by the same method (SciPy's L-BFGS). scikit-learn
accepts no label probabilities: each row would have to be repeated for every label that it may have, at that many times
the cost.
"""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
_NEGLIGIBLE = 0.01
"""A label probability below this counts as 0."""
_NEVER = -1e3
"""The logit of a label that no row has."""
_SETTINGS = {"maxiter": 1000, "maxls": 50, "gtol": 1e-4, "ftol": 64 * float(np.finfo(np.float64).eps)}


def regression(
    vectors: Floats, targets: Floats, counts: Floats, strength: float, settings: Mapping[str, float] = _SETTINGS
) -> tuple[Floats, Floats]:
    """Fit and return weights (labels, dimensions) and bias (labels,).

    `vectors` has shape (rows, dimensions), `targets` holds label probabilities (rows, labels), and `counts` holds the
    rows' weights. `strength` is the inverse regularisation. `settings` are the stopping options of L-BFGS. A label that
    no row has is never predicted.
    """
    from scipy.optimize import minimize

    shares = np.where(targets >= _NEGLIGIBLE, targets, 0.0) * counts[:, None]
    classes = np.flatnonzero(shares.sum(0))
    shares, dimensions = shares[:, classes], vectors.shape[1]
    total, of_row = shares.sum(), shares.sum(1, keepdims=True)
    # For two labels scikit-learn fits one weight vector, whose squared norm is twice that of the two vectors here.
    decay = (2.0 if len(classes) == 2 else 1.0) / (strength * total)

    def loss(flat: Floats) -> tuple[float, Floats]:
        lines = flat.reshape(len(classes), dimensions + 1)
        logits = vectors @ lines[:, :-1].T + lines[:, -1]
        logits -= logits.max(1, keepdims=True)
        powers = np.exp(logits)
        sums = powers.sum(1, keepdims=True)
        value = float((of_row * np.log(sums)).sum() - (shares * logits).sum()) / total
        slope = (of_row * powers / sums - shares) / total
        towards = np.empty_like(lines)
        towards[:, :-1] = slope.T @ vectors + decay * lines[:, :-1]
        towards[:, -1] = slope.sum(0)
        return value + 0.5 * decay * float((lines[:, :-1] ** 2).sum()), towards.ravel()

    start = np.zeros(len(classes) * (dimensions + 1))
    found = minimize(loss, start, jac=True, method="L-BFGS-B", options=dict(settings)).x.reshape(len(classes), -1)
    weights, bias = np.zeros((targets.shape[1], dimensions)), np.full(targets.shape[1], _NEVER)
    weights[classes], bias[classes] = found[:, :-1], found[:, -1]
    return weights, bias


def binary_regressions(vectors: Floats, targets: Floats, counts: Floats, strength: float) -> tuple[Floats, Floats]:
    """Fit one logistic regression for each label; return weights (labels, dimensions) and bias (labels,).

    `targets` (rows, labels) holds the probability of each label, independent of the others. See `regression` for the
    other arguments. A label that no row has, or every row, always gets the same answer.
    """
    found = [regression(vectors, np.stack([1 - own, own], axis=1), counts, strength) for own in targets.T]
    weights = np.stack([each[1] - each[0] for each, _ in found])
    return weights, np.asarray([bias[1] - bias[0] for _, bias in found], dtype=np.float64)


def effective(counts: Floats) -> Floats:
    """Scale the rows' weights so that they add up to the effective number of rows (Kish, 1965).

    The same regularisation then stays suitable when many rows of little weight are added.
    """
    return np.asarray(counts * counts.sum() / np.square(counts).sum(), dtype=np.float64)


def softmax(logits: Floats) -> Floats:
    """Apply softmax along the last axis."""
    shares = np.exp(logits - logits.max(-1, keepdims=True, initial=-np.inf))
    return np.asarray(shares / shares.sum(-1, keepdims=True), dtype=np.float64)


def sigmoid(logits: Floats) -> Floats:
    """Apply the logistic function to each element."""
    return np.asarray(0.5 * (1 + np.tanh(0.5 * logits)), dtype=np.float64)
