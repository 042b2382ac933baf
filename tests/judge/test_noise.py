"""Confident learning: accepted labels that are wrong are found again, and right ones are left alone."""

import numpy as np

from synthgen.judge.noise import doubtful, out_of_fold
from synthgen.judge.trust import Gold, Row, TrustConfig

LABELS = ("sport", "science", "world")
CENTRES = np.eye(12)[:3]
CFG = TrustConfig(closeness=0.0)


def rows(count: int, wrong: set[int]) -> tuple[list[Row], list[str]]:
    """Texts around their label's centre; those in `wrong` were accepted with the next label."""
    rng = np.random.default_rng(1)
    found, labels = [], []
    for number in range(count):
        vector = CENTRES[number % 3] + 0.15 * rng.normal(size=12)
        given = (number + (number in wrong)) % 3
        found.append(Row(number, vector / np.linalg.norm(vector), np.eye(3)[given], {}))
        labels.append(LABELS[given])
    return found, labels


def gold() -> Gold:
    return Gold(LABELS, np.vstack([CENTRES, CENTRES]), LABELS * 2, CENTRES)


def test_wrong_labels_are_found_and_right_ones_kept() -> None:
    wrong = {5, 20, 41, 63, 88}
    found, labels = rows(120, wrong)
    doubted = set(np.flatnonzero(doubtful(gold(), CFG, found, labels)).tolist())
    assert len(doubted & wrong) >= 4
    assert len(doubted - wrong) <= 2


def test_where_all_labels_are_right_nothing_is_doubted() -> None:
    found, labels = rows(120, set())
    assert not doubtful(gold(), CFG, found, labels).any()


def test_few_rows_are_not_doubted() -> None:
    found, labels = rows(12, {3})
    assert not doubtful(gold(), CFG, found, labels).any()


def test_no_row_has_a_say_in_its_own_probabilities() -> None:
    """A row that is unlike all others, with a label of its own choice, would otherwise be believed."""
    found, _ = rows(30, set())
    odd = Row(30, np.eye(12)[11], np.eye(3)[2], {})
    probabilities = out_of_fold(gold(), CFG, [*found, odd])
    assert probabilities.shape == (6 + 31, 3)
    assert probabilities[-1, 2] < 0.5
