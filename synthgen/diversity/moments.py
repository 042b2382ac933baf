"""Measure the diversity of a set of unit vectors from its mean and its eigenvalues."""

import numpy as np
import numpy.typing as npt

from synthgen.diversity.metrics import Vectors
from synthgen.numerics.blas import one_core

_Matrix = npt.NDArray[np.float64]

_CHUNK = 4_096


class Moments:
    """Keep running sums over unit vectors of shape (dim,), from which Vendi score and mean cosine follow.

    The memory is one (dim, dim) matrix, however many vectors are added.
    """

    def __init__(self, dim: int) -> None:
        self.count = 0
        self._first = np.zeros(dim)
        self._second = np.zeros((dim, dim))

    def add(self, vectors: Vectors) -> None:
        """Add `vectors`, shape (n, dim)."""
        for start in range(0, len(vectors), _CHUNK):
            rows = vectors[start : start + _CHUNK].astype(np.float64)
            self.count += len(rows)
            self._first += rows.sum(axis=0)
            self._second += rows.T @ rows

    def vendi(self) -> float | None:
        """Return the effective number of different vectors: 1 if all are equal, `count` if all are orthogonal.

        Return None without vectors. Friedman & Dieng 2023, "The Vendi Score": exp of the entropy of the eigenvalues of
        K / n, where K is the (n, n) matrix of cosines. X Xᵀ / n and Xᵀ X / n have the same eigenvalues except zeros,
        and the size of the second matrix is (dim, dim), however large the set is.
        """
        return _effective_number(self._second / self.count) if self.count else None

    def mean_similarity(self) -> float | None:
        """Return the mean cosine over all pairs of two different vectors; None with fewer than two."""
        if self.count < 2:
            return None
        return float((self._first @ self._first - self.count) / (self.count * (self.count - 1)))


def vendi_score(vectors: Vectors) -> float | None:
    """Return the Vendi score of unit vectors, shape (n, dim), from the smaller of X Xᵀ and Xᵀ X."""
    if not len(vectors):
        return None
    rows = vectors.astype(np.float64)
    small = rows @ rows.T if len(rows) < rows.shape[1] else rows.T @ rows
    return _effective_number(small / len(rows))


def mean_similarity(vectors: Vectors) -> float | None:
    """Return the mean cosine over all pairs of different rows of `vectors`, shape (n, dim); None with fewer than two."""
    total, n = vectors.sum(axis=0, dtype=np.float64), len(vectors)
    return float((total @ total - n) / (n * (n - 1))) if n > 1 else None


def centroid_distance(vectors: Vectors, others: Vectors) -> float | None:
    """Return one minus the cosine of the means of two sets, 0 to 2; None when a set is empty or its mean is zero."""
    if not len(vectors) or not len(others):
        return None
    one, other = vectors.mean(axis=0, dtype=np.float64), others.mean(axis=0, dtype=np.float64)
    lengths = float(np.linalg.norm(one) * np.linalg.norm(other))
    return 1 - float(one @ other) / lengths if lengths > 0 else None


def _effective_number(matrix: _Matrix) -> float:
    """Return exp of the entropy of the eigenvalues of a matrix with trace 1."""
    with one_core():
        values = np.linalg.eigvalsh(matrix)
    values = values[values > 1e-12]  # drops zeros, which rounding may have made negative
    return float(np.exp(-(values * np.log(values)).sum()))
