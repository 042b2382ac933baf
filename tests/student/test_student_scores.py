"""Figures on held-out rows: macro scores, bootstrap intervals, ROUGE-L in any script."""

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, precision_recall_fscore_support

from synthgen.student.scores import confusion, intervals, macro, macro_figures, text_figures


def _always(value: float):
    return lambda rows: {"accuracy": value}


def _right(hits: list[int]):
    """The accuracy of an arm whose rows are right where `hits` is 1."""
    return lambda rows: {"accuracy": float(np.asarray(hits)[rows].mean())}


@pytest.mark.parametrize("seen", [range(5), [0, 2, 3]], ids=["all classes", "two classes never occur"])
def test_macro_scores_are_those_of_scikit_learn(seen):
    rng = np.random.default_rng(3)
    truth = rng.choice(list(seen), 80)
    predicted = np.where(rng.random(80) < 0.6, truth, rng.choice(list(seen), 80))
    ours = macro(confusion(truth, predicted[None], 5))
    precision, recall, f1, _ = precision_recall_fscore_support(truth, predicted, average="macro", zero_division=0)
    assert ours["accuracy"][0] == pytest.approx(accuracy_score(truth, predicted))
    assert [ours[f"macro_{name}"][0] for name in ("precision", "recall", "f1")] == pytest.approx(
        [precision, recall, f1]
    )


def test_a_class_that_is_only_predicted_counts_as_zero_as_in_scikit_learn():
    truth, predicted = np.asarray([0, 0, 1]), np.asarray([0, 2, 1])
    expected = precision_recall_fscore_support(truth, predicted, average="macro", zero_division=0)[2]
    assert macro(confusion(truth, predicted[None], 4))["macro_f1"][0] == pytest.approx(expected)


def test_confusion_has_the_true_class_by_row_and_a_matrix_a_repeat():
    counts = confusion(np.asarray([0, 0, 1]), np.asarray([[0, 1, 1], [1, 1, 0]]), 2)
    assert counts.tolist() == [[[1, 1], [0, 1]], [[0, 2], [1, 0]]]


def test_macro_figures_average_over_the_repeats_of_the_training():
    truth = np.asarray([0, 1, 0, 1])
    figures = macro_figures(truth, np.asarray([[0, 1, 0, 1], [1, 1, 0, 0]]), 2)
    assert figures(np.arange(4))["accuracy"] == pytest.approx(0.75)


def test_an_interval_holds_its_mean_and_narrows_with_the_rows():
    few = intervals({"synthetic": _right([1, 1, 1, 0] * 5)}, 20, 500, 0.95, 0)["synthetic"]["accuracy"]
    many = intervals({"synthetic": _right([1, 1, 1, 0] * 100)}, 400, 500, 0.95, 0)["synthetic"]["accuracy"]
    assert few["mean"] == many["mean"] == pytest.approx(0.75)
    assert few["low"] < many["low"] < 0.75 < many["high"] < few["high"]


def test_the_interval_is_about_two_standard_errors_wide():
    found = intervals({"synthetic": _right([1, 0] * 200)}, 400, 2000, 0.95, 1)["synthetic"]["accuracy"]
    assert found["high"] - found["low"] == pytest.approx(2 * 1.96 * 0.5 / 20, rel=0.1)


def test_the_gain_is_paired_so_an_equal_lead_on_every_resample_has_no_width():
    hits = [1, 0, 1, 1, 0, 0, 1, 0]
    arms = {"seeds_only": _right(hits), "synthetic": lambda rows: {"accuracy": _right(hits)(rows)["accuracy"] + 0.25}}
    found = intervals(arms, 8, 200, 0.95, 0)
    assert found["gain"]["accuracy"] == {"mean": 0.25, "low": 0.25, "high": 0.25}
    assert found["seeds_only"]["accuracy"]["low"] < found["seeds_only"]["accuracy"]["high"]


def test_a_lower_loss_is_a_gain_above_zero_and_a_higher_score_too():
    arms = {
        "seeds_only": lambda rows: {"loss": 3.0, "rougeL": 0.2},
        "synthetic": lambda rows: {"loss": 2.0, "rougeL": 0.3},
    }
    gain = intervals(arms, 4, 100, 0.9, 0)["gain"]
    assert gain["loss"]["mean"] == pytest.approx(1.0)
    assert gain["rougeL"]["mean"] == pytest.approx(0.1)


def test_the_same_seed_draws_the_same_interval_and_another_seed_another():
    graded = np.random.default_rng(0).random(50)
    arms = {"synthetic": lambda rows: {"rougeL": float(graded[rows].mean())}}
    first, again, other = (intervals(arms, 50, 200, 0.95, seed) for seed in (5, 5, 6))
    assert first == again
    assert first != other


def test_one_arm_has_no_gain():
    assert set(intervals({"synthetic": _always(1.0)}, 3, 100, 0.95, 0)) == {"synthetic"}


def test_the_loss_weighs_tokens_not_rows():
    figures = text_figures(np.asarray([[10.0, 1.0]]), np.asarray([9.0, 1.0]), {})
    assert figures(np.arange(2))["loss"] == pytest.approx(1.1)
    assert figures(np.arange(2))["perplexity"] == pytest.approx(np.exp(1.1))
