import math
import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from synthgen.diversity import metrics


def unit(rows: int, dim: int = 8, seed: int = 0) -> np.ndarray:
    vectors = np.random.default_rng(seed).normal(size=(rows, dim)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


@given(st.text(st.characters(max_codepoint=127)))
def test_ascii_words_are_the_same_alone_and_within_other_scripts(text: str) -> None:
    assert [*metrics.words(text), "你"] == metrics.words(f"{text} 你")


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


@pytest.mark.parametrize("largest", [2**62, 10])
@pytest.mark.parametrize("n", [1, 2, 3])
def test_distinct_n_agrees_with_counting_tuples(n: int, largest: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics, "_LARGEST", largest)
    rng = random.Random(n)
    texts = [" ".join(rng.choice("abcdefgh") for _ in range(rng.randrange(12))) for _ in range(200)]
    grams = [tuple(t.split()[i : i + n]) for t in texts for i in range(len(t.split()) - n + 1)]
    assert metrics.distinct_n(texts, n) == pytest.approx(len(set(grams)) / len(grams))


def test_distinct_n_of_texts_that_are_too_short_is_unknown() -> None:
    assert metrics.distinct_n(["a", ""], 2) is None
    assert metrics.distinct_n([], 1) is None


def test_distinct_n_of_chinese_counts_characters() -> None:
    assert metrics.distinct_n(["今天天气好"], 1) == 0.8  # 今 天 天 气 好
    assert metrics.distinct_n(["今天天气好", "今天好"], 2) == pytest.approx(5 / 6)  # 今天 twice


def test_self_repetition_counts_texts_that_share_a_long_run() -> None:
    texts = ["one two three four five six", "and two three four five six", "seven eight nine ten eleven", "too short"]
    assert metrics.self_repetition(texts) == pytest.approx(2 / 3)
    assert metrics.self_repetition(texts, n=6) == 0.0
    assert metrics.self_repetition(["我今天想去北京", "他今天想去北京"]) == 1.0
    assert metrics.self_repetition(["a b c d e a b c d e", "f g h i j"]) == 0.0  # within one text is not in another
    assert metrics.self_repetition(["one two three four five", "short"]) is None


def slow_self_bleu(texts: list[str]) -> float:
    """By definition: clipped precisions against each other text, the closest length, NLTK's method 1."""
    documents = [text.split() for text in texts]
    scores = []
    for own, document in enumerate(documents):
        others = [other for row, other in enumerate(documents) if row != own]
        logs = []
        for n in range(1, 5):
            grams = [tuple(document[i : i + n]) for i in range(len(document) - n + 1)]
            matched = 0
            for gram in set(grams):
                best = max(sum(tuple(other[i : i + n]) == gram for i in range(len(other) - n + 1)) for other in others)
                matched += min(grams.count(gram), best)
            logs.append((matched, max(1, len(grams))))
        closest = min((abs(len(other) - len(document)), len(other)) for other in others)[1]
        brevity = 1.0 if len(document) > closest else math.exp(1 - closest / len(document))
        smoothed = [math.log((matched or 0.1) / total) for matched, total in logs]
        scores.append(0.0 if not logs[0][0] else brevity * math.exp(sum(smoothed) / 4))
    return sum(scores) / len(scores)


@pytest.mark.parametrize("seed", range(5))
def test_self_bleu_agrees_with_its_definition(seed: int) -> None:
    rng = random.Random(seed)
    texts = [" ".join(rng.choice("abcde") for _ in range(rng.randrange(1, 12))) for _ in range(20)]
    texts.append(texts[3])
    assert metrics.self_bleu(texts) == pytest.approx(slow_self_bleu(texts))


def test_self_bleu_by_hand() -> None:
    assert metrics.self_bleu(["a b c d e", "a b c d e"]) == pytest.approx(1.0)
    assert metrics.self_bleu(["a b c", "d e f"]) == 0.0
    # Both ways 3 of 4 words, 2 of 3 pairs, 1 of 2 triples and, smoothed, 0.1 of 1; lengths are equal.
    assert metrics.self_bleu(["a b c d", "a b c e"]) == pytest.approx((3 / 4 * 2 / 3 * 1 / 2 * 0.1) ** 0.25)
    assert metrics.self_bleu(["今天天气好", "今天天气坏"]) == pytest.approx((4 / 5 * 3 / 4 * 2 / 3 * 1 / 2) ** 0.25)
    assert metrics.self_bleu(["alone", "!"]) is None


def test_compression_ratio_is_higher_for_repetition() -> None:
    rng = random.Random(0)
    varied = ["".join(rng.choice("abcdefghijklmnop ") for _ in range(60)) for _ in range(50)]
    same, other = metrics.compression_ratio(["turn on the light"] * 50), metrics.compression_ratio(varied)
    assert same is not None
    assert other is not None
    assert same > 3 * other > 0
    assert metrics.compression_ratio([]) is None


def test_label_balance_is_the_rarest_labels_samples_over_an_even_share() -> None:
    assert metrics.label_balance({"a": 17, "b": 13}, ["a", "b", "c"]) == 0.0
    assert metrics.label_balance(["a", "b"] * 5, ["a", "b"]) == 1.0
    assert metrics.label_balance({"a": 30, "b": 20, "c": 10}, ["a", "b", "c"]) == 0.5
    assert metrics.label_balance([], ["a", "b"]) is None
    assert metrics.label_balance(["a"], ["a"]) is None


def test_label_entropy_counts_classes_without_a_sample() -> None:
    assert metrics.label_entropy(["a", "b"] * 5, ["a", "b"]) == pytest.approx(1.0)
    assert metrics.label_entropy(["a"] * 5, ["a", "b"]) == 0.0
    assert metrics.label_entropy(["a", "b"] * 5, ["a", "b", "c"]) == pytest.approx(math.log(2) / math.log(3))
    assert metrics.label_entropy({"a": 5, "b": 5}, ["a", "b"]) == pytest.approx(1.0)
    assert metrics.label_entropy([], ["a", "b"]) is None
    assert metrics.label_entropy(["a"], ["a"]) is None


def test_sampled_rows_are_all_rows_or_the_same_draw_every_time() -> None:
    assert metrics.sampled_rows(3, seed=1, limit=5).tolist() == [0, 1, 2]
    drawn = metrics.sampled_rows(1000, seed=1, limit=5).tolist()
    assert drawn == metrics.sampled_rows(1000, seed=1, limit=5).tolist() == sorted(set(drawn))
    assert len(drawn) == 5
    assert drawn != metrics.sampled_rows(1000, seed=2, limit=5).tolist()


@pytest.mark.parametrize("chunk", [1, 7, 4096])
def test_nearest_similarity_skips_the_row_itself_in_any_chunk(chunk: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics, "_CHUNK", chunk)
    vectors = unit(40)
    rows = np.asarray([0, 3, 39])
    everyone = vectors @ vectors.T
    np.fill_diagonal(everyone, -1)
    found = metrics.nearest_similarity(vectors[rows], vectors, rows)
    np.testing.assert_allclose(found, everyone[rows].max(axis=1), atol=1e-6)
    assert metrics.nearest_similarity(vectors[rows], vectors).tolist() == pytest.approx([1, 1, 1], abs=1e-5)


def test_nearest_similarity_of_a_single_row_is_unknown() -> None:
    alone = unit(1)
    assert np.isnan(metrics.nearest_similarity(alone, alone, np.asarray([0]))).all()
    assert np.isnan(metrics.nearest_similarity(alone, alone[:0])).all()
