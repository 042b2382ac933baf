"""Initialise a classification head from a regression on the vectors of the encoder before its training.

A head that starts from random weights needs a few hundred steps, and these steps distort the encoder meanwhile. A head
that starts from a regression continues from the features of the frozen encoder (linear probing, then fine-tuning:
Kumar et al., 2022, https://arxiv.org/abs/2202.10054).
"""

from typing import Any

import numpy as np

from synthgen.numerics.blas import one_core
from synthgen.numerics.folds import stratified_folds
from synthgen.numerics.regression import binary_regressions, regression
from synthgen.student.scores import Floats, Ints

_STRENGTH = 1.0
"""Inverse regularisation, for centred vectors with a mean length of 1. It is large enough for a useful start and small
enough that training still changes the encoder (docs/decisions.md)."""
_ROWS = 1000
"""Most rows for the regression. It is only a start; the training uses all rows."""
_UNSEEN = 5.0
"""Distance by which the logit of a label without rows starts below the others."""


def linear_head(model: Any) -> Any | None:
    """Return the linear layer that computes the logits, or None if the model has no such layer."""
    from torch.nn import Linear

    encoder = set(model.base_model.modules())
    layers = [layer for layer in model.modules() if isinstance(layer, Linear) and layer not in encoder]
    return layers[-1] if layers and layers[-1].out_features == model.config.num_labels else None


def some_rows(targets: Floats, seed: int) -> Ints:
    """Return the indices of at most `_ROWS` rows, with every label in its original proportion."""
    parts = -(-len(targets) // _ROWS)
    return (
        np.flatnonzero(stratified_folds(targets.argmax(1), parts, seed) == 0) if parts > 1 else np.arange(len(targets))
    )


def start(head: Any, vectors: Floats, targets: Floats, counts: Floats, independent: bool = False) -> None:
    """Set the weights of the linear layer `head` from a regression of `targets` on `vectors`.

    `vectors` (rows, dimensions) are the layer's inputs, `targets` (rows, labels) are label probabilities, and `counts`
    (rows,) the rows' weights. If labels are `independent`, each gets a regression of its own.
    """
    import torch

    kept = counts > 0
    vectors, targets, counts = vectors[kept], targets[kept], counts[kept]
    if (targets.sum(0) > 0).sum() < 2:
        return  # fewer than two labels
    middle = vectors.mean(0)  # centred, because an encoder not trained for sentences puts all of them close together
    around = vectors - middle
    scale = float(np.linalg.norm(around, axis=1).mean()) or 1.0
    with one_core():
        line = binary_regressions if independent else regression
        weights, bias = line(around / scale, targets, counts / counts.mean(), _STRENGTH)
    if independent:
        bias = np.clip(bias, -_UNSEEN, _UNSEEN)  # a label without rows, or of all rows, can still be unlearnt
    else:
        seen = targets.sum(0) > 0
        bias = np.where(seen, bias, bias[seen].min() - _UNSEEN)
    weights = weights / scale
    bias = bias - weights @ middle
    with torch.no_grad():
        head.weight.copy_(torch.as_tensor(weights))
        if head.bias is not None:
            head.bias.copy_(torch.as_tensor(bias))
