"""Where a classification head starts: from a regression on what the encoder gives before it is trained.

A few hundred steps from noise are spent on the head, and bend the encoder meanwhile; from a regression they go on from
what the frozen encoder knows (linear probing, then fine-tuning: Kumar et al., 2022, https://arxiv.org/abs/2202.10054).
"""

from typing import Any

import numpy as np

from synthgen.numerics.blas import one_core
from synthgen.numerics.folds import stratified_folds
from synthgen.numerics.regression import regression
from synthgen.student.scores import Floats, Ints

_STRENGTH = 1.0
"""Inverse regularisation, of vectors around 0 whose length is 1 on average: enough to know the way, and little enough
for the encoder to be moved too (docs/decisions.md)."""
_ROWS = 1000
"""Rows that the regression is fitted on, at most: it is a start, and the training sees all."""
_UNSEEN = 5.0
"""How far below the others the logit of a label begins that no row has."""


def linear_head(model: Any) -> Any | None:
    """Return the linear layer that gives the logits; None where there is none of that shape."""
    from torch.nn import Linear

    encoder = set(model.base_model.modules())
    layers = [layer for layer in model.modules() if isinstance(layer, Linear) and layer not in encoder]
    return layers[-1] if layers and layers[-1].out_features == model.config.num_labels else None


def some_rows(targets: Floats, seed: int) -> Ints:
    """Return the indices of at most `_ROWS` rows, every label as often as it occurs."""
    parts = -(-len(targets) // _ROWS)
    return (
        np.flatnonzero(stratified_folds(targets.argmax(1), parts, seed) == 0) if parts > 1 else np.arange(len(targets))
    )


def start(head: Any, vectors: Floats, targets: Floats) -> None:
    """Gives the linear layer `head` the weights of a regression of `targets` (rows, labels) on `vectors` (rows,
    dimensions), which are what it is given; a row of `targets` adds up to the row's weight."""
    import torch

    counts = targets.sum(1)
    kept = counts > 0
    vectors, targets, counts = vectors[kept], targets[kept], counts[kept]
    if (targets.sum(0) > 0).sum() < 2:
        return  # nothing to tell apart
    middle = vectors.mean(0)  # encoders that nobody trained for sentences put all of them in one corner
    around = vectors - middle
    scale = float(np.linalg.norm(around, axis=1).mean()) or 1.0
    with one_core():
        weights, bias = regression(around / scale, targets / counts[:, None], counts / counts.mean(), _STRENGTH)
    weights, seen = weights / scale, targets.sum(0) > 0
    bias = np.where(seen, bias, bias[seen].min() - _UNSEEN) - weights @ middle
    with torch.no_grad():
        head.weight.copy_(torch.as_tensor(weights))
        if head.bias is not None:
            head.bias.copy_(torch.as_tensor(bias))
