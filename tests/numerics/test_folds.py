"""Folds: each stratum is spread evenly, also where scikit-learn alone would refuse to split."""

import warnings

import numpy as np
import pytest

from synthgen.numerics.folds import stratified_folds


def test_each_stratum_is_spread_evenly_over_the_folds() -> None:
    folds = stratified_folds(["a"] * 9 + ["b"] * 3, 3, seed=0)
    assert np.bincount(folds[:9]).tolist() == [3, 3, 3]
    assert np.bincount(folds[9:]).tolist() == [1, 1, 1]


@pytest.mark.parametrize("rows", [1, 2])
def test_strata_with_fewer_rows_than_folds_have_each_row_in_a_fold_of_its_own(rows: int) -> None:
    strata = np.repeat(np.arange(9), rows)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        folds = stratified_folds(strata, 3, seed=0)
    assert np.bincount(folds).tolist() == [3 * rows] * 3
    for stratum in range(9):
        assert len(set(folds[strata == stratum].tolist())) == rows


def test_the_folds_are_the_same_for_a_seed_and_others_for_another() -> None:
    strata = ["a", "b"] * 50
    first = stratified_folds(strata, 5, seed=1).tolist()
    assert stratified_folds(strata, 5, seed=1).tolist() == first
    assert stratified_folds(strata, 5, seed=2).tolist() != first
    assert stratified_folds(strata, 5, seed=2**40).tolist() != first


def test_no_rows_have_no_folds() -> None:
    assert len(stratified_folds([], 3, seed=0)) == 0
