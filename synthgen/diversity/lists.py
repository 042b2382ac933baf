"""Store vectors in inverted lists: half precision, grouped by k-means. A search reads only a few groups."""

import math
import threading
from collections.abc import Callable
from typing import Any

import numpy as np

from synthgen.diversity.embedder import Vectors

ROUNDING = 5e-4
"""Half precision changes a cosine by less than this."""
_LISTS_PER_ROOT = 2
_LEAST_PROBES = 4
_SHORT_PROBED = 1_500  # a small index has short lists and the lowest recall, so search more lists
_POINTS_PER_LIST = 24
_ITERATIONS = 6
SEED = 20_261
CHUNK = 4_096
AT_ONCE = 16  # queries; from 20 on, FAISS computes the distances to the centroids together and rounds differently


class Lists:
    """Hold a FAISS inverted file, sized for twice `count` vectors. Ids are positions in the sequence.

    The same vectors in the same order give the same lists. Threads may read, search and append at the same time, but
    not during `build`.
    """

    def __init__(self, dim: int, count: int, since: int) -> None:
        import faiss

        self.since = since
        """The size of the index from which these lists are in use."""
        self._count = count
        lists = round(_LISTS_PER_ROOT * math.sqrt(count))
        self._index: Any = faiss.IndexIVFScalarQuantizer(
            faiss.IndexFlatIP(dim), dim, lists, faiss.ScalarQuantizer.QT_fp16, faiss.METRIC_INNER_PRODUCT, False
        )
        self._index.nprobe = max(_LEAST_PROBES, _SHORT_PROBED // lists)
        clustering = self._index.cp
        clustering.seed, clustering.niter, clustering.spherical = SEED, _ITERATIONS, True
        clustering.min_points_per_centroid, clustering.max_points_per_centroid = 1, _POINTS_PER_LIST
        self._index.make_direct_map()  # for reading back by position
        self._lock = threading.Lock()
        self._cancelled = False

    def build(self, read: Callable[[int, int], Vectors]) -> None:
        """Train on a sample of the first `count` vectors, then add all of them. `read` returns a range of vectors."""
        size = min(self._count, _POINTS_PER_LIST * self._index.nlist)
        self._index.train(drawn_rows(read, self._count, size))
        for at in range(0, self._count, CHUNK):
            if self._cancelled:
                return
            self.append(read(at, min(at + CHUNK, self._count)))

    def cancel(self) -> None:
        """Make `build` end early. The lists cannot be used afterwards."""
        self._cancelled = True

    def append(self, vectors: Vectors) -> None:
        with self._lock:
            self._index.add(rounded(vectors))

    def read(self, start: int, stop: int) -> Vectors:
        """Return the vectors at these positions, in half precision, shape (stop - start, dim)."""
        with self._lock:
            return np.asarray(self._index.reconstruct_batch(np.arange(start, stop)), dtype=np.float32)

    def search(self, queries: Vectors, count: int, most: int = 1) -> list[list[tuple[int, float]]]:
        """Return position and cosine of the nearest vectors among the first `count`, for queries of shape (n, dim).

        Each query gets at most `most` results, nearest first. It gets fewer when the searched lists contain fewer. The
        results of one query do not depend on the other queries.
        """
        import faiss

        older = faiss.IDSelectorRange(0, count)
        parameters: Any = faiss.SearchParametersIVF
        found: list[list[tuple[int, float]]] = []
        for start in range(0, len(queries), AT_ONCE):
            with self._lock:
                how = parameters(sel=older, nprobe=self._index.nprobe)
                scores, places = self._index.search(queries[start : start + AT_ONCE], most, params=how)
            found += [
                [(place, round(score, 6)) for score, place in zip(*row, strict=True) if place >= 0]
                for row in zip(scores.tolist(), places.tolist(), strict=True)
            ]
        return found


def drawn_rows(read: Callable[[int, int], Vectors], count: int, size: int) -> Vectors:
    """Return `size` of the first `count` vectors in half precision, drawn at random by a fixed seed.

    `read` returns a range of vectors.
    """
    drawn = np.sort(np.random.default_rng(SEED).choice(count, size, replace=False))
    sample = []
    for at in range(0, count, CHUNK):
        to = min(at + CHUNK, count)
        first, last = np.searchsorted(drawn, (at, to))
        sample.append(read(at, to)[drawn[first:last] - at])
    return rounded(np.concatenate(sample))


def rounded(vectors: Vectors) -> Vectors:
    """Round to half precision as the lists do, so that every list returns the same values for a vector."""
    return np.asarray(vectors, dtype=np.float16).astype(np.float32)
