"""The index: exact while small, then nearly so; its answers hang on the sequence of vectors alone."""

import time
from collections.abc import Callable, Iterator

import numpy as np
import pytest

from synthgen.diversity import lists as lists_module
from synthgen.diversity.embedder import Vectors
from synthgen.diversity.index import VectorIndex
from synthgen.diversity.lists import ROUNDING, Lists
from synthgen.diversity.view import BLOCK, NOTHING, Bounds, Hit

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
            made[-1].extend(held)
        return made[-1]

    yield index
    for each in made:
        each.close()


@pytest.fixture
def careless(monkeypatch: pytest.MonkeyPatch) -> None:
    """Searches so few lists that many neighbours are missed, so that a test sees where lists are asked."""
    monkeypatch.setattr(lists_module, "_LEAST_PROBES", 1)
    monkeypatch.setattr(lists_module, "_SHORT_PROBED", 0)


def answers(index: VectorIndex, queries: Vectors) -> list[Hit]:
    return index.view().nearest(queries, [len(index)] * len(queries))


def share_found(index: VectorIndex, held: Vectors, queries: Vectors) -> float:
    nearest = (queries @ held.T).argmax(axis=1)
    return float(np.mean([place == row for (place, _), row in zip(answers(index, queries), nearest, strict=True)]))


def test_an_empty_index_has_no_nearest(make: Make) -> None:
    assert make().nearest(np.ones(DIM, dtype=np.float32)) == NOTHING
    assert make().since(np.ones(DIM, dtype=np.float32), 0) == (NOTHING, [])


def test_the_nearest_is_found_by_cosine() -> None:
    index = VectorIndex(2)
    for vector in ((1, 0), (0, 1), (0.6, 0.8)):  # east, north, north-east
        index.add(np.asarray(vector, dtype=np.float32))
    assert len(index) == 3
    assert index.nearest(np.asarray((0.8, 0.6), dtype=np.float32)) == (2, pytest.approx(0.96))


@pytest.mark.parametrize("count", [BLOCK - 1, BLOCK, BLOCK + 1, TRAINED, TAKEN_UP - 1])
def test_a_small_index_is_exact(make: Make, vectors: Vectors, queries: Vectors, count: int, careless: None) -> None:
    index, held = make(vectors[:count]), vectors[:count]
    for query in queries[:100]:
        nearest = int((held @ query).argmax())
        assert index.nearest(query) == (nearest, pytest.approx(held[nearest] @ query, abs=1e-6))


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
    found = answers(index, near)
    assert np.mean([score >= 0.9 - ROUNDING for _, score in found]) >= 0.95
    for (place, score), query in zip(found, near, strict=True):
        assert score == pytest.approx(held[place] @ query, abs=ROUNDING)


def test_vectors_added_after_the_base_are_searched_exactly(
    make: Make, vectors: Vectors, queries: Vectors, careless: None
) -> None:
    base = len(vectors) - BLOCK
    hits = make(vectors, reach=BLOCK).view().nearest(queries[base:], [base] * BLOCK)
    assert all(
        score >= row @ query - 2e-6 for (_, score), row, query in zip(hits, vectors[base:], queries[base:], strict=True)
    )


@pytest.mark.parametrize("reach", [0, 700])
def test_batch_sizes_of_additions_do_not_change_what_is_found(
    make: Make, vectors: Vectors, queries: Vectors, reach: int, careless: None
) -> None:
    one_by_one = make(reach=reach)
    stops = [TAKEN_UP - 1, TAKEN_UP, TAKEN_UP + 700, AGAIN, AGAIN + 300, AGAIN_TAKEN_UP, AGAIN_TAKEN_UP + 700]
    for row, vector in enumerate(vectors, start=1):
        one_by_one.add(vector)
        if row in (*stops, len(vectors)):
            assert answers(make(vectors[:row], reach), queries[::199]) == answers(one_by_one, queries[::199])
    in_two = make(vectors[:5_000], reach)
    in_two.extend(vectors[5_000:])
    assert answers(in_two, queries[::199]) == answers(one_by_one, queries[::199])


@pytest.mark.parametrize("base", [100, TAKEN_UP - 300, TAKEN_UP + 10, AGAIN_TAKEN_UP - 300, AGAIN_TAKEN_UP + 10])
def test_results_from_a_base_do_not_depend_on_the_time_of_the_search(
    make: Make, vectors: Vectors, queries: Vectors, base: int, careless: None
) -> None:
    reach = 700
    index = make(vectors[:base], reach)
    asked = queries[base % 37 : base + reach : 37]
    found: list[list[Hit]] = []
    for stop in range(base, base + reach + 1, 100):  # a look at `stop`, and what came since at the end
        found.append(index.view().nearest(asked, [base] * len(asked)))
        index.extend(vectors[stop : min(stop + 100, base + reach)])
    at_the_end = [
        [max(hit, index.since(query, base + 100 * number)[0], key=lambda hit: hit[1])
         for hit, query in zip(hits, asked, strict=True)]
        for number, hits in enumerate(found)
    ]  # fmt: skip
    assert len(index) == base + reach
    assert all(hits == at_the_end[0] for hits in at_the_end)


def test_of_equal_vectors_the_first_is_found_in_single_and_batched_queries(make: Make, vectors: Vectors) -> None:
    index = make(np.concatenate([vectors[:300], vectors[:300], vectors[:300]]))
    assert [hit[0] for hit in index.view().nearest(vectors[:300], [900] * 300)] == list(range(300))
    assert [index.view().nearest(vectors[row : row + 1], [900])[0][0] for row in range(40)] == list(range(40))


def test_a_query_finds_the_same_alone_and_in_a_batch(
    make: Make, vectors: Vectors, queries: Vectors, careless: None
) -> None:
    index = make(vectors)
    bases = [len(vectors) - row % 300 for row in range(200)]
    index = make(vectors, reach=512)
    alone = [index.view().nearest(query.reshape(1, -1), [base])[0] for query, base in zip(queries, bases, strict=False)]
    assert index.view().nearest(queries[:200], bases) == alone


def test_a_slow_training_changes_nothing(
    make: Make, vectors: Vectors, queries: Vectors, monkeypatch: pytest.MonkeyPatch, careless: None
) -> None:
    at_ease = answers(make(vectors[:5_000]), queries[::199])
    build = Lists.build
    monkeypatch.setattr(Lists, "build", lambda self, read: (time.sleep(0.3), build(self, read)))
    assert answers(make(vectors[:5_000]), queries[::199]) == at_ease


@pytest.mark.slow
def test_a_training_does_not_block_additions(make: Make, vectors: Vectors, monkeypatch: pytest.MonkeyPatch) -> None:
    index = make(vectors[: TRAINED - 1])
    monkeypatch.setattr(Lists, "build", lambda self, read: time.sleep(1))
    began = time.monotonic()
    index.add(vectors[TRAINED])
    index.nearest(vectors[0])
    assert time.monotonic() - began < 0.5


def test_a_training_that_fails_is_reported(make: Make, vectors: Vectors, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise MemoryError("no room for lists")

    monkeypatch.setattr(Lists, "build", fail)
    index = make(vectors[: TAKEN_UP - 1])
    with pytest.raises(MemoryError, match="no room for lists"):
        index.add(vectors[TAKEN_UP])


@pytest.mark.parametrize("base", [700, TAKEN_UP + 100])
def test_neighbours_before_the_base_do_not_depend_on_the_view_and_later_ones_grow_with_it(
    make: Make, vectors: Vectors, queries: Vectors, base: int
) -> None:
    bounds, asked = Bounds(least=0.4, older=3, newer=1_000), queries[:40]
    index = make(reach=BLOCK)
    index.extend(vectors[: base + 50], base + 400)
    first = index.view().neighbours(asked, [base] * len(asked), bounds)
    index.extend(vectors[base + 50 : base + 200])
    later = index.view().neighbours(asked, [base] * len(asked), bounds)
    assert any(found.older for found in first)
    assert [found.older for found in later] == [found.older for found in first]
    grown = [
        found.newer + index.since(query, base + 50, bounds.least, bounds.newer)[1]
        for found, query in zip(first, asked, strict=True)
    ]
    assert [found.newer for found in later] == grown
    assert grown != [found.newer for found in first]


def test_neighbours_are_the_nearest_before_the_base_and_the_first_after_it(make: Make, vectors: Vectors) -> None:
    base, query, bounds = 2 * BLOCK, vectors[5], Bounds(least=0.3, older=2, newer=3)
    cosines = vectors[: 4 * BLOCK] @ query
    (found,) = make(vectors[: 4 * BLOCK]).view().neighbours(query.reshape(1, -1), [base + 7], bounds)
    assert [place for place, _ in found.older] == np.argsort(-cosines[:base])[:2].tolist()
    assert [place for place, _ in found.newer] == (base + np.flatnonzero(cosines[base:] >= 0.3)[:3]).tolist()
    assert found.nearest == (5, pytest.approx(1))
