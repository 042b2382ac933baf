"""Find hard negatives with FAISS: passages that are near a query and do not answer it.

No judge is asked. A passage that is about as near to the query as the query's own passage may answer it too (a false
negative), so a margin leaves such passages out, as in NV-Retriever (Moreira et al., 2024).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from synthgen.student.scores import Floats, Ints

_LOOKED = 100
"""Number of nearest passages among which the negatives of a query are searched."""


@dataclass(frozen=True)
class NegativeLimits:
    """Limit the passages that may be negatives, and the number of negatives of a query."""

    count: int
    share: float
    """A negative has at most this share of the cosine of the query to its own passage."""
    near: float
    """A passage with this cosine to the query's own passage, or more, says the same."""


def nearest(queries: Floats, passages: Floats, count: int) -> tuple[Floats, Ints]:
    """Return the cosines and indices of the `count` nearest passages of each query, both of shape (queries, count).

    Both inputs are unit vectors. `count` is at most the number of passages.
    """
    import faiss

    index: Any = faiss.IndexFlatIP(passages.shape[1])
    index.add(np.ascontiguousarray(passages, dtype=np.float32))
    return index.search(np.ascontiguousarray(queries, dtype=np.float32), min(count, len(passages)))  # type: ignore[no-any-return]


def mined(
    queries: Floats, passages: Floats, own: Ints, right: Sequence[frozenset[int]], limits: NegativeLimits, seed: int
) -> list[list[int]]:
    """Return for each query the indices of its negatives, the hardest first.

    `own` has the index of each query's passage, and `right` the indices of all passages that are right for it. A query
    with fewer hard negatives gets random passages instead, and fewer only where all others say the same as its own.
    """
    rng = np.random.default_rng(seed)
    scores, found = nearest(queries, passages, _LOOKED)
    out = []
    for row, mine in enumerate(own.tolist()):
        alike = passages @ passages[mine] >= limits.near
        positive = float(queries[row] @ passages[mine])
        most = min(limits.share * positive, positive)
        hard = [
            int(index)
            for score, index in zip(scores[row], found[row], strict=True)
            if score <= most and index not in right[row] and not alike[index]
        ][: limits.count]
        if len(hard) < limits.count:
            taken = right[row] | set(hard)
            hard += [int(index) for index in rng.permutation(len(passages)) if index not in taken and not alike[index]]
        out.append(hard[: limits.count])
    return out
