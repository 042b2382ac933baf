import math
import random

import numpy as np
import pytest

from synthgen.diversity import metrics


def unit(rows: int, dim: int = 8, seed: int = 0) -> np.ndarray:
    vectors = np.random.default_rng(seed).normal(size=(rows, dim)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Don't STOP, 'now'!", ["don't", "stop", "now"]),
        ("我喜欢 apples", ["我", "喜", "欢", "apples"]),
        ("한국어 단어", ["한국어", "단어"]),
        ("カタカナ", ["カ", "タ", "カ", "ナ"]),
        ("नमस्ते दुनिया", ["नमस्ते", "दुनिया"]),
        ("cafe\u0301 café", ["café", "café"]),
        ("😀 — !!", []),
    ],
)
def test_words_are_words_in_any_script(text: str, expected: list[str]) -> None:
    assert metrics.words(text) == expected


def test_distinct_n_is_distinct_over_all() -> None:
    assert metrics.distinct_n(["a b", "a b"], 1) == 0.5
    assert metrics.distinct_n(["a b", "a b"], 2) == 0.5
    assert metrics.distinct_n(["a b", "c d"], 2) == 1.0  # `b c` spans two texts and is no bigram


@pytest.mark.parametrize("n", [1, 2, 3])
def test_distinct_n_agrees_with_counting_tuples(n: int) -> None:
    rng = random.Random(n)
    texts = [" ".join(rng.choice("abcdefgh") for _ in range(rng.randrange(12))) for _ in range(200)]
    grams = [tuple(t.split()[i : i + n]) for t in texts for i in range(len(t.split()) - n + 1)]
    assert metrics.distinct_n(texts, n) == pytest.approx(len(set(grams)) / len(grams))


def test_distinct_n_of_texts_that_are_too_short_is_unknown() -> None:
    assert metrics.distinct_n(["a", ""], 2) is None
    assert metrics.distinct_n([], 1) is None


def test_compression_ratio_is_higher_for_repetition() -> None:
    rng = random.Random(0)
    varied = ["".join(rng.choice("abcdefghijklmnop ") for _ in range(60)) for _ in range(50)]
    same, other = metrics.compression_ratio(["turn on the light"] * 50), metrics.compression_ratio(varied)
    assert same is not None
    assert other is not None
    assert same > 3 * other > 0
    assert metrics.compression_ratio([]) is None


def test_label_balance_counts_classes_without_a_sample() -> None:
    assert metrics.label_balance(["a", "b"] * 5, ["a", "b"]) == pytest.approx(1.0)
    assert metrics.label_balance(["a"] * 5, ["a", "b"]) == 0.0
    assert metrics.label_balance(["a", "b"] * 5, ["a", "b", "c"]) == pytest.approx(math.log(2) / math.log(3))
    assert metrics.label_balance([], ["a", "b"]) is None
    assert metrics.label_balance(["a"], ["a"]) is None


def test_sampled_rows_are_all_rows_or_the_same_draw_every_time() -> None:
    assert metrics.sampled_rows(3, seed=1, limit=5).tolist() == [0, 1, 2]
    drawn = metrics.sampled_rows(1000, seed=1, limit=5).tolist()
    assert drawn == metrics.sampled_rows(1000, seed=1, limit=5).tolist() == sorted(set(drawn))
    assert len(drawn) == 5
    assert drawn != metrics.sampled_rows(1000, seed=2, limit=5).tolist()


@pytest.mark.parametrize("chunk", [1, 7, 4096])
def test_nearest_similarity_passes_over_the_own_row_in_any_chunk(chunk: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics, "_CHUNK", chunk)
    vectors = unit(40)
    rows = np.asarray([0, 3, 39])
    everyone = vectors @ vectors.T
    np.fill_diagonal(everyone, -1)
    found = metrics.nearest_similarity(vectors[rows], vectors, rows)
    np.testing.assert_allclose(found, everyone[rows].max(axis=1), atol=1e-6)
    assert metrics.nearest_similarity(vectors[rows], vectors).tolist() == pytest.approx([1, 1, 1], abs=1e-5)


def test_nearest_similarity_without_anyone_else_is_unknown() -> None:
    alone = unit(1)
    assert np.isnan(metrics.nearest_similarity(alone, alone, np.asarray([0]))).all()
    assert np.isnan(metrics.nearest_similarity(alone, alone[:0])).all()
