"""Split rows into stratified folds for cross-validation, in one way for students, labels and their weights.

`synthgen.tasks.seeds.stratified_split` splits a dataset into training and validation.
"""

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt


def stratified_folds(strata: Sequence[Any] | npt.NDArray[Any], count: int, seed: int) -> npt.NDArray[np.intp]:
    """Return a fold from 0 to `count` - 1 for every row, with each stratum spread over the folds as evenly as possible.

    scikit-learn refuses to split when every stratum has fewer rows than there are folds, for example two seeds per
    label in three folds. To avoid this, an extra stratum of `count` rows is appended before the split and removed after
    it. The extra rows come last, so they change no other row's fold.
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
