"""The ways to choose, on vectors in the plane where the right answer can be seen, and against plain greedy."""

import numpy as np
import pytest

from synthgen.diversity.embedder import Vectors
from synthgen.selection import methods
from synthgen.selection.methods import Floats, deita, facility_location, k_center

NOTHING = np.empty((0, 2), dtype=np.float32)


def at(*degrees: float) -> Vectors:
    """Unit vectors in these directions."""
    angles = np.radians(degrees)
    return np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)


def even(vectors: Vectors) -> Floats:
    return np.ones(len(vectors), dtype=np.float32)


def cloud(rows: int, seed: int = 0) -> tuple[Vectors, Floats]:
    """Unit vectors around a few centres, and qualities."""
    rng = np.random.default_rng(seed)
    found = rng.normal(size=(8, 16))[rng.integers(0, 8, rows)] + 0.6 * rng.normal(size=(rows, 16))
    found /= np.linalg.norm(found, axis=1, keepdims=True)
    return found.astype(np.float32), rng.uniform(0.2, 1, rows).astype(np.float32)


def test_deita_takes_the_best_first_and_skips_similar_rows() -> None:
    vectors, quality = at(0, 5, 90, 95, 180), np.asarray([0.5, 0.9, 0.7, 0.8, 0.1], dtype=np.float32)
    assert deita(vectors, quality, NOTHING, 5, similarity=0.9) == [1, 3, 4]
    assert deita(vectors, quality, NOTHING, 2, similarity=0.9) == [1, 3]
    assert deita(vectors, quality, at(178), 5, similarity=0.9) == [1, 3]


def test_deita_skips_rows_similar_to_one_of_an_earlier_block(monkeypatch: pytest.MonkeyPatch) -> None:
    vectors, quality = cloud(300)
    whole = deita(vectors, quality, NOTHING, 300, 0.7)
    monkeypatch.setattr(methods, "_BLOCK", 7)
    assert deita(vectors, quality, NOTHING, 300, 0.7) == whole
    assert 10 < len(whole) < 290
    cosines = vectors[whole] @ vectors[whole].T - np.eye(len(whole))
    assert cosines.max() <= 0.7 + 1e-6


def test_k_center_takes_the_row_farthest_from_those_taken() -> None:
    vectors = at(0, 10, 90, 100, 200)
    assert k_center(vectors, even(vectors), at(5), 2) == [4, 3]


def test_k_center_prefers_a_good_row_to_a_far_one() -> None:
    vectors, quality = at(60, 180), np.asarray([1.0, 0.1], dtype=np.float32)
    assert k_center(vectors, quality, at(0), 1) == [0]
    assert k_center(vectors, even(vectors), at(0), 1) == [1]


def test_facility_location_takes_rows_from_the_densest_region() -> None:
    vectors = at(0, 4, -4, 120, -120)
    assert facility_location(vectors, even(vectors), NOTHING, 3)[0] == 0
    assert set(facility_location(vectors, even(vectors), NOTHING, 3)) == {0, 3, 4}


def test_facility_location_skips_regions_that_the_seeds_cover() -> None:
    vectors = at(0, 4, -4, 90)
    assert facility_location(vectors, even(vectors), at(0), 1) == [3]


def test_lazy_k_center_is_plain_k_center() -> None:
    vectors, quality = cloud(200)
    taken = vectors[:3]
    plain: list[int] = []
    for _ in range(60):
        near = (vectors @ np.concatenate([taken, vectors[plain]]).T).max(1)
        worth = np.where(np.isin(np.arange(200), plain), -1, quality * (1 - near))
        plain.append(int(worth.argmax()))
    assert k_center(vectors, quality, taken, 60) == plain


def service(vectors: Vectors, quality: Floats) -> Floats:
    """Return how well each row, down, is served by each, across."""
    return np.asarray(np.maximum(vectors @ vectors.T, 0) * quality * quality[:, None], dtype=np.float32)


@pytest.mark.parametrize("held", [0, 5])
def test_facility_location_is_plain_greedy(held: int) -> None:
    vectors, quality = cloud(200)
    taken = vectors[:held]
    values = service(vectors, quality)
    served = (np.maximum(vectors @ taken.T, 0) * quality[:, None]).max(1, initial=0)
    plain: list[int] = []
    for _ in range(40):
        gains = np.maximum(values - served[:, None], 0).sum(0)
        gains[plain] = -1
        plain.append(int(gains.argmax()))
        served = np.maximum(served, values[:, plain[-1]])
    assert facility_location(vectors, quality, taken, 40) == plain


def test_facility_location_prefers_to_cover_good_rows_by_good_rows() -> None:
    vectors, quality = at(0, 20, 180, 200), np.asarray([0.9, 1, 0.3, 0.3], dtype=np.float32)
    assert facility_location(vectors, quality, NOTHING, 2) == [1, 2]


def test_selecting_from_parts_covers_all_rows_nearly_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    vectors, quality = cloud(1_000)
    values = service(vectors, quality)

    def served() -> float:
        chosen = facility_location(vectors, quality, vectors[:0], 50)
        assert len(set(chosen)) == 50
        return float(values[:, chosen].max(1).sum())

    whole = served()
    monkeypatch.setattr(methods, "TOGETHER", 300)
    assert 0.96 * whole < served() < whole


@pytest.mark.parametrize("method", [k_center, facility_location])
def test_all_are_chosen_where_there_are_no_more(method: object) -> None:
    vectors, quality = cloud(30)
    assert callable(method)
    assert sorted(method(vectors, quality, vectors[:2], 99)) == list(range(30))
    assert method(vectors[:0], quality[:0], vectors[:2], 5) == []


def test_the_size_is_filled_even_where_nothing_is_gained(monkeypatch: pytest.MonkeyPatch) -> None:
    vectors = np.repeat(at(0, 90), 10, axis=0)
    assert len(set(facility_location(vectors, even(vectors), at(0, 90), 15))) == 15
    monkeypatch.setattr(methods, "TOGETHER", 3)
    few = facility_location(vectors, even(vectors), at(0, 90), 4)  # of seven parts, three give none
    assert len(set(few)) == 4
    assert few == facility_location(vectors, even(vectors), at(0, 90), 4)
