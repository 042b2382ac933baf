"""Store vectors in inverted lists as short codes in memory, and compare the best candidates with vectors on disk.

A code is a byte for eight dimensions (product quantization, Jégou et al. 2011): 48 bytes where half precision takes 768.
Codes only choose which vectors are read from disk. Cosines are computed from those vectors.
"""

import math
import threading
from collections.abc import Callable
from typing import Any

import numpy as np

from synthgen.diversity.embedder import Vectors
from synthgen.diversity.lists import AT_ONCE, CHUNK, SEED, drawn_rows, rounded
from synthgen.diversity.vector_file import VectorFile

_DIMENSIONS_PER_BYTE = 8
_LISTS_PER_ROOT = 1  # codes are read ten times faster than vectors, so lists may be twice as long as those in memory
_PROBES = 6
_SHORT_PROBED = 1_500  # a small index has short lists and the lowest recall, so search more lists
_POINTS_PER_LIST = 24
_LEAST_POINTS = 16_384  # for the 256 code words of each byte
_ITERATIONS = 6
_CODE_ITERATIONS = 10
_READ = 32  # vectors that are read from disk for a query


class CodedLists:
    """Hold a FAISS inverted file of codes, sized for twice `count` vectors, over the vectors in `file`.

    It has the interface of `synthgen.diversity.lists.Lists`: ids are positions in the sequence, and the same vectors in
    the same order give the same lists. The caller writes vectors to `file` before it appends them here.
    """

    def __init__(self, dim: int, count: int, since: int, file: VectorFile) -> None:
        import faiss

        self.since = since
        """The size of the index from which these lists are in use."""
        self._count = count
        self._file = file
        self._padding = -dim % _DIMENSIONS_PER_BYTE
        self._dim = dim + self._padding
        lists = round(_LISTS_PER_ROOT * math.sqrt(count))
        self._index: Any = faiss.IndexIVFPQ(
            faiss.IndexFlatIP(self._dim), self._dim, lists, self._dim // _DIMENSIONS_PER_BYTE, 8,
            faiss.METRIC_INNER_PRODUCT,
        )  # fmt: skip
        self._index.nprobe = max(_PROBES, _SHORT_PROBED // lists)
        clustering = self._index.cp
        clustering.seed, clustering.niter, clustering.spherical = SEED, _ITERATIONS, True
        clustering.min_points_per_centroid, clustering.max_points_per_centroid = 1, _LEAST_POINTS
        words = self._index.pq.cp
        words.seed, words.niter, words.min_points_per_centroid = SEED, _CODE_ITERATIONS, 1
        self._lock = threading.Lock()
        self._cancelled = False

    def build(self, read: Callable[[int, int], Vectors] | None) -> None:
        """Train on a sample of the first `count` vectors, then add all of them.

        `read` returns a range of vectors that are not in the file yet. They are written to it. None reads the file.
        """
        size = min(self._count, max(_LEAST_POINTS, _POINTS_PER_LIST * self._index.nlist))
        self._index.train(self._padded(drawn_rows(read or self.read, self._count, size)))
        for at in range(0, self._count, CHUNK):
            if self._cancelled:
                return
            to = min(at + CHUNK, self._count)
            if read is not None:
                self._file.put(at, read(at, to))
            self.append(self.read(at, to))

    def cancel(self) -> None:
        """Make `build` end early. The lists cannot be used afterwards."""
        self._cancelled = True

    def append(self, vectors: Vectors) -> None:
        with self._lock:
            self._index.add(self._padded(rounded(vectors)))

    def read(self, start: int, stop: int) -> Vectors:
        """Return the vectors at these positions, in half precision, shape (stop - start, dim)."""
        return self._file.read(start, stop)

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
            own = queries[start : start + AT_ONCE]
            with self._lock:
                how = parameters(sel=older, nprobe=self._index.nprobe)
                _, places = self._index.search(self._padded(own), max(_READ, 8 * most), params=how)
            found += [self._nearest(query, row, most) for query, row in zip(own, places, strict=True)]
        return found

    def _nearest(self, query: Vectors, places: Any, most: int) -> list[tuple[int, float]]:
        wanted = np.sort(places[places >= 0]).tolist()
        vectors = self._file.pick(wanted)
        hits = [(place, round(float(np.dot(vector, query)), 6)) for place, vector in zip(wanted, vectors, strict=True)]
        return sorted(hits, key=lambda hit: (-hit[1], hit[0]))[:most]

    def _padded(self, vectors: Vectors) -> Vectors:
        return np.pad(vectors, ((0, 0), (0, self._padding))) if self._padding else vectors
