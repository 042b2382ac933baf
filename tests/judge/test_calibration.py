"""Calibration: what the maths makes of judges whose worth is known, because they are made up."""

import math
import random
from collections.abc import Callable

import numpy as np
import pytest

from synthgen.judge.calibration import (
    ISOTONIC_FROM,
    Isotonic,
    Platt,
    at_threshold,
    auc,
    best_threshold,
    calibration_error,
    fit,
    held_out,
    reliability,
)

Rows = tuple[list[float], list[bool]]
Truth = Callable[[float], float]


def judged(n: int, truth: Truth, seed: int = 0) -> Rows:
    """Grades from 1 to 5, and whether the rows are good: with probability `truth(grade)`."""
    rng = random.Random(seed)
    scores = [rng.uniform(1, 5) for _ in range(n)]
    return scores, [rng.random() < truth(score) for score in scores]


def steep(score: float) -> float:
    return 1 / (1 + math.exp(-3 * (score - 4)))


def steps(score: float) -> float:
    return 0.1 if score < 2 else 0.5 if score < 4 else 0.9


# -- fitting ---------------------------------------------------------------------------------------


def test_few_rows_are_calibrated_by_platt_scaling_and_many_by_isotonic_regression() -> None:
    assert isinstance(fit(*judged(ISOTONIC_FROM - 1, steep)), Platt)
    assert isinstance(fit(*judged(ISOTONIC_FROM, steep)), Isotonic)


def test_platt_scaling_recovers_the_parameters_that_made_the_rows() -> None:
    scores, good = judged(ISOTONIC_FROM - 1, steep)
    calibrate = fit(scores, good)
    assert calibrate(4.0) == pytest.approx(0.5, abs=0.08)
    assert calibrate(5.0) == pytest.approx(steep(5.0), abs=0.05)
    assert calibrate(2.0) == pytest.approx(steep(2.0), abs=0.05)


def test_isotonic_regression_follows_steps_that_platt_scaling_cannot() -> None:
    calibrate = fit(*judged(4000, steps))
    assert [calibrate(score) for score in (1.5, 3.0, 4.5)] == pytest.approx([0.1, 0.5, 0.9], abs=0.06)


@pytest.mark.parametrize("n", [40, 2000])
def test_a_higher_grade_never_has_a_lower_probability(n: int) -> None:
    calibrate = fit(*judged(n, lambda score: 1 - steep(score)))  # a judge that prefers the bad
    values = [calibrate(score) for score in np.linspace(0, 6, 50)]
    assert values == sorted(values)
    assert max(values) - min(values) < 0.1


def test_perfectly_separated_rows_do_not_give_probabilities_of_0_or_1() -> None:
    calibrate = fit([1.0] * 10 + [5.0] * 10, [False] * 10 + [True] * 10)
    assert 0.02 < calibrate(1.0) < 0.12
    assert 0.88 < calibrate(5.0) < 0.98
    curve = fit([1.0] * 300 + [5.0] * 300, [False] * 300 + [True] * 300)
    assert 0 < curve(1.0) < 0.01
    assert 0.99 < curve(5.0) < 1


def test_one_grade_for_everything_says_how_many_are_good() -> None:
    assert fit([3.0] * 40, [True] * 30 + [False] * 10)(3.0) == pytest.approx(0.75, abs=0.03)


# -- figures ---------------------------------------------------------------------------------------


def test_auc_is_the_share_of_pairs_in_order_with_draws_for_half() -> None:
    scores, good = [1.0, 2.0, 2.0, 3.0, 3.0], [False, False, True, False, True]
    pairs = [(g, b) for g, kind in zip(scores, good, strict=True) if kind
             for b, other in zip(scores, good, strict=True) if not other]  # fmt: skip
    expected = sum(1.0 if g > b else 0.5 if g == b else 0.0 for g, b in pairs) / len(pairs)
    assert auc(scores, good).value == pytest.approx(expected)


def test_the_interval_of_an_auc_covers_the_truth_about_as_often_as_it_says() -> None:
    """Normal scores one apart: the true AUC is Phi(1 / sqrt 2) = 0.7602."""
    rng = np.random.default_rng(0)
    good = [True] * 40 + [False] * 40
    found = [auc([*rng.normal(1, 1, 40), *rng.normal(0, 1, 40)], good) for _ in range(200)]
    covered = sum(one.low <= 0.7602 <= one.high for one in found)
    assert 178 <= covered <= 200


def test_calibration_error_is_the_distance_between_stated_and_true_shares() -> None:
    said, good = [0.95] * 10 + [0.25] * 10, [True] * 7 + [False] * 3 + [True] * 3 + [False] * 7
    assert calibration_error(said, good) == pytest.approx((0.25 + 0.05) / 2)
    assert reliability(said, good) == [
        {"said": pytest.approx(0.25), "was": 0.3, "n": 10},
        {"said": pytest.approx(0.95), "was": 0.7, "n": 10},
    ]


@pytest.mark.parametrize("n", [120, 1200])
def test_calibration_brings_the_error_down_on_rows_it_has_not_seen(n: int) -> None:
    scores, good = judged(n, steep)
    before = calibration_error([(score - 1) / 4 for score in scores], good)
    after = calibration_error(held_out(scores, good, 0), good)
    assert before > 0.12
    assert after < before / 2


def test_a_held_out_row_is_scored_without_its_own_rating() -> None:
    """Grades that say nothing, all different: a fit that saw the row would follow it."""
    scores, good = judged(400, lambda _: 0.5)
    assert auc(held_out(scores, good, 0), good).value < 0.56


# -- threshold -------------------------------------------------------------------------------------


def test_the_threshold_lies_half_way_between_good_and_bad() -> None:
    said, good = [0.1, 0.2, 0.4, 0.6, 0.8], [False, False, False, True, True]
    assert best_threshold(said, good) == pytest.approx(0.5)
    assert at_threshold(said, good, 0.5) == {"good_taken": 1.0, "bad_taken": 0.0, "precision": 1.0}


def test_the_threshold_does_not_depend_on_how_many_rows_are_good() -> None:
    said, good = [0.1, 0.2, 0.4, 0.3, 0.6, 0.8], [False, False, False, True, True, True]
    often = said + [0.3, 0.6, 0.8] * 20, good + [True] * 60
    assert best_threshold(*often) == best_threshold(said, good)


def test_of_equally_good_thresholds_the_one_that_lets_more_pass_is_taken() -> None:
    said, good = [0.1, 0.3, 0.5, 0.7], [False, True, False, True]
    assert best_threshold(said, good) == pytest.approx(0.2)
