"""Ways to choose rows by their unit vectors, each with a sense of quality. The same input gives the same choice.

All begin beside what is `taken` already, the seeds: a row that says what a seed says adds little. Vectors have
shape (rows, dim), qualities (rows,) and run from 0 to 1; what comes back are row numbers, best first. Ties go to the
row that came first, but for facility location. k-center is greedy lazily, as in Minoux (1978): a row's marginal worth only
falls while others are taken, so what was computed last bounds it from above, and only the row on top is computed anew.
"""

from itertools import zip_longest

import numpy as np
import numpy.typing as npt

from synthgen.diversity.embedder import Vectors

Floats = npt.NDArray[np.float32]

TOGETHER = 4_000
"""Facility location: up to so many rows are chosen from at once; more are dealt into parts."""
_BLOCK = 1_024


def nearest(vectors: Vectors, others: Vectors) -> Floats:
    """Shape (rows,): the cosine of each vector to the nearest of the others; -1 where there are none."""
    import faiss

    if not len(others) or not len(vectors):
        return np.full(len(vectors), -1.0, dtype=np.float32)
    cosines, _ = faiss.knn(vectors, others, 1, metric=faiss.METRIC_INNER_PRODUCT)
    return np.asarray(cosines[:, 0], dtype=np.float32)


def deita(vectors: Vectors, quality: Floats, taken: Vectors, size: int, similarity: float) -> list[int]:
    """Take the best rows first, but none whose cosine to a taken row exceeds `similarity`: maybe fewer than `size`.

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
    """Take, each time, the row with the largest quality times distance (1 - cosine) to the nearest taken row.

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
    """Take, each time, the row that most improves how well the taken rows represent all rows.

    A row is served by a taken one as well as both their qualities times their cosine. The sum of the best service of
    every row is monotone submodular, so greedy reaches 1 - 1/e of the optimum at least (Nemhauser et al. 1978). The greedy
    is scikit-activeml's `MaxHerding` (Bae et al. 2024, arXiv 2407.12212) with a linear kernel. It holds a whole matrix, so more
    than `TOGETHER` rows are dealt into parts that choose their shares apart, after Mirzasoleiman et al. 2013, "Distributed
    Submodular Maximization". Ties go by a random number of a fixed seed.
    """
    from skactiveml.pool import MaxHerding

    rows, size = vectors * quality[:, None], min(size, len(vectors))
    nobody = np.zeros((1, vectors.shape[1]), dtype=np.float32)  # serves none: that is what the gain of a row is over
    parts = -(-len(rows) // TOGETHER)
    held = np.concatenate([nobody, taken])
    chosen: list[list[int]] = []
    for part in range(parts):
        if share := len(range(part, size, parts)):
            known = np.concatenate([held, rows[part::parts]])
            labels = np.full(len(known), np.nan)
            labels[: len(held)] = 0
            herding = MaxHerding(normalize_samples=False, metric="linear", random_state=0)
            found = herding.query(known, labels, batch_size=share) - len(held)
            chosen.append((found * parts + part).tolist())
    return [row for turn in zip_longest(*chosen) for row in turn if row is not None]
