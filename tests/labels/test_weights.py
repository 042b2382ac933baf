"""Test what accepted samples weigh: as much as the evidence on their labels confirms them."""

import dataclasses

import numpy as np
import pytest
from planted import LABELS, Planted, planted

from synthgen.labels.model import LabelModel, Texts, fit
from synthgen.labels.sources import Disagreement
from synthgen.labels.weights import UNCHECKED, expected_factor, weigh

EYE = np.eye(len(LABELS))


def fitted(case: Planted, disagreed: Disagreement | None = None) -> LabelModel:
    """Return a fitted model, with what `disagreed` says in place of what it found."""
    return dataclasses.replace(fit(case.anchors, case.texts, 1, 3), disagreed=disagreed)


CONFIRMED = Disagreement(right=0.9, neither=0.0, confirmed=0.9, odds=0.0)


@pytest.mark.parametrize(
    ("neither", "confirmed", "rows"),
    [
        (0.0, 0.9, 1000),
        (0.0, 0.7, 1000),
        (0.1, 0.9, 1000),  # within the error of the estimate
        (0.15, 0.9, 61),
        (0.25, 0.9, 12),
        (0.0, 0.35, 2),
        (0.65, 0.9, 2),
        (1.0, 0.9, 2),
    ],
)
def test_a_thousand_samples_of_a_label_count_as_many_rows_as_an_independent_check_confirms(
    neither: float, confirmed: float, rows: int
) -> None:
    found = expected_factor(Disagreement(1 - neither, neither, confirmed, 0.0).bias, 1000)
    assert 1000 * found == pytest.approx(rows, rel=0.05)


def test_without_a_check_samples_weigh_little() -> None:
    assert expected_factor(UNCHECKED, 1000) * 1000 == pytest.approx(10, rel=0.02)


def test_few_samples_of_an_unverified_generator_count_nearly_in_full() -> None:
    assert expected_factor(UNCHECKED, 1) > 0.9


def test_unconfirmed_labels_lower_the_weight_even_if_seeds_and_prompt_never_disagree() -> None:
    case = planted(texts=400, prompt=0.95, check=0.9, seed=1)
    model = dataclasses.replace(fit(case.anchors, case.texts), disagreed=None)
    confirmed, not_confirmed = (
        weigh(dataclasses.replace(model, agreed_bias=bias), case.texts, [False] * 400) for bias in (0.0, 0.4)
    )
    assert confirmed.record["chosen_by"] == "default" and not_confirmed.record["chosen_by"] == "agreement"
    assert confirmed.factor == expected_factor(UNCHECKED, 100) and not_confirmed.factor == expected_factor(0.4, 100)


def test_a_confirmed_generators_samples_weigh_about_as_much_as_seeds() -> None:
    case = planted(texts=400, prompt=0.95, check=0.9, seed=1)
    found = weigh(fit(case.anchors, case.texts), case.texts, [False] * 400)
    assert found.factor > 0.9
    assert np.median(found.weights) > 0.85 and found.weights.max() <= 1
    assert found.record["chosen_by"] == "label check" and found.record["factor"] == round(found.factor, 3)


def test_samples_of_a_generator_whose_texts_fit_no_label_weigh_almost_nothing() -> None:
    good, bad = (planted(texts=400, prompt=1.0, check=0.9, nowhere=share, seed=2) for share in (0.0, 0.9))
    factors = [weigh(fit(case.anchors, case.texts), case.texts, [False] * 400).factor for case in (good, bad)]
    assert factors[1] < 0.1 < 0.7 < factors[0]


def test_a_sample_weighs_less_the_less_sure_its_label_is() -> None:
    case = planted(noise=0.5)
    model = fitted(case, CONFIRMED)
    found = weigh(model, case.texts, [False] * 240)
    sure = model.posterior.max(1) ** 2
    assert found.weights.sum() == pytest.approx(found.factor * sure.sum(), rel=0.01)
    alike = model.posterior.max(1) > 0.5
    for label in range(len(LABELS)):
        chosen = alike & (model.posterior.argmax(1) == label)
        assert np.corrcoef(found.weights[chosen], sure[chosen])[0, 1] > 0.99
    assert found.weights.min() < 0.5 < found.weights.max()


def test_the_samples_of_all_labels_weigh_alike_together() -> None:
    case = planted(noise=0.1)
    few = (case.truth != 0) | (np.arange(240) < 120)
    model = fitted(case, None)
    found = weigh(model, case.texts, (~few).tolist())
    mass = model.posterior.T @ found.weights
    assert mass == pytest.approx(mass.mean(), rel=0.02) and few[case.truth == 0].mean() == 0.5


# -- people ----------------------------------------------------------------------------------------


def answered(case: Planted, count: int, labels: np.ndarray) -> tuple[LabelModel, Texts]:
    """Return a model that believes `labels` of all texts except the first `count`, whose true label people gave."""
    people = np.zeros((len(case.texts), len(LABELS)))
    people[:count] = EYE[case.truth[:count]]
    texts = dataclasses.replace(case.texts, people=people)
    posterior = EYE[labels].copy()
    posterior[:count] = people[:count]
    return dataclasses.replace(fitted(case, CONFIRMED), posterior=posterior), texts


def test_answers_that_contradict_the_samples_lower_their_weight() -> None:
    case = planted(noise=0.35, seeds=4)
    right = weigh(*answered(case, 40, case.truth), [False] * 240)
    wrong = weigh(*answered(case, 40, (case.truth + 1) % 4), [False] * 240)
    assert right.factor == 1.0 and wrong.factor <= 0.25
    assert wrong.record["chosen_by"] == "people" and wrong.record["gains"]["0.25"] > 0
    assert (wrong.weights[:40] == 1).all() and wrong.weights[40:].mean() <= 0.25 + 1e-9


def test_answers_that_confirm_the_samples_raise_a_low_weight() -> None:
    case = planted(noise=0.35, seeds=2)
    model, texts = answered(case, 40, case.truth)
    found = weigh(dataclasses.replace(model, disagreed=None), texts, [False] * 240)
    assert found.factor == pytest.approx(2 * expected_factor(UNCHECKED, 60))
    assert found.record["chosen_by"] == "people"


def test_many_answers_about_a_biased_generators_texts_count_as_two_rows_a_label() -> None:
    case = planted(noise=0.35, seeds=2)
    model, texts = answered(case, 80, case.truth)
    biased = dataclasses.replace(model, disagreed=Disagreement(right=0.3, neither=0.65, confirmed=0.9, odds=0.0))
    of_label = biased.posterior[:80].T @ weigh(biased, texts, [False] * 240).weights[:80]
    assert of_label == pytest.approx(20 / (1 + 0.5 * 20))


def test_real_texts_that_people_labelled_weigh_1_whatever_the_generator_is_like() -> None:
    case = planted(noise=0.35, seeds=2)
    model, texts = answered(case, 80, case.truth)
    real = dataclasses.replace(texts, intents=np.where(np.arange(240) < 80, -1, texts.intents))
    assert (weigh(dataclasses.replace(model, disagreed=None), real, [False] * 240).weights[:80] == 1).all()


def test_fewer_than_ten_answers_decide_nothing() -> None:
    case = planted(noise=0.35, seeds=4)
    found = weigh(*answered(case, 9, case.truth), [False] * 240)
    assert found.factor == 1.0 and found.record["chosen_by"] == "label check"
    assert set(found.record["gains"]) == {"0.0", "1.0"}


def test_without_answers_samples_that_harm_the_seeds_beyond_doubt_are_left_out() -> None:
    case = planted(noise=0.25, seeds=8)
    model = fitted(case, CONFIRMED)
    wrong = dataclasses.replace(model, posterior=np.roll(model.posterior, 1, axis=1))
    found = weigh(wrong, case.texts, [False] * 240)
    assert found.factor == 0 and not found.weights.any()
    assert found.record["chosen_by"] == "seeds"


# -- what is set from outside ----------------------------------------------------------------------


def test_what_people_exclude_weighs_nothing_and_what_they_label_weighs_1_if_the_generator_has_no_bias() -> None:
    case = planted(noise=0.35)
    model, texts = answered(case, 2, case.truth)
    excluded = [number in (1, 5) for number in range(240)]
    found = weigh(model, texts, excluded)
    assert found.weights[[0, 1, 5]].tolist() == [1, 0, 0]
    assert found.weights[2] > 0


def test_a_weight_from_the_config_overrides_the_estimated_one() -> None:
    case = planted(noise=0.35)
    model, texts = answered(case, 40, (case.truth + 1) % 4)
    found = weigh(model, texts, [False] * 240, most=0.3)
    assert found.record == {"factor": 0.3, "chosen_by": "config", "most": 0.3}
    assert (found.weights[:40] == 1).all() and found.weights[40:] == pytest.approx(0.3)
    assert not weigh(fitted(case, CONFIRMED), case.texts, [False] * 240, most=0.0).weights.any()


def test_without_accepted_samples_there_are_no_weights() -> None:
    case = planted(texts=0)
    found = weigh(fit(case.anchors, case.texts), case.texts, [])
    assert found.weights.shape == (0,) and found.record["chosen_by"] == "default"
