"""Choose the samples to label next by active learning.

Labels take turns, so that the answers are balanced over them. Among the samples for which a label is the most likely one,
the next sample has the highest product of uncertainty, density (information density, Settles and Craven 2008) and
distance to the samples chosen before. Near-duplicates of chosen samples come last.
"""

import random
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

_ALIKE = 0.9
"""Treat two samples as near-duplicates when their cosine is at or above this."""
_OUTLIER = 0.3
"""Density factor of the farthest outlier; the densest sample has 1 more. Outliers are poor and misleading examples."""
_MOST = 20_000
"""Choose among at most this many samples. When there are more, draw this many at random."""


class Chooser:
    """Choose the next sample to ask about. The result is deterministic for the same arguments.

    `vectors` holds one embedding per sample. `shares` holds the label probabilities of each sample, by label; a task
    without labels uses the same single label for all. `doubts`, from 0 to 1, replace the entropy of the probabilities
    when given.
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
        """Largest cosine of each sample to any chosen sample."""
        density = _ranks(self._vectors @ self._vectors.sum(axis=0))
        doubt = np.array([_entropy(shares[row]) if doubts is None else doubts[row] for row in rows])
        doubt /= max(doubt.max(initial=0.0), 1e-9)
        # The value is never 0, so that density and distance decide between samples without any doubt.
        self._value = (0.05 + doubt) * (_OUTLIER + density)
        labels = sorted(set(self._likeliest))
        self._turn = {label: turn for turn, label in enumerate(rng.sample(labels, len(labels)))}
        self._rows = {label: np.array([one == label for one in self._likeliest]) for label in labels}
        self._asked: Counter[str] = Counter()

    def take(self, ids: Iterable[str]) -> None:
        """Record that samples were asked about. `next` does not return them again, and puts near-duplicates last."""
        rows = [row for key in ids if (row := self._row.get(key)) is not None and self._open[row]]
        if not rows:
            return
        self._open[rows] = False
        self._asked.update(self._likeliest[row] for row in rows)
        self._near = np.maximum(self._near, (self._vectors @ self._vectors[rows].T).max(axis=1))

    def next(self, answered: Mapping[str, int]) -> str | None:
        """Return the id of the sample to ask about next; None when all were taken.

        `answered` holds the number of answers per label. Labels with few answers come first.
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
    """Return a chooser among the samples `ids`. Vectors, label probabilities and doubts are given by id where known."""
    width = len(next(iter(vectors.values()))) if vectors else 1
    none = np.zeros(width, dtype=np.float32)
    stacked = np.stack([vectors.get(key, none) for key in ids]) if ids else np.empty((0, width), np.float32)
    doubt = [doubts.get(key, 0.0) for key in ids] if doubts else None
    return Chooser(ids, stacked, [shares.get(key) or {"": 1.0} for key in ids], seed, doubt)


def _unit(vectors: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.where(lengths > 0, lengths, np.float32(1)))


def _ranks(values: npt.NDArray[np.float32]) -> Floats:
    """Return the ranks of the values, scaled to 0..1."""
    order = np.empty(len(values))
    order[np.argsort(values, kind="stable")] = np.arange(len(values))
    return np.asarray(order / max(len(values) - 1, 1))


def _entropy(shares: Mapping[str, float]) -> float:
    values = np.array([share for share in shares.values() if share > 0])
    values = values / values.sum()
    return float(-(values * np.log2(values)).sum())
