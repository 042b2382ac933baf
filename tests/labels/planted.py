"""Generated texts with planted truth: clusters of vectors, one a label, a prompt and a label check of known accuracy."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from synthgen.labels.model import CHECK, Anchors, Texts
from synthgen.labels.sources import Ints
from synthgen.numerics.regression import Floats

LABELS = ("business", "science", "sport", "world")
DIMENSIONS = 16


class Planted(NamedTuple):
    """Texts, what is known without them, and what is true of them."""

    anchors: Anchors
    texts: Texts
    truth: Ints
    """The true label of every text, by position; -1 where it belongs to none."""

    def right(self, shares: Floats) -> float:
        """Return the share of texts whose likeliest label is the true one."""
        return float((shares.argmax(1) == self.truth).mean())


def unit(vectors: Floats) -> Floats:
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), dtype=np.float64)


def centred(vectors: Floats) -> Floats:
    """Return the vectors' cosines with the labels' centres, shape (rows, labels)."""
    return vectors[:, : len(LABELS)]


def draw(rng: np.random.Generator, labels: Ints, noise: float) -> Floats:
    """Draw unit vectors around the labels' centres, shape (rows, dimensions); a label of -1 has no centre."""
    centres = np.vstack([np.eye(DIMENSIONS)[: len(LABELS)], np.zeros(DIMENSIONS)])
    return unit(centres[labels] + noise * rng.normal(size=(len(labels), DIMENSIONS)))


def named(rng: np.random.Generator, truth: Ints, right: float) -> Ints:
    """Name the true label in a share of the texts, and any other one elsewhere; any one where a text is of none."""
    others = (truth + rng.integers(1, len(LABELS), len(truth))) % len(LABELS)
    return np.where((rng.random(len(truth)) < right) & (truth >= 0), truth, others)


def planted(
    texts: int = 240,
    prompt: float = 0.7,
    check: float | None = None,
    noise: float = 0.35,
    nowhere: float = 0.0,
    seeds: int = 2,
    seed: int = 0,
    people: Sequence[int] = (),
) -> Planted:
    """Plant texts.

    `prompt` and `check` are the shares of right labels, `noise` says how far texts lie from their label's centre, `nowhere`
    is the share of texts that belong to no label, `people` the texts whose true label people gave.
    """
    rng, count = np.random.default_rng(seed), len(LABELS)
    known = np.tile(np.arange(count), seeds)
    anchors = Anchors(
        LABELS, draw(rng, known, noise), tuple(LABELS[label] for label in known), draw(rng, np.arange(count), noise)
    )
    truth = np.arange(texts) % count
    truth[rng.random(texts) < nowhere] = -1
    vectors, intents = draw(rng, truth, noise), named(rng, truth, prompt)
    eye, said = np.eye(count), {}
    if check is not None:
        said[CHECK] = 0.9 * eye[named(rng, truth, check)] + 0.1 / count
    votes = np.zeros((texts, count))
    votes[list(people)] = eye[truth[list(people)]]
    return Planted(anchors, Texts(vectors, intents, said, votes if len(people) else None), truth)
