"""Choose rows by their unit vectors and qualities. The same input gives the same choice.

All methods start from the rows that are already `taken`, the seeds, because a row that repeats a seed adds little.
Vectors have shape (rows, dim). Qualities have shape (rows,) and values from 0 to 1. The methods return row numbers,
best first. Of equal rows the first one is chosen, except in facility location. k-center uses the lazy greedy algorithm
of Minoux (1978): a row's marginal gain only falls while other rows are taken, so the last computed gain is an upper
bound, and only the row with the highest bound is computed again.
"""

from itertools import zip_longest

import numpy as np
import numpy.typing as npt

from synthgen.diversity.embedder import Vectors

Floats = npt.NDArray[np.float32]

TOGETHER = 4_000
"""Most rows from which facility location chooses at once; more rows are split into parts."""
_BLOCK = 1_024


def nearest(vectors: Vectors, others: Vectors) -> Floats:
    """Return, of shape (rows,), the cosine of each vector to the nearest of `others`; -1 if there are none."""
    import faiss

    if not len(others) or not len(vectors):
        return np.full(len(vectors), -1.0, dtype=np.float32)
    cosines, _ = faiss.knn(vectors, others, 1, metric=faiss.METRIC_INNER_PRODUCT)
    return np.asarray(cosines[:, 0], dtype=np.float32)


def deita(vectors: Vectors, quality: Floats, taken: Vectors, size: int, similarity: float) -> list[int]:
    """Take the rows of highest quality first, but none whose cosine to a taken row is above `similarity`.

    This may give fewer than `size` rows.
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
    """Repeatedly take the row with the largest quality times distance (1 - cosine) to the nearest taken row.

    With equal qualities this is the greedy algorithm of Sener and Savarese 2018 (arXiv 1708.00489). It leaves no row
    far from a taken one.
    """
    size = min(size, len(vectors))
    gains = quality * (1 - nearest(vectors, taken))
    centres = np.empty((size, vectors.shape[1]), dtype=np.float32)
    known = np.zeros(len(vectors), dtype=np.intp)  # number of centres that a row's distance already includes
    chosen: list[int] = []
    while len(chosen) < size:
        best = int(gains.argmax())
        newer = centres[known[best] : len(chosen)]
        if len(newer):
            gains[best] = min(gains[best], quality[best] * (1 - (newer @ vectors[best]).max()))
            known[best] = len(chosen)
        else:
            centres[len(chosen)] = vectors[best]
            chosen.append(best)
            gains[best] = -np.inf
    return chosen


def facility_location(vectors: Vectors, quality: Floats, taken: Vectors, size: int) -> list[int]:
    """Repeatedly take the row that most improves how well the taken rows represent all rows.

    A taken row represents another row by the product of both qualities and their cosine. The sum over all rows of the
    best such value is monotone submodular, so the greedy algorithm reaches at least 1 - 1/e of the optimum (Nemhauser
    et al. 1978). The implementation is scikit-activeml's `MaxHerding` (Bae et al. 2024, arXiv 2407.12212) with a
    linear kernel. It holds a whole matrix in memory, so more than `TOGETHER` rows are split into parts that choose
    their shares separately, after Mirzasoleiman et al. 2013, "Distributed Submodular Maximization". Ties are broken by
    a random number with a fixed seed.
    """
    from skactiveml.pool import MaxHerding

    rows, size = vectors * quality[:, None], min(size, len(vectors))
    zero = np.zeros((1, vectors.shape[1]), dtype=np.float32)  # represents no row; gains are measured against it
    parts = -(-len(rows) // TOGETHER)
    represented = np.concatenate([zero, taken])
    chosen: list[list[int]] = []
    for part in range(parts):
        if share := len(range(part, size, parts)):
            known = np.concatenate([represented, rows[part::parts]])
            labels = np.full(len(known), np.nan)
            labels[: len(represented)] = 0
            herding = MaxHerding(normalize_samples=False, metric="linear", random_state=0)
            found = herding.query(known, labels, batch_size=share) - len(represented)
            chosen.append((found * parts + part).tolist())
    return [row for turn in zip_longest(*chosen) for row in turn if row is not None]
