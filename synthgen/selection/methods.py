"""Ways to choose rows by their unit vectors, each with a sense of quality. The same input gives the same choice.

All begin beside what is `taken` already, the seeds: a row that says what a seed says adds little. Vectors have
shape (rows, dim), qualities (rows,) and run from 0 to 1; what comes back are row numbers, best first. Ties go to the
row that came first. FAISS finds the neighbours; what is greedy is greedy lazily, as in Minoux (1978): a row's
marginal worth only falls while others are taken, so what was computed last bounds it from above, and only the row on
top is computed anew.
"""

import heapq
from typing import Any

import numpy as np
import numpy.typing as npt

from synthgen.diversity.embedder import Vectors

Floats = npt.NDArray[np.float32]

SERVERS = 128
"""Facility location: by how many nearest rows a row may be served; those farther away count as no help to it."""
EXACT = 20_000
"""Up to so many rows neighbours are searched among all, beyond in the inverted lists next to a row."""
_BLOCK = 1_024
_PROBES = 16
_POINTS_PER_LIST = 32
_ITERATIONS = 6


def nearest(vectors: Vectors, others: Vectors) -> Floats:
    """Shape (rows,): the cosine of each vector to the nearest of the others; -1 where there are none."""
    import faiss

    if not len(others) or not len(vectors):
        return np.full(len(vectors), -1.0, dtype=np.float32)
    cosines, _ = faiss.knn(vectors, others, 1, metric=faiss.METRIC_INNER_PRODUCT)
    return np.asarray(cosines[:, 0], dtype=np.float32)


def deita(vectors: Vectors, quality: Floats, taken: Vectors, size: int, similarity: float) -> list[int]:
    """The best first, but none whose cosine to one taken before is above `similarity`: perhaps fewer than `size`.

    Liu et al. 2023, "What Makes Good Data for Alignment?" (arXiv 2312.15685): score first, then diversity.
    """
    order = np.argsort(-quality, kind="stable")
    chosen: list[int] = []
    for start in range(0, len(order), _BLOCK):
        block = order[start : start + _BLOCK]
        rows = vectors[block]
        near = np.maximum(nearest(rows, taken), nearest(rows, vectors[chosen]))
        within = rows @ rows.T
        for place, row in enumerate(block):
            if len(chosen) == size:
                return chosen
            if near[place] <= similarity:
                chosen.append(int(row))
                near = np.maximum(near, within[place])
    return chosen


def k_center(vectors: Vectors, quality: Floats, taken: Vectors, size: int) -> list[int]:
    """Each time the row with the most quality times distance (1 - cosine) to the nearest that is taken.

    With equal qualities the greedy of Sener and Savarese 2018 (arXiv 1708.00489): no row is left far from a taken one.
    """
    size = min(size, len(vectors))
    worth = quality * (1 - nearest(vectors, taken))
    centres = np.empty((size, vectors.shape[1]), dtype=np.float32)
    known = np.zeros(len(vectors), dtype=np.intp)  # how many of the centres a row's worth allows for
    chosen: list[int] = []
    while len(chosen) < size:
        best = int(worth.argmax())
        newer = centres[known[best] : len(chosen)]
        if len(newer):
            worth[best] = min(worth[best], quality[best] * (1 - (newer @ vectors[best]).max()))
            known[best] = len(chosen)
        else:
            centres[len(chosen)] = vectors[best]
            chosen.append(best)
            worth[best] = -np.inf
    return chosen


def facility_location(vectors: Vectors, quality: Floats, taken: Vectors, size: int) -> list[int]:
    """Each time the row that most improves how well all rows are served by what is taken.

    A row is served by a taken one as well as that one's quality times their cosine. The sum of the best service of every
    row is monotone submodular, so greedy reaches 1 - 1/e of the optimum at least (Nemhauser et al. 1978).
    """
    size = min(size, len(vectors))
    if not size:
        return []
    served = np.maximum(nearest(vectors, taken), 0)
    service = _service(vectors, quality)
    ends, clients, values = service.indptr, service.indices, service.data
    gains = np.maximum(values - served[clients], 0)
    heap = [(-float(gain), row) for row, gain in enumerate(type(service)((gains, clients, ends)).sum(axis=0))]
    heapq.heapify(heap)
    chosen: list[int] = []
    while len(chosen) < size:
        _, row = heapq.heappop(heap)
        own = slice(ends[row], ends[row + 1])
        better = np.maximum(values[own], served[clients[own]])
        gain = float((better - served[clients[own]]).sum(dtype=np.float64))
        if heap and (-gain, row) > heap[0]:
            heapq.heappush(heap, (-gain, row))
        else:
            chosen.append(row)
            served[clients[own]] = better
    return chosen


def _service(vectors: Vectors, quality: Floats) -> Any:
    """A sparse array by columns: in column j, how well row j would serve each row that has it among its nearest."""
    from scipy import sparse

    count, servers = len(vectors), min(SERVERS, len(vectors))
    cosines = np.empty((count, servers), dtype=np.float32)
    places = np.empty((count, servers), dtype=np.int32)
    index = _index(vectors)
    for start in range(0, count, _BLOCK):
        rows = slice(start, start + _BLOCK)
        cosines[rows], places[rows] = index.search(vectors[rows], servers)
    found = places >= 0  # lists may hold fewer
    values = np.where(found, np.maximum(cosines, 0) * quality[places], 0)
    ends = np.arange(0, count * servers + 1, servers)
    columns = np.where(found, places, 0)
    return sparse.csr_array((values.ravel(), columns.ravel(), ends), shape=(count, count)).tocsc()


def _index(vectors: Vectors) -> Any:
    """A FAISS index of the vectors; the same for the same ones."""
    import faiss

    count, dim = vectors.shape
    index: Any = faiss.IndexFlatIP(dim)
    if count > EXACT:
        index = faiss.IndexIVFFlat(index, dim, round(2 * count**0.5), faiss.METRIC_INNER_PRODUCT)
        index.cp.spherical, index.cp.niter = True, _ITERATIONS
        index.cp.min_points_per_centroid, index.cp.max_points_per_centroid = 1, _POINTS_PER_LIST
        index.nprobe = _PROBES
        index.train(vectors)
    index.add(vectors)
    return index
