"""Test how reliable each source of labels is: planted shares of right labels are found, and little data moves little."""

import numpy as np
import pytest
from planted import LABELS, centred, draw, named

from synthgen.labels.sources import (
    Disagreement,
    Intent,
    Ints,
    agreed_bias,
    calibrate,
    combine,
    confusion,
    disagreement,
    error_matrix,
    likelihood,
)
from synthgen.numerics.regression import Floats

COUNT = len(LABELS)
EYE = np.eye(COUNT)
EVEN = confusion(np.zeros((0, COUNT)), np.zeros((0, COUNT)))


# -- error matrices --------------------------------------------------------------------------------


def test_a_source_without_answers_is_assumed_right_in_six_of_ten_with_even_errors() -> None:
    nothing = np.zeros((0, COUNT))
    assert error_matrix(nothing, nothing) == pytest.approx(np.where(EYE == 1, 0.6, 0.4 / 3))
    assert pytest.approx((1 - EYE) / 3) == EVEN


def test_an_error_matrix_has_the_planted_shares_and_keeps_labels_apart() -> None:
    rng = np.random.default_rng(0)
    truth = np.arange(2000) % COUNT
    said = named(rng, truth, 0.8)
    said[truth == 0] = 3  # the source knows nothing of the first label, and takes it for the last
    found = error_matrix(EYE[truth], EYE[said])
    assert found.sum(1) == pytest.approx(1)
    assert found[0, 3] > 0.95
    assert np.diag(found)[1:] == pytest.approx(0.8, abs=0.05)


def test_a_label_with_few_answers_is_shrunk_towards_the_average_of_all_labels() -> None:
    truth = np.repeat([0, 1], [500, 2])
    said = np.where(truth == 0, 0, 2)
    found = error_matrix(EYE[truth], EYE[said])
    assert found[0, 0] > 0.98
    assert found[1, 1] > 0.6, "two wrong answers about a label are no proof that all are wrong"


def test_a_label_that_is_asked_for_in_place_of_another_is_found() -> None:
    rng = np.random.default_rng(0)
    truth = np.arange(400) % COUNT
    asked = np.where((truth == 1) & (rng.random(400) < 0.4), 2, truth)
    found = confusion(EYE[truth], EYE[asked])
    assert np.diag(found) == pytest.approx(0) and found.sum(1) == pytest.approx(1)
    assert found[1, 2] > 0.85
    assert found[0] == pytest.approx(EVEN[0])


def test_the_prompts_matrix_has_its_rate_on_the_diagonal() -> None:
    matrix = Intent(0.7, EVEN).matrix
    assert np.diag(matrix) == pytest.approx(0.7) and matrix.sum(1) == pytest.approx(1)


def test_a_source_that_was_not_asked_changes_nothing() -> None:
    said = likelihood(np.vstack([np.zeros(COUNT), EYE[1]]), Intent(0.7, EVEN).matrix)
    assert said[0] == pytest.approx(1) and said[1] == pytest.approx([0.1, 0.7, 0.1, 0.1])
    shares = combine(np.full((2, COUNT), 1 / COUNT), said)
    assert shares == pytest.approx(np.vstack([np.full(COUNT, 1 / COUNT), [0.1, 0.7, 0.1, 0.1]]))


# -- the prompt's share of right labels ------------------------------------------------------------


def texts(rate: float, noise: float = 0.3, count: int = 400, seed: int = 0) -> tuple[Floats, Ints]:
    """Return the logits of a classifier that knows the clusters' centres, and what was asked for; shapes (texts, labels)
    and (texts,)."""
    rng = np.random.default_rng(seed)
    truth = np.arange(count) % COUNT
    return 8 * centred(draw(rng, truth, noise)), named(rng, truth, rate)


@pytest.mark.parametrize("noise", [0.2, 0.35])
@pytest.mark.parametrize("rate", [0.5, 0.7, 0.9, 1.0])
def test_the_planted_share_of_right_labels_is_found(rate: float, noise: float) -> None:
    logits, asked = texts(rate, noise)
    _, intent, _ = calibrate(logits, asked, EVEN, np.ones_like(logits))
    assert intent.rate == pytest.approx(rate, abs=0.06)


def test_a_classifier_that_is_too_sure_is_softened_and_the_share_is_found_all_the_same() -> None:
    logits, asked = texts(0.7)
    fair, _, score = calibrate(logits, asked, EVEN, np.ones_like(logits))
    softened, intent, same = calibrate(3 * logits, asked, EVEN, np.ones_like(logits))
    assert softened < fair
    assert intent.rate == pytest.approx(0.7, abs=0.06)
    assert same == pytest.approx(score, abs=0.01)


def test_other_sources_take_part_in_the_estimate() -> None:
    """A classifier that knows nothing cannot tell how often the prompt is right; a label check can."""
    rng = np.random.default_rng(0)
    truth = np.arange(600) % COUNT
    asked, said = named(rng, truth, 0.6), EYE[named(rng, truth, 0.9)]
    blind = np.zeros((600, COUNT))
    heard = likelihood(said, Intent(0.9, EVEN).matrix)
    assert calibrate(blind, asked, EVEN, heard)[1].rate == pytest.approx(0.6, abs=0.06)
    assert calibrate(blind, asked, EVEN, np.ones_like(heard))[1].rate > 0.85, "what is expected of a prompt"


def test_few_texts_leave_the_share_near_what_is_expected() -> None:
    logits, asked = texts(1.0, count=4)
    assert calibrate(logits, (asked + 1) % COUNT, EVEN, np.ones_like(logits))[1].rate >= 0.5


# -- where the anchors give another label than the prompt ------------------------------------------


def disagreeing(
    right: float, anchor: float, check: float, count: int = 900, seed: int = 0
) -> tuple[Ints, Ints, Floats]:
    """Return what was asked for, the anchors' labels, the check's answers and the truth.

    Where prompt and anchors differ, in half of the texts, the one is right in a share `right`, the other in `anchor`,
    and elsewhere the text has a third label.
    """
    rng = np.random.default_rng(seed)
    asked = np.arange(count) % COUNT
    differ = rng.random(count) < 0.5
    anchored = np.where(differ, (asked + rng.integers(1, COUNT, count)) % COUNT, asked)
    lot = rng.random(count)
    third = (asked + np.where((anchored - asked) % COUNT == 1, 2, 1)) % COUNT
    truth = np.where(~differ | (lot < right), asked, np.where(lot < right + anchor, anchored, third))
    return asked, anchored, EYE[named(rng, truth, check)]


@pytest.mark.parametrize(("right", "anchor"), [(0.8, 0.2), (0.5, 0.3), (0.2, 0.7), (0.1, 0.1)])
def test_planted_shares_are_found_through_a_check_of_known_accuracy(right: float, anchor: float) -> None:
    asked, anchored, checked = disagreeing(right, anchor, 0.8)
    found = disagreement(np.full((len(asked), COUNT), 1 / COUNT), asked, anchored, checked)
    assert found is not None
    assert found.confirmed == pytest.approx(0.8, abs=0.05)
    assert found.right == pytest.approx(right, abs=0.1)
    assert found.neither == pytest.approx(1 - right - anchor, abs=0.1)


def test_many_answers_outweigh_the_estimated_shares() -> None:
    asked, anchored, checked = disagreeing(0.2, 0.8, 0.9)
    found = disagreement(0.9 * EYE[asked] + 0.1 * EYE[anchored], asked, anchored, checked)
    assert found is not None and found.right < 0.3


def test_few_answers_leave_the_shares_near_the_estimate() -> None:
    asked, anchored, checked = disagreeing(0.2, 0.8, 0.9)
    differ = np.flatnonzero(asked != anchored)
    checked[differ[10:]] = 0
    few = disagreement(0.9 * EYE[asked] + 0.1 * EYE[anchored], asked, anchored, checked)
    checked[differ[9]] = 0
    assert few is not None and few.right > 0.3
    assert disagreement(EYE[asked], asked, anchored, checked) is None, "nine answers are too few"


def test_a_check_that_answers_at_random_changes_nothing() -> None:
    asked, anchored, checked = disagreeing(0.2, 0.8, 1 / COUNT)
    found = disagreement(0.9 * EYE[asked] + 0.1 * EYE[anchored], asked, anchored, checked)
    assert found is not None and found.confirmed < 0.5, "such a check is no evidence for the generator either"
    assert (found.right, found.neither, found.odds) == (pytest.approx(0.9), 0, 0)


def test_without_answers_of_the_check_nothing_is_known() -> None:
    asked, anchored, checked = disagreeing(0.2, 0.8, 0.9)
    assert disagreement(EYE[asked], asked, anchored, np.zeros_like(checked)) is None


def test_texts_that_all_agree_leave_the_shares_unknown() -> None:
    asked, _, checked = disagreeing(0.2, 0.8, 0.9)
    assert disagreement(EYE[asked], asked, asked, checked) is None


@pytest.mark.parametrize(("check", "low", "high"), [(0.9, 0, 0), (0.7, 0, 0.02), (0.4, 0.4, 0.5)])
def test_texts_that_all_agree_show_a_generator_whose_labels_the_check_does_not_confirm(
    check: float, low: float, high: float
) -> None:
    asked, _, checked = disagreeing(1.0, 0.0, check)
    found = agreed_bias(asked, asked, checked)
    assert found is not None and low <= found <= high
    checked[9:] = 0
    assert agreed_bias(asked, asked, checked) is None, "nine answers are too few"


def test_the_prompts_labels_get_their_share_of_the_mass() -> None:
    asked, anchored, checked = disagreeing(0.3, 0.7, 0.9)
    posterior = 0.85 * EYE[asked] + 0.15 / COUNT
    found = disagreement(posterior, asked, anchored, checked)
    assert found is not None and found.neither < 0.05
    other = asked != anchored
    corrected = found.apply(posterior[other], asked[other], EYE[anchored[other]])
    assert corrected.sum(1) == pytest.approx(1)
    assert corrected[np.arange(other.sum()), asked[other]].mean() == pytest.approx(0.3, abs=0.07)


def test_texts_that_belong_to_no_label_are_left_unsure() -> None:
    half = Disagreement(right=0.5, neither=0.5, confirmed=0.8, odds=0.0)
    vague = half.apply(EYE[[0]], np.array([0]), np.full((1, COUNT), 1 / COUNT))
    assert vague == pytest.approx(np.array([[0.625, 0.125, 0.125, 0.125]]))
