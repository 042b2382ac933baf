"""Multinomial logistic regression on vectors, for rows whose label may be a distribution: the student's and the judge's.

scikit-learn does the work, and is imported when something is fitted.
"""

import warnings

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
_NEGLIGIBLE = 0.01
"""A label probability below this is taken for 0: each label that a row may have costs the time of a row."""
_NEVER = -1e3
"""The logit of a label that no row has."""


def regression(vectors: Floats, targets: Floats, counts: Floats, strength: float) -> tuple[Floats, Floats]:
    """Weights (labels, dimensions) and bias (labels,) for `vectors` (rows, dimensions), label probabilities `targets`
    (rows, labels) and the rows' weights `counts`; `strength` is the inverse of the regularisation.

    A row stands once for each label that it may have, weighted with its probability. A label that no row has is never
    predicted.
    """
    from sklearn.linear_model import LogisticRegression

    # Many labels with a row or two each are no mistake here.
    warnings.filterwarnings(
        "ignore", message="The number of unique classes is greater than 50% of the number of samples"
    )
    row, label = np.nonzero(targets >= _NEGLIGIBLE)
    model = LogisticRegression(C=strength, max_iter=1000)
    model.fit(vectors[row], label, sample_weight=counts[row] * targets[row, label])
    classes: npt.NDArray[np.int64] = model.classes_
    weights, bias = np.zeros((targets.shape[1], vectors.shape[1])), np.full(targets.shape[1], _NEVER)
    # Of two labels scikit-learn keeps one line, the second's log odds.
    weights[classes] = model.coef_ if len(classes) > 2 else [0 * model.coef_[0], model.coef_[0]]
    bias[classes] = model.intercept_ if len(classes) > 2 else [0.0, model.intercept_[0]]
    return weights, bias


def softmax(logits: Floats) -> Floats:
    """Along the last axis."""
    shares = np.exp(logits - logits.max(-1, keepdims=True, initial=-np.inf))
    return np.asarray(shares / shares.sum(-1, keepdims=True), dtype=np.float64)
