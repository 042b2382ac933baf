"""Chooses the samples whose labels would teach most.

Labels take turns, so that the answers are balanced over them. Of the samples that probably have a label, the next one is
the most doubtful: uncertainty, weighed by density (information density, Settles and Craven 2008) and by the distance to
what was chosen before. Near-duplicates of that are passed over.
"""

import random
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

_ALIKE = 0.9
"""Cosine from which two samples say the same."""
_OUTLIER = 0.3
"""Density of the sample that lies farthest out; the densest has this and 1. Outliers teach little, and wrongly."""
_MOST = 20_000
"""Samples that are looked at; of more, as many are drawn at random."""


class Chooser:
    """Choose the next sample to ask about; deterministic for its arguments.

    `vectors` are embeddings, one row a sample; `shares` the probabilities of labels, by label, for each sample (one
    label for all where the task has none); `doubts`, from 0 to 1, take the place of their entropy where they are given.
    """

    def __init__(
        self,
        ids: Sequence[str],
        vectors: npt.NDArray[np.float32],
        shares: Sequence[Mapping[str, float]],
        seed: int,
        doubts: Sequence[float] | None = None,
    ) -> None:
        rng = random.Random(f"{seed}/label")
        rows = sorted(rng.sample(range(len(ids)), _MOST)) if len(ids) > _MOST else range(len(ids))
        self._ids = [ids[row] for row in rows]
        self._row = {key: row for row, key in enumerate(self._ids)}
        self._likeliest = [max(shares[row], key=lambda label: shares[row][label]) for row in rows]
        self._vectors = _unit(vectors[list(rows)])
        self._open = np.ones(len(self._ids), dtype=np.bool_)
        self._near = np.full(len(self._ids), -1.0)
        """Largest cosine of each sample to one that was chosen."""
        density = _ranks(self._vectors @ self._vectors.sum(axis=0))
        doubt = np.array([_entropy(shares[row]) if doubts is None else doubts[row] for row in rows])
        doubt /= max(doubt.max(initial=0.0), 1e-9)
        # The value is never 0, so that density and distance decide between samples of which nothing is doubtful.
        self._value = (0.05 + doubt) * (_OUTLIER + density)
        labels = sorted(set(self._likeliest))
        self._turn = {label: turn for turn, label in enumerate(rng.sample(labels, len(labels)))}
        self._rows = {label: np.array([one == label for one in self._likeliest]) for label in labels}
        self._asked: Counter[str] = Counter()

    def take(self, ids: Iterable[str]) -> None:
        """Note that samples were asked about: neither they nor near-duplicates of them are named again."""
        rows = [row for key in ids if (row := self._row.get(key)) is not None and self._open[row]]
        if not rows:
            return
        self._open[rows] = False
        self._asked.update(self._likeliest[row] for row in rows)
        self._near = np.maximum(self._near, (self._vectors @ self._vectors[rows].T).max(axis=1))

    def next(self, answered: Mapping[str, int]) -> str | None:
        """Return the id of the sample to ask about next, None when all were taken.

        `answered` says how many answers each label has: those with few come first.
        """
        turns = sorted(self._turn, key=lambda label: (answered.get(label, 0) + self._asked[label], self._turn[label]))
        for most in (_ALIKE, 2.0):
            for label in turns:
                rows = np.flatnonzero(self._rows[label] & self._open & (self._near < most))
                if len(rows):
                    distance = 1.0 - np.clip(self._near[rows], 0.0, 1.0)
                    best = int(rows[np.argmax(self._value[rows] * (0.01 + distance))])
                    return self._ids[best]
        return None


def chooser(
    ids: Sequence[str],
    vectors: Mapping[str, npt.NDArray[np.float32]],
    shares: Mapping[str, Mapping[str, float]],
    seed: int,
    doubts: Mapping[str, float] | None = None,
) -> Chooser:
    """Return a chooser among the samples `ids`, whose vectors, label probabilities and doubts are given by id where known."""
    width = len(next(iter(vectors.values()))) if vectors else 1
    none = np.zeros(width, dtype=np.float32)
    stacked = np.stack([vectors.get(key, none) for key in ids]) if ids else np.empty((0, width), np.float32)
    doubt = [doubts.get(key, 0.0) for key in ids] if doubts else None
    return Chooser(ids, stacked, [shares.get(key) or {"": 1.0} for key in ids], seed, doubt)


def _unit(vectors: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.where(lengths > 0, lengths, np.float32(1)))


def _ranks(values: npt.NDArray[np.float32]) -> Floats:
    """Return the values' ranks, from 0 to 1."""
    order = np.empty(len(values))
    order[np.argsort(values, kind="stable")] = np.arange(len(values))
    return np.asarray(order / max(len(values) - 1, 1))


def _entropy(shares: Mapping[str, float]) -> float:
    values = np.array([share for share in shares.values() if share > 0])
    values = values / values.sum()
    return float(-(values * np.log2(values)).sum())
