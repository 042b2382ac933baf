"""Choose typical and borderline examples of each label by the vectors of the samples.

An example is typical when it is much nearer to the other samples of its label than to those of any other label, and
borderline when it is not.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class LabelMargin:
    """Hold how clearly a sample belongs to its label."""

    row: int
    margin: float
    """Cosine to the centre of its own label, less the highest cosine to the centre of another one."""
    nearest: str | None
    """The other label whose centre is nearest; None where there is no other label."""


def letters(texts: Sequence[str]) -> Floats:
    """Return a vector for each text by its runs of two to four letters (TF-IDF), for samples without embeddings."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    return np.asarray(TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 4)).fit_transform(texts).toarray(), float)


def placed(vectors: npt.ArrayLike, labels: Sequence[str | None]) -> dict[str | None, list[LabelMargin]]:
    """Return the samples of each label, the most typical first.

    A sample's own vector is left out of its label's centre. Without labels (all None) the margin is the cosine to the
    centre of all other samples.
    """
    rows = np.asarray(vectors, dtype=float)
    rows = rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)
    names = list(dict.fromkeys(labels))
    members = {name: np.array([label == name for label in labels]) for name in names}
    sums = {name: rows[members[name]].sum(0) for name in names}
    found: dict[str | None, list[LabelMargin]] = {name: [] for name in names}
    for row, label in enumerate(labels):
        own = _cosine(rows[row], sums[label] - rows[row])
        others = {name: _cosine(rows[row], sums[name]) for name in names if name != label}
        near = max(others, key=others.__getitem__) if others else None
        found[label].append(LabelMargin(row, own - (others[near] if near is not None else 0.0), near))
    return {name: sorted(places, key=lambda place: -place.margin) for name, places in found.items()}


def _cosine(one: Floats, other: Floats) -> float:
    return float(one @ other / max(float(np.linalg.norm(other)), 1e-12))


def split(places: Sequence[LabelMargin], each: int) -> tuple[list[LabelMargin], list[LabelMargin]]:
    """Return at most `each` typical and `each` other, borderline samples. The most borderline one comes first."""
    typical = list(places[: min(each, (len(places) + 1) // 2)])
    rest = places[len(typical) :]
    return typical, list(rest[::-1][:each])
