"""The index: exact while small, then nearly so; its answers hang on the sequence of vectors alone."""

import time
from collections.abc import Callable, Iterator

import numpy as np
import pytest

from synthgen.diversity import lists as lists_module
from synthgen.diversity.embedder import Vectors
from synthgen.diversity.index import BLOCK, VectorIndex
from synthgen.diversity.lists import ROUNDING, Lists

DIM = 24
TRAINED, TAKEN_UP = 4_096, 4_608  # the first lists
AGAIN, AGAIN_TAKEN_UP = 8_192, 9_216  # the second
Make = Callable[..., VectorIndex]


def unit(vectors: Vectors) -> Vectors:
    return np.asarray(vectors / np.linalg.norm(vectors, axis=-1, keepdims=True), dtype=np.float32)


@pytest.fixture(scope="module")
def vectors() -> Vectors:
    return unit(np.random.default_rng(0).normal(size=(10_240, DIM)))


@pytest.fixture(scope="module")
def queries(vectors: Vectors) -> Vectors:
    """One for each vector, at a cosine of about 0.92 to it."""
    return unit(vectors + 0.42 * unit(np.random.default_rng(1).normal(size=vectors.shape)))


@pytest.fixture
def make() -> Iterator[Make]:
    """Makes an index that is closed in the end; of the vectors given, if any, all at once."""
    made = []

    def index(held: Vectors | None = None, reach: int = 0, exact: bool = False) -> VectorIndex:
        made.append(VectorIndex(DIM, reach, exact))
        if held is not None:
            made[-1].extend([str(row) for row in range(len(held))], held)
        return made[-1]

    yield index
    for each in made:
        each.close()


@pytest.fixture
def careless(monkeypatch: pytest.MonkeyPatch) -> None:
    """Searches so few lists that many neighbours are missed, so that a test sees where lists are asked."""
    monkeypatch.setattr(lists_module, "_LEAST_PROBES", 1)
    monkeypatch.setattr(lists_module, "_SHORT_PROBED", 0)


def answers(index: VectorIndex, queries: Vectors) -> list[tuple[str | None, float]]:
    return [ask(query) for query in queries for ask in (index.glance, index.nearest)]


def share_found(index: VectorIndex, held: Vectors, queries: Vectors) -> float:
    nearest = (queries @ held.T).argmax(axis=1)
    return float(np.mean([index.nearest(q)[0] == str(row) for q, row in zip(queries, nearest, strict=True)]))


def test_an_empty_index_has_no_nearest(make: Make) -> None:
    assert make().nearest(np.ones(DIM, dtype=np.float32)) == (None, 0.0)
    assert make().glance(np.ones(DIM, dtype=np.float32)) == (None, 0.0)


def test_the_nearest_is_found_by_cosine() -> None:
    index = VectorIndex(2)
    for key, vector in (("east", (1, 0)), ("north", (0, 1)), ("northeast", (0.6, 0.8))):
        index.add(key, np.asarray(vector, dtype=np.float32))
    assert len(index) == 3
    nearest, score = index.nearest(np.asarray((0.8, 0.6), dtype=np.float32))
    assert nearest == "northeast"
    assert score == pytest.approx(0.96)


@pytest.mark.parametrize("count", [BLOCK - 1, BLOCK, BLOCK + 1, TRAINED, TAKEN_UP - 1])
def test_a_small_index_is_exact(make: Make, vectors: Vectors, queries: Vectors, count: int, careless: None) -> None:
    index, held = make(vectors[:count]), vectors[:count]
    for query in queries[:100]:
        nearest = int((held @ query).argmax())
        for key, score in (index.nearest(query), index.glance(query)):
            assert key == str(nearest)
            assert score == pytest.approx(held[nearest] @ query, abs=1e-6)


def test_an_exact_index_stays_exact(make: Make, vectors: Vectors, queries: Vectors, careless: None) -> None:
    assert share_found(make(vectors, exact=True), vectors, queries[:300]) == 1
    assert share_found(make(vectors), vectors, queries[:300]) < 0.9


def test_a_large_index_finds_near_duplicates(make: Make) -> None:
    rng = np.random.default_rng(2)
    kinds = unit(rng.normal(size=(200, DIM)))[rng.integers(200, size=10_240)]  # as texts have, and noise has not
    held = unit(kinds + 0.6 * unit(rng.normal(size=kinds.shape)))
    near = unit(held + 0.44 * unit(rng.normal(size=held.shape)))[::10]
    near = near[(near @ held.T).max(axis=1) >= 0.9]
    index = make(held)
    found = [index.nearest(query) for query in near]
    assert np.mean([score >= 0.9 - ROUNDING for _, score in found]) >= 0.95
    for (key, score), query in zip(found, near, strict=True):
        assert score == pytest.approx(held[int(key or -1)] @ query, abs=ROUNDING)


def test_the_newest_are_searched_exactly(make: Make, vectors: Vectors, queries: Vectors, careless: None) -> None:
    index = make(vectors, reach=BLOCK)
    newest = range(len(vectors) - BLOCK, len(vectors))
    assert all(index.nearest(queries[row])[1] >= vectors[row] @ queries[row] - 1e-6 for row in newest)


@pytest.mark.parametrize("reach", [0, 700])
def test_it_makes_no_difference_how_vectors_came_in(
    make: Make, vectors: Vectors, queries: Vectors, reach: int, careless: None
) -> None:
    one_by_one = make(reach=reach)
    stops = [TAKEN_UP - 1, TAKEN_UP, TAKEN_UP + 700, AGAIN, AGAIN + 300, AGAIN_TAKEN_UP, AGAIN_TAKEN_UP + 700]
    for row, vector in enumerate(vectors, start=1):
        one_by_one.add(str(row - 1), vector)
        if row in (*stops, len(vectors)):
            assert answers(make(vectors[:row], reach), queries[::199]) == answers(one_by_one, queries[::199])
    in_two = make(vectors[:5_000], reach)
    in_two.extend([str(row) for row in range(5_000, len(vectors))], vectors[5_000:])
    assert answers(in_two, queries[::199]) == answers(one_by_one, queries[::199])


def test_what_a_glance_finds_is_found_again_within_reach(
    make: Make, vectors: Vectors, queries: Vectors, careless: None
) -> None:
    reach = 512
    for glanced_at in (TAKEN_UP - reach, TAKEN_UP - 1, TAKEN_UP, AGAIN_TAKEN_UP - reach, AGAIN_TAKEN_UP - 1):
        index = make(vectors[:glanced_at], reach)
        rows = range(glanced_at % 37, glanced_at, 37)
        glances = [index.glance(queries[row])[1] for row in rows]
        for start in range(glanced_at, glanced_at + reach, BLOCK // 2):
            index.extend([str(row) for row in range(start, start + BLOCK // 2)], vectors[start : start + BLOCK // 2])
            for row, glance in zip(rows, glances, strict=True):
                assert index.nearest(queries[row])[1] >= glance - ROUNDING


def test_a_slow_training_changes_nothing(
    make: Make, vectors: Vectors, queries: Vectors, monkeypatch: pytest.MonkeyPatch, careless: None
) -> None:
    at_ease = answers(make(vectors[:5_000]), queries[::199])
    build = Lists.build
    monkeypatch.setattr(Lists, "build", lambda self, read: (time.sleep(0.3), build(self, read)))
    assert answers(make(vectors[:5_000]), queries[::199]) == at_ease


def test_a_training_does_not_hold_up_those_who_add(
    make: Make, vectors: Vectors, monkeypatch: pytest.MonkeyPatch
) -> None:
    index = make(vectors[: TRAINED - 1])
    monkeypatch.setattr(Lists, "build", lambda self, read: time.sleep(1))
    began = time.monotonic()
    index.add("one more", vectors[TRAINED])
    index.nearest(vectors[0])
    assert time.monotonic() - began < 0.5


def test_a_training_that_fails_is_heard_of(make: Make, vectors: Vectors, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise MemoryError("no room for lists")

    monkeypatch.setattr(Lists, "build", fail)
    index = make(vectors[: TAKEN_UP - 1])
    with pytest.raises(MemoryError, match="no room for lists"):
        index.add("one more", vectors[TAKEN_UP])
