"""Lexical overlap: common words count, whatever their order, case and endings; other words do not."""

import numpy as np
import pytest

from synthgen.diversity.overlap import corrected, expected_likeness, overlap


@pytest.mark.parametrize(
    ("one", "other", "share"),
    [
        ("Where is my card?", "where is my card", 1.0),
        ("Where is my card?", "my card, where is", 1.0),
        ("card", "loan", 0.0),
        ("card", "cards", 2 * 3 / (4 + 5)),  # " ca", "car" and "ard" of 4 and of 5
        ("", "", 1.0),
        ("", "card", 0.0),
        ("我的卡", "我的车", 6 / 10),  # 我, 的 and 我的 of 5 each
        ("狗咬了人", "人咬了狗", 2 * 5 / 14),  # the order of characters counts
        ("這是我的卡", "这是我的卡。", 1.0),
        ("?!", "...", 0.0),
    ],
)
def test_overlap_is_the_share_of_common_trigrams(one: str, other: str, share: float) -> None:
    assert overlap(one, other) == pytest.approx(share)
    assert overlap(other, one) == overlap(one, other)


ALIKE = ["where is my card", "where is my cash", "find a film", "book a taxi"]


def test_seeds_of_one_label_say_how_alike_texts_of_a_task_are() -> None:
    narrow = expected_likeness(ALIKE[:2] * 10, np.ones((20, 1), dtype=np.float32), ["a"] * 20)
    wide = expected_likeness(["card", "film", "taxi", "rain"], np.eye(4, dtype=np.float32), ["a"] * 4)
    assert narrow > 0.8
    assert wide < 0.2


def test_few_pairs_of_seeds_count_little_and_without_any_the_default_holds() -> None:
    vectors = np.ones((2, 1), dtype=np.float32)
    assert expected_likeness(["one", "two"], vectors, ["a", "b"]) == pytest.approx(1 / 3)
    assert expected_likeness(["card", "card"], vectors, ["a", "a"]) == pytest.approx((1 + 5 / 3) / 6)


def test_without_labels_the_expected_likeness_is_never_below_the_usual_one() -> None:
    vectors = np.eye(4, dtype=np.float32)
    assert expected_likeness(ALIKE, vectors, [None] * 4) == pytest.approx(1 / 3)


def test_a_corrected_likeness_is_1_for_equal_texts_and_0_for_the_expected_likeness() -> None:
    assert [corrected(found, 0.4) for found in (0.4, 0.7, 1.0)] == pytest.approx([0.0, 0.5, 1.0])
    assert corrected(1.0, 1.0) == 1.0
