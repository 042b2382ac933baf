"""The Vendi score is what its paper defines, from moments that grow with the vectors and not with their number."""

import numpy as np
import pytest

from synthgen.diversity.metrics import Vectors
from synthgen.diversity.moments import Moments, centroid_distance, mean_similarity, vendi_score


def unit(rows: int, dim: int = 8, seed: int = 0) -> Vectors:
    vectors = np.random.default_rng(seed).normal(size=(rows, dim)).astype(np.float32)
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), dtype=np.float32)


def by_definition(vectors: Vectors) -> float:
    """exp of the Shannon entropy of the eigenvalues of the n by n similarity matrix over n."""
    kernel = vectors.astype(np.float64) @ vectors.T.astype(np.float64)
    values = np.linalg.eigvals(kernel / len(vectors)).real
    return float(np.exp(-sum(value * np.log(value) for value in values if value > 1e-12)))


@pytest.mark.parametrize(("rows", "dim"), [(5, 8), (8, 8), (60, 8), (30, 64)])
def test_the_running_score_is_the_score_by_definition(rows: int, dim: int) -> None:
    vectors = unit(rows, dim)
    running = Moments(dim)
    for start in range(0, rows, 7):
        running.add(vectors[start : start + 7])
    assert running.count == rows
    assert running.vendi() == pytest.approx(by_definition(vectors), rel=1e-5)
    assert vendi_score(vectors) == pytest.approx(by_definition(vectors), rel=1e-5)


def test_copies_count_once_and_orthogonal_vectors_each_for_one() -> None:
    axes = np.eye(4, dtype=np.float32)
    assert vendi_score(axes) == pytest.approx(4)
    assert vendi_score(np.repeat(axes[:1], 50, axis=0)) == pytest.approx(1)
    assert vendi_score(np.repeat(axes[:2], 50, axis=0)) == pytest.approx(2)
    assert vendi_score(np.concatenate([axes[:1]] * 3 + [axes[1:2]])) == pytest.approx(4 / 3**0.75)  # 3 to 1


def test_the_score_of_no_vectors_is_unknown() -> None:
    assert Moments(4).vendi() is None
    assert vendi_score(unit(0)) is None


def test_mean_similarity_is_over_pairs_of_different_vectors() -> None:
    vectors = unit(20)
    pairs = [float(vectors[i] @ vectors[j]) for i in range(20) for j in range(i)]
    running = Moments(8)
    running.add(vectors)
    assert mean_similarity(vectors) == pytest.approx(np.mean(pairs), abs=1e-6)
    assert running.mean_similarity() == pytest.approx(np.mean(pairs), abs=1e-6)
    assert mean_similarity(vectors[:1]) is None


def test_centroid_distance_is_one_less_the_cosine_of_the_means() -> None:
    axes = np.eye(3, dtype=np.float32)
    assert centroid_distance(axes[:1], axes[:1]) == pytest.approx(0)
    assert centroid_distance(axes[:1], axes[1:2]) == pytest.approx(1)
    assert centroid_distance(axes[:2], axes[:1]) == pytest.approx(1 - 2**-0.5)
    assert centroid_distance(axes[:1], axes[:0]) is None
    assert centroid_distance(np.stack([axes[0], -axes[0]]), axes) is None
