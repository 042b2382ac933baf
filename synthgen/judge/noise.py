"""Accepted labels that are likely wrong, found again once everything is known: confident learning.

Northcutt, Jiang and Chuang, "Confident Learning", JAIR 70 (2021). A row is doubted where a model that was fitted without it
is confident of another label than the one it has: cleanlab does the counting. The model is the embedding head.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from synthgen.judge.trust import Fit, Gold, Row, TrustConfig
from synthgen.regression import Floats

_FOLDS = 5
_LEAST_ROWS = 20
"""With fewer rows there is no telling how confident the model is of a label that is right."""


def doubtful(gold: Gold, cfg: TrustConfig, rows: Sequence[Row], labels: Sequence[str]) -> npt.NDArray[np.bool_]:
    """Of accepted `rows` with `labels`, which ones are likely mislabelled, shape (rows,).

    The seeds are asked about with them, so that every label has rows that are right, and are never doubted.
    """
    if len(rows) < _LEAST_ROWS:
        return np.zeros(len(rows), dtype=np.bool_)
    from cleanlab.filter import find_label_issues

    index = {label: number for number, label in enumerate(gold.labels)}
    given = np.array([index[label] for label in (*gold.seed_labels, *labels)])
    found = find_label_issues(given, out_of_fold(gold, cfg, rows), filter_by="confident_learning", n_jobs=1)
    return np.asarray(found[len(gold.seed_labels) :], dtype=np.bool_)


def out_of_fold(gold: Gold, cfg: TrustConfig, rows: Sequence[Row]) -> Floats:
    """Label probabilities (seeds and rows, labels), each by a head that was fitted without the seed or row."""
    seeds = len(gold.seed_labels)
    vectors = np.vstack([gold.seeds, *(np.asarray(row.vector, dtype=np.float64)[None] for row in rows)])
    fold = np.arange(len(vectors)) % _FOLDS
    found = np.empty((len(vectors), len(gold.labels)))
    for part in range(_FOLDS):
        out = fold == part
        names = tuple(name for name, is_out in zip(gold.seed_labels, out[:seeds], strict=True) if not is_out)
        others = replace(gold, seeds=gold.seeds[~out[:seeds]], seed_labels=names)
        kept = [row for row, is_out in zip(rows, out[seeds:], strict=True) if not is_out]
        found[out] = Fit(others, cfg, kept).base(vectors[out])
    return found
