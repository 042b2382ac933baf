"""An index on disk finds what an exact one finds at the threshold, and leaves nothing that a resume could trip over."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from synthgen.diversity.codes import CodedLists
from synthgen.diversity.embedder import Vectors
from synthgen.diversity.index import OnDisk, VectorIndex
from synthgen.diversity.lists import Lists
from synthgen.diversity.vector_file import VectorFile
from synthgen.diversity.view import Bounds, Neighbours

DIM, COUNT = 36, 5_000  # not a multiple of eight, and past the first lists, which come into use at 4,608
THRESHOLD, ROUNDING = 0.9, 5e-4
Make = Callable[..., VectorIndex]


def unit(vectors: Vectors) -> Vectors:
    return np.asarray(vectors / np.linalg.norm(vectors, axis=-1, keepdims=True), dtype=np.float32)


@pytest.fixture(scope="module")
def vectors() -> Vectors:
    rng = np.random.default_rng(2)
    kinds = unit(rng.normal(size=(100, DIM)))[rng.integers(100, size=COUNT)]
    return unit(kinds + 0.8 * unit(rng.normal(size=kinds.shape)))


@pytest.fixture(scope="module")
def queries(vectors: Vectors) -> Vectors:
    """Near-duplicates of every tenth vector, at a cosine of about 0.92."""
    planted = vectors[::10]
    return unit(planted + 0.42 * unit(np.random.default_rng(3).normal(size=planted.shape)))


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    """Makes an index that is closed in the end, on disk from a number of vectors on."""
    made: list[VectorIndex] = []

    def index(trained_on: int = 0, reach: int = 0) -> VectorIndex:
        made.append(VectorIndex(DIM, reach, on_disk=OnDisk(tmp_path, trained_on)))
        return made[-1]

    yield index
    for each in made:
        each.close()


def found(index: VectorIndex, queries: Vectors) -> list[Neighbours]:
    return index.view().neighbours(queries, [len(index)] * len(queries), Bounds(THRESHOLD, 4, 64))


def test_near_duplicates_are_those_of_an_exact_index(make: Make, vectors: Vectors, queries: Vectors) -> None:
    exact, index = VectorIndex(DIM, exact=True), make()
    exact.extend(vectors)
    index.extend(vectors)
    pairs = [pair for pair in zip(found(index, queries), found(exact, queries), strict=True) if pair[1].older]
    assert len(pairs) > 300
    assert np.mean([ours.nearest[0] == theirs.nearest[0] for ours, theirs in pairs]) >= 0.99
    for ours, theirs in pairs:
        if ours.nearest[0] == theirs.nearest[0]:
            assert ours.nearest[1] == pytest.approx(theirs.nearest[1], abs=ROUNDING)


@pytest.mark.parametrize("reach", [0, 256])
def test_a_resume_rebuilds_the_index(make: Make, vectors: Vectors, queries: Vectors, reach: int) -> None:
    one_by_one, resumed = make(reach=reach), make(reach=reach)
    for vector in vectors:
        one_by_one.add(vector)
    resumed.extend(vectors[:3_000], COUNT)
    with pytest.raises(ValueError, match="3000 of the 5000 vectors"):
        resumed.view()
    resumed.extend(vectors[3_000:], COUNT)
    assert found(resumed, queries) == found(one_by_one, queries)
    with_reach = [max(0, COUNT - reach + row % (reach + 1)) for row in range(len(queries))]
    bounds = Bounds(THRESHOLD, 4, 64)
    assert resumed.view().neighbours(queries, with_reach, bounds) == one_by_one.view().neighbours(
        queries, with_reach, bounds
    )


def test_lists_move_to_disk_at_a_number_of_vectors(make: Make, vectors: Vectors, queries: Vectors) -> None:
    doubled = np.concatenate([vectors, vectors[:, ::-1]])  # 10,000: the second lists come into use at 9,216
    grown, rebuilt = make(8_192), make(8_192)
    for at in range(0, len(doubled), 1_000):
        grown.extend(doubled[at : at + 1_000])
        kinds = [type(lists) for lists in grown.view().lists]
        assert kinds == ([CodedLists] if at >= 9_000 else [Lists] if at >= 4_000 else [])
    rebuilt.extend(doubled)
    assert found(rebuilt, queries) == found(grown, queries)
    assert np.mean([each.nearest[1] >= THRESHOLD - ROUNDING for each in found(grown, queries)]) > 0.6


def test_the_file_has_no_name_that_could_be_deleted_or_left_behind(
    make: Make, vectors: Vectors, tmp_path: Path
) -> None:
    index = make()
    index.extend(vectors)
    assert index.file is not None
    assert index.file.bytes_on_disk() >= (COUNT - 256) * DIM * 2
    assert not list(tmp_path.iterdir())


def test_a_torn_file_is_an_error_and_no_wrong_answer(tmp_path: Path) -> None:
    file, rows = VectorFile(tmp_path, DIM), np.arange(3 * DIM, dtype=np.float32).reshape(3, DIM)
    file.put(5, rows)
    assert np.array_equal(file.read(5, 8), rows)
    assert np.array_equal(file.pick([7, 5]), rows[[2, 0]])
    os.truncate(file._descriptor, 7 * DIM * 2 + 10)
    with pytest.raises(OSError, match=r"vectors 7 to 8 are not on disk; resume the run"):
        file.pick([7])
    file.close()
