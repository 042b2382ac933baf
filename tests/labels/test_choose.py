"""Test which samples a person is asked about."""

from collections import Counter

import numpy as np

from synthgen.labels.choose import Chooser


def chooser(labels: list[str], vectors: np.ndarray, sure: float = 0.9, seed: int = 0) -> Chooser:
    ids = [str(number) for number in range(len(labels))]
    shares = [{label: sure, "other": 1 - sure} for label in labels]
    return Chooser(ids, vectors.astype(np.float32), shares, seed)


def asked(of: Chooser, count: int) -> list[int]:
    found: list[int] = []
    while len(found) < count and (key := of.next(Counter())) is not None:
        of.take([key])
        found.append(int(key))
    return found


def test_labels_take_turns_however_many_samples_each_has() -> None:
    labels = ["a"] * 80 + ["b"] * 15 + ["c"] * 5
    vectors = np.random.default_rng(1).normal(size=(100, 16))
    counts = Counter(labels[row] for row in asked(chooser(labels, vectors), 12))
    assert counts == {"a": 4, "b": 4, "c": 4}


def test_labels_that_people_gave_count_so_that_the_answers_are_balanced() -> None:
    labels = ["a"] * 20 + ["b"] * 20
    of = chooser(labels, np.random.default_rng(1).normal(size=(40, 16)))
    first = of.next({"a": 3, "b": 0})
    assert first is not None and labels[int(first)] == "b"


def test_near_duplicates_are_not_asked_about_while_there_are_others() -> None:
    base = np.eye(4)[[0, 0, 0, 1, 2, 3]] + np.random.default_rng(0).normal(size=(6, 4)) * 0.001
    found = asked(chooser(["a"] * 6, base), 6)
    assert {0, 1, 2} & set(found[:4]) != set() and len({0, 1, 2} & set(found[:4])) == 1
    assert sorted(found) == list(range(6)), "they come last, and do come"


def test_the_most_doubtful_sample_comes_first_and_an_outlier_last() -> None:
    rng = np.random.default_rng(3)
    vectors = np.vstack([np.array([1.0, 0, 0, 0]) + rng.normal(size=(30, 4)) * 0.1, [[0.5, 0, 0, 0.5]]])
    shares = [{"a": 0.9, "b": 0.1} for _ in range(31)]
    shares[7] = {"a": 0.5, "b": 0.5}
    of = Chooser([str(number) for number in range(31)], vectors.astype(np.float32), shares, 0)
    assert asked(of, 1) == [7]


def test_of_samples_that_are_doubted_alike_the_typical_one_comes_first() -> None:
    vectors = np.array([[1.0, 0, 0, 0], [1, 0.4, 0, 0], [1, 0, 0.4, 0], [0, 0, 0, 1]])
    assert asked(chooser(["a"] * 4, vectors), 1) == [0]


def test_the_same_ledger_and_seed_give_the_same_questions_and_another_seed_another_order_of_labels() -> None:
    labels = [str(number % 12) for number in range(60)]
    vectors = np.random.default_rng(1).normal(size=(60, 8))
    assert asked(chooser(labels, vectors), 20) == asked(chooser(labels, vectors), 20)
    assert asked(chooser(labels, vectors, seed=1), 20) != asked(chooser(labels, vectors), 20)


def test_without_labels_doubtful_samples_come_first() -> None:
    vectors = np.random.default_rng(1).normal(size=(20, 8)).astype(np.float32)
    doubts = [0.0] * 19 + [0.9]
    of = Chooser([str(number) for number in range(20)], vectors, [{"": 1.0}] * 20, 0, doubts)
    assert asked(of, 1) == [19]
