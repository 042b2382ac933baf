"""Predict labels from the anchors alone: the seeds, and each label's name and meaning. People wrote all of these."""

from collections.abc import Sequence

import numpy as np

from synthgen.numerics.regression import Floats, softmax

SEED_WEIGHT, MEANING_WEIGHT = 2.0, 3.0
"""Weights of a seed and of a label's meaning in a regression, where a generated text has at most about 1."""
STRENGTH = 10.0
"""Inverse regularisation for unit vectors."""
_SHARPNESS = 2.0
"""Factor on the logits of a regression on the anchors alone, whose probabilities are too flat. The best values on held-out
seeds of eight tasks were 1.2 to 3."""


def anchor_rows(seeds: Floats, seed_labels: Sequence[int], meanings: Floats) -> tuple[Floats, Floats, Floats]:
    """Return vectors, one-hot labels and weights of the anchors, as `regression` takes them.

    `seeds` (seeds, dimensions) and `meanings` (labels, dimensions) are unit vectors. `seed_labels` has the position of each
    seed's label.
    """
    eye = np.eye(len(meanings))
    targets = np.vstack([eye[list(seed_labels)], eye])
    weights = np.repeat([SEED_WEIGHT, MEANING_WEIGHT], [len(seeds), len(meanings)])
    return np.vstack([seeds, meanings]), targets, weights


def anchored_shares(logits: Floats) -> Floats:
    """Return label probabilities for the logits (texts, labels) of a regression on the anchors alone."""
    return softmax(_SHARPNESS * logits)
