"""Compute nDCG, recall and reciprocal rank of rankings, as sentence-transformers' InformationRetrievalEvaluator does."""

from collections.abc import Sequence, Set

import numpy as np

from synthgen.student.scores import Figures, Floats, Ints

CUT = 10
"""Number of passages of a ranking that count."""
METRICS = (f"ndcg@{CUT}", f"recall@{CUT}", "mrr")


def ranking_scores(rankings: Ints, right: Sequence[Set[int]]) -> Floats:
    """Return scores of shape (queries, 3): nDCG, recall and reciprocal rank of the first `CUT` passages.

    `rankings` has the indices of the nearest passages of each query, and `right` those of its right passages, at least
    one.
    """
    out = np.zeros((len(rankings), len(METRICS)))
    for row, (ranking, answers) in enumerate(zip(rankings[:, :CUT].tolist(), right, strict=True)):
        places = [place for place, index in enumerate(ranking) if index in answers]
        ideal = range(min(len(answers), CUT))
        out[row] = _gain(places) / _gain(ideal), len(places) / len(answers), 1 / (places[0] + 1) if places else 0.0
    return out


def ranking_figures(scores: Floats) -> Figures:
    """Return the means of scores of shape (repeats, queries, 3)."""

    def figures(rows: Ints) -> dict[str, float]:
        means = scores[:, rows].mean((0, 1))
        return {name: float(mean) for name, mean in zip(METRICS, means, strict=True)}

    return figures


def _gain(places: Sequence[int]) -> float:
    return float(sum(1 / np.log2(place + 2) for place in places))
