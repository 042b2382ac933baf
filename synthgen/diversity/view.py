"""Search a snapshot of a vector index for the neighbours of a vector."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from synthgen.diversity.codes import CodedLists
from synthgen.diversity.embedder import Vectors
from synthgen.diversity.lists import Lists

BLOCK = 256
"""Number of vectors in a block. Vectors are appended to the lists in blocks, and base counts are multiples of it."""
_ROWS_AT_ONCE = 8_192
ROUNDING = 1e-5  # upper bound on the difference between two ways to compute a cosine

Positions = npt.NDArray[np.int64]
Hit = tuple[int, float]
"""Hold position and cosine of a nearest vector; (-1, 0.0) when there is none."""
NOTHING: Hit = (-1, 0.0)


class Neighbours(NamedTuple):
    """Hold the vectors of a view that are near to one query."""

    nearest: Hit
    """The nearest vector of all."""
    older: list[Hit]
    """The nearest vectors before the query's base, nearest first."""
    newer: list[Hit]
    """The first near vectors after the query's base, in order of position."""


class Bounds(NamedTuple):
    """Define neighbours: vectors with a cosine of at least `least`, at most `older` and `newer` of each kind."""

    least: float
    older: int
    newer: int


_NEAREST_ALONE = Bounds(2.0, 1, 0)


@dataclass(frozen=True)
class View:
    """Hold a snapshot of an index."""

    head: Vectors
    head_at: int
    lists: tuple[Lists | CodedLists, ...]

    @property
    def count(self) -> int:
        return self.head_at + len(self.head)

    def nearest(self, queries: Vectors, bases: Sequence[int]) -> list[Hit]:
        """Return the nearest vector to each query of shape (n, dim). `bases` holds one base per query."""
        return [found.nearest for found in self.neighbours(queries, bases, _NEAREST_ALONE)]

    def neighbours(self, queries: Vectors, bases: Sequence[int], bounds: Bounds) -> list[Neighbours]:
        """Return the neighbours of each query of shape (n, dim). `bases` holds one base per query.

        Bases are rounded down to a whole block. The neighbours before the base depend on the base alone. The neighbours
        after it grow with the view: a later view finds all that an earlier view found, up to `bounds.newer`.
        """
        queries = np.ascontiguousarray(queries, dtype=np.float32)
        sealed = np.asarray(bases) // BLOCK * BLOCK
        searched = np.where(sealed < min((each.since for each in self.lists), default=self.count + 1), 0, sealed)
        found: list[Neighbours] = [Neighbours(NOTHING, [], [])] * len(queries)
        with one_core():
            for base in np.unique(searched).tolist():  # 0 means no lists yet: one exact search for all these queries
                (rows,) = np.nonzero(searched == base)
                lists = next((each for each in reversed(self.lists) if each.since <= base), None)
                start = base if lists is not None else 0
                newest = self._exactly(queries[rows], start, sealed[rows], bounds)
                listed = lists.search(queries[rows], base, bounds.older) if lists is not None else [[]] * len(rows)
                for row, older, own in zip(rows, listed, newest, strict=True):
                    found[row] = _with_listed(own, older, bounds.least)
        return found

    def _exactly(self, queries: Vectors, start: int, bases: Positions, bounds: Bounds) -> list[Neighbours]:
        """Search exactly among the positions from `start` on.

        A matrix product takes a fifth of the time of `faiss.knn` for forty queries. Its rounding depends on its shape,
        and therefore on which queries are in the batch. So the cosines of all rows that are as good as the best are
        computed again one by one, and the first row with the largest cosine is returned.
        """
        nearest = [NOTHING] * len(queries)
        older: list[list[Hit]] = [[] for _ in queries]
        newer: list[list[Hit]] = [[] for _ in queries]
        for at in range(start, self.count, _ROWS_AT_ONCE):
            rows = self.head[at - self.head_at :][:_ROWS_AT_ONCE]
            scores = queries @ rows.T
            best = scores.max(axis=1, keepdims=True)
            for query, place in np.argwhere(scores >= best - ROUNDING).tolist():
                cosine = cosine_of(rows[place], queries[query])
                if nearest[query] is NOTHING or cosine > nearest[query][1]:
                    nearest[query] = (at + place, cosine)
            for query in np.flatnonzero(best[:, 0] >= bounds.least - ROUNDING).tolist():
                vector, own = queries[query], scores[query]
                split = min(max(int(bases[query]) - at, 0), len(rows))
                before = _all_near(rows[:split], vector, own[:split], at, bounds)
                older[query] = sorted([*older[query], *before], key=_by_cosine)[: bounds.older]
                most = bounds.newer - len(newer[query])
                newer[query] += first_near(rows[split:], vector, own[split:], at + split, bounds.least, most)
        return [Neighbours(*each) for each in zip(nearest, older, newer, strict=True)]


def _with_listed(found: Neighbours, listed: list[Hit], least: float) -> Neighbours:
    """Add the hits from the lists, which are older than all vectors that were searched exactly."""
    if not listed:
        return found
    nearest = found.nearest if found.nearest[0] >= 0 and found.nearest[1] > listed[0][1] else listed[0]
    return Neighbours(nearest, [hit for hit in listed if hit[1] >= least], found.newer)


def _all_near(rows: Vectors, vector: Vectors, scores: Vectors, at: int, bounds: Bounds) -> list[Hit]:
    """Return the rows that may be among the nearest. The first row has position `at`; `scores` are rounded cosines."""
    places = np.flatnonzero(scores >= bounds.least - ROUNDING)
    if len(places) > bounds.older:
        bound = np.partition(scores[places], -bounds.older)[-bounds.older]
        places = places[scores[places] >= bound - 2 * ROUNDING]
    hits = [(at + place, cosine_of(rows[place], vector)) for place in places.tolist()]
    return [hit for hit in hits if hit[1] >= bounds.least]


def first_near(rows: Vectors, vector: Vectors, scores: Vectors, at: int, least: float, most: int) -> list[Hit]:
    """Return the first `most` of `rows` with a cosine of at least `least`."""
    hits: list[Hit] = []
    for place in np.flatnonzero(scores >= least - ROUNDING).tolist():
        if len(hits) >= most:
            break
        cosine = cosine_of(rows[place], vector)
        if cosine >= least:
            hits.append((at + place, cosine))
    return hits


def _by_cosine(hit: Hit) -> tuple[float, int]:
    return -hit[1], hit[0]


def cosine_of(one: Vectors, other: Vectors) -> float:
    """Return the cosine of a pair. Always computed in this way, because searches round differently."""
    return round(float(np.dot(one, other)), 6)


@contextmanager
def one_core() -> Iterator[None]:
    """Run FAISS on one core in the calling thread, because searches are small and the engine needs the cores.

    Restore the number of threads afterwards, because torch reads the same setting.
    """
    import faiss

    before: Any = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(1)
    try:
        yield
    finally:
        faiss.omp_set_num_threads(before)
