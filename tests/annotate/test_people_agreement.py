"""Figures of agreement, against the libraries and against values computed by hand."""

import random
from itertools import combinations

import krippendorff
import numpy as np
import pytest

from synthgen.annotate import adjudicate, agreement
from synthgen.annotate.agreement import measure
from synthgen.annotate.reliability import estimate
from synthgen.records import ADJUDICATION, PersonAnswer

LABELS = ["a", "b", "c"]


def answers(rows: dict[str, list[str | None]], people: str = "xyz") -> list[PersonAnswer]:
    return [
        PersonAnswer(key, person, answer, 1.0)
        for key, row in rows.items()
        for person, answer in zip(people, row, strict=False)
    ]


def drawn(count: int, errors: dict[str, float], seed: int = 0) -> list[PersonAnswer]:
    """Answers of people who give a wrong label at these rates."""
    rng = random.Random(seed)
    found = []
    for number in range(count):
        right = rng.choice(LABELS)
        for person, error in errors.items():
            wrong = rng.choice([label for label in LABELS if label != right])
            found.append(PersonAnswer(str(number), person, wrong if rng.random() < error else right, 1.0))
    return found


def test_the_figures_are_those_computed_by_hand() -> None:
    found = measure(answers({"1": ["a", "a"], "2": ["a", "b"], "3": ["b", "b"], "4": ["b", "b"]}), LABELS)
    assert found is not None
    assert found.percent.value == 0.75
    # Pairs of values: 6 of a with a or b ...; D_o = 2/8, D_e = 2*3*5/(8*7) = 30/56; alpha = 1 - 14/30.
    assert found.alpha.value == pytest.approx(1 - (2 / 8) / (30 / 56), abs=1e-4)
    assert found.fleiss.value == pytest.approx((0.75 - (9 + 25) / 64) / (1 - (9 + 25) / 64), abs=1e-4)
    (pair,) = found.pairs
    assert (pair.people, pair.shared) == (("x", "y"), 4)
    assert pair.kappa.value == pytest.approx((0.75 - (2 * 1 + 2 * 3) / 16) / (1 - (2 * 1 + 2 * 3) / 16), abs=1e-4)
    assert [(one.label, one.answers) for one in found.labels] == [("a", 3), ("b", 5)]
    assert found.labels[0].percent.value == 0.5, "of the two pairs of answers with an a, one is a and a"


def test_intervals_contain_the_figure_and_shrink_with_more_samples() -> None:
    few, many = (measure(drawn(count, {"x": 0.1, "y": 0.3, "z": 0.2}), LABELS) for count in (30, 600))
    assert few is not None and many is not None
    for found in (few, many):
        for one in (found.percent, found.alpha, found.fleiss, found.pairs[0].kappa, found.labels[0].alpha):
            assert one.value is not None and one.low is not None and one.high is not None
            assert one.low <= one.value <= one.high
    width = [found.alpha.high - found.alpha.low for found in (few, many)]  # type: ignore[operator]
    assert width[1] < width[0] / 2


def test_the_resampled_formulas_are_those_of_the_libraries() -> None:
    rng = np.random.default_rng(0)
    counts = rng.multinomial(3, [0.5, 0.3, 0.2], size=40).astype(float)
    once = np.ones((1, 40))
    alpha = krippendorff.alpha(value_counts=counts.astype(int), level_of_measurement="nominal")
    assert agreement._alpha(counts, once)[0] == pytest.approx(alpha)
    assert agreement._fleiss(counts, once)[0] == pytest.approx(agreement._fleiss_value(counts))


def test_equal_answers_leave_the_coefficients_undefined_and_nobody_sharing_gives_none() -> None:
    found = measure(answers({"1": ["a", "a"], "2": ["a", "a"]}), LABELS)
    assert found is not None and found.percent.value == 1.0
    assert found.alpha.value is None and found.fleiss.value is None and found.pairs[0].kappa.value is None
    assert measure([PersonAnswer("1", "x", "a", 1.0), PersonAnswer("2", "y", "a", 1.0)], LABELS) is None
    assert (
        measure([PersonAnswer("1", "x", "a", 1.0), PersonAnswer("1", "y", "b", 2.0, None, ADJUDICATION)], LABELS)
        is None
    )


def test_not_a_sample_counts_as_an_answer_of_its_own() -> None:
    found = measure(answers({"1": ["a", None], "2": [None, None], "3": ["a", "a"]}), LABELS)
    assert found is not None
    assert [one.label for one in found.labels] == ["a", "not a sample"]


@pytest.mark.slow
def test_reliability_orders_people_by_their_known_error_rates() -> None:
    errors = {"good": 0.05, "fair": 0.2, "poor": 0.45}
    found = estimate(drawn(300, errors))
    assert [one.person for one in found] == list(errors)
    for one in found:
        assert one.right == pytest.approx(1 - errors[one.person], abs=0.08)
    assert found[-1].confused is not None
    assert estimate(drawn(10, {"alone": 0.1})) == []


def test_majority_decides_what_has_one_and_leaves_ties() -> None:
    given = answers({"1": ["a", "a", "b"], "2": ["a", "b"], "3": ["c", "c"], "4": [None, None, "c"]})
    decided, ties = adjudicate.by_majority(given, "g", 5.0)
    assert [(one.sample_id, one.answer) for one in decided] == [("1", "a"), ("4", None)]
    assert ties == ["2"]
    assert all(one.role == ADJUDICATION and one.guide == "g" and one.annotator == "majority" for one in decided)
    assert list(adjudicate.disputed([*given, *decided])) == ["2"], "what is decided is not asked again"


def test_only_a_third_person_decides() -> None:
    given = answers({"1": ["a", "b"], "2": ["a", "c"]})
    assert adjudicate.to_decide(given, "x") == ([], 2)
    assert adjudicate.to_decide(given, "w") == (["1", "2"], 0)


def test_each_pair_of_people_is_listed_once() -> None:
    found = measure(drawn(20, {"x": 0.1, "y": 0.1, "z": 0.1}), LABELS)
    assert found is not None
    assert [pair.people for pair in found.pairs] == list(combinations("xyz", 2))
