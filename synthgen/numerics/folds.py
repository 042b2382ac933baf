"""Folds for cross-validation, spread evenly over strata. One kind of split for students, labels and their weights.

The split of a dataset into training and validation is `synthgen.tasks.seeds.stratified_split`.
"""

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt


def stratified_folds(strata: Sequence[Any] | npt.NDArray[Any], count: int, seed: int) -> npt.NDArray[np.intp]:
    """Return a fold from 0 to `count` - 1 for every row, each stratum spread over the folds as evenly as possible.

    scikit-learn refuses strata that all have fewer rows than there are folds, such as two seeds a label in three folds.
    Rows of one more stratum, which are cut off again, make it accept them. They come last, so they change no other row's
    fold.
    """
    from sklearn.model_selection import StratifiedKFold

    index = {stratum: number for number, stratum in enumerate(dict.fromkeys(np.asarray(strata).tolist()))}
    numbers = [index[stratum] for stratum in np.asarray(strata).tolist()]
    padded = np.asarray(numbers + [len(index)] * count)
    splits = StratifiedKFold(count, shuffle=True, random_state=seed % 2**32)
    folds = np.empty(len(padded), dtype=np.intp)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # about strata with fewer rows than folds
        for fold, (_, held_out) in enumerate(splits.split(padded, padded)):
            folds[held_out] = fold
    return folds[: len(numbers)]
