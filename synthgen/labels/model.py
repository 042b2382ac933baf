"""Decide the label probabilities of texts from all sources at once: the label model.

A text classifier, a regression on sentence vectors, is fitted to the anchors (seeds and label meanings) and to the texts
themselves, each text judged by a fit that did not see it. Its probabilities, how often the prompt's label is right, and
the error matrices of all other sources are estimated in turns. Labels that people gave are taken as they are. Reading a
ledger is left to `synthgen.labels.pool`, what follows from the probabilities to `decide` and `weights`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from synthgen.labels.sources import (
    Disagreement,
    Intent,
    Ints,
    calibrate,
    combine,
    confusion,
    disagreement,
    error_matrix,
    likelihood,
)
from synthgen.numerics.folds import stratified_folds
from synthgen.numerics.regression import Floats, regression, softmax

CHECK = "label"
"""The source beside the prompt and people, by the name of its check."""

_SEED_WEIGHT, _MEANING_WEIGHT = 2.0, 3.0
_STRENGTH = 10.0
"""Inverse regularisation of the classifier, for unit vectors."""
_BALANCE = (0.3, 3.0)
"""Bounds of the factor that gives all labels the same weight among the texts."""
_ANCHORED_SHARPNESS = 2.0
"""Factor on the logits of the regression on seeds and meanings alone, which is too flat: left-out seeds of eight tasks ask
for 1.2 to 3."""
_TURNS = 3
_QUICK = {"maxiter": 60, "gtol": 3e-4, "ftol": 1e-6}


@dataclass(frozen=True)
class Anchors:
    """Hold what is known of the labels without any generation: unit vectors of shape (rows, dimensions)."""

    labels: tuple[str, ...]
    seeds: Floats
    seed_labels: tuple[str, ...]
    meanings: Floats
    """Vectors of each label's name and meaning, in the order of `labels`."""

    def index(self, labels: Sequence[str]) -> Ints:
        """Return the labels' positions."""
        found = {label: number for number, label in enumerate(self.labels)}
        return np.asarray([found[label] for label in labels], dtype=np.intp)

    def rows(self) -> tuple[Floats, Floats, Floats]:
        """Return vectors, one-hot labels and weights of seeds and meanings."""
        eye = np.eye(len(self.labels))
        weights = np.repeat([_SEED_WEIGHT, _MEANING_WEIGHT], [len(self.seeds), len(self.labels)])
        targets = np.vstack([eye[self.index(self.seed_labels)], eye])
        return np.vstack([self.seeds, self.meanings]), targets, weights


@dataclass(frozen=True)
class Texts:
    """Hold generated texts with what the sources said of them. All arrays have one row a text."""

    vectors: Floats
    intents: Ints
    """The label that the prompt asked for, by position."""
    named: Mapping[str, Floats] = field(default_factory=dict)
    """What each further source said, as probabilities (texts, labels); a row of zeros where it was not asked."""
    people: Floats | None = None
    """Labels that people gave, as shares of votes (texts, labels); a row of zeros where nobody answered."""

    def __len__(self) -> int:
        return len(self.intents)

    def answered(self) -> Any:
        """Return which texts people have labelled, shape (texts,)."""
        return self.people.sum(1) > 0 if self.people is not None else np.zeros(len(self), dtype=np.bool_)


Line = tuple[Floats, Floats]
"""Weights (labels, dimensions) and bias (labels,) of a regression."""


@dataclass(frozen=True)
class LabelModel:
    """Hold a fitted label model. `posterior` (texts, labels) are the probabilities of the fitted texts."""

    anchors: Anchors
    posterior: Floats
    unaided: Floats
    """The same as if nobody had answered anything: what the model thought of the texts that people labelled."""
    classifier: Line
    anchored: Line
    """The regression on seeds and meanings alone."""
    sharpness: float
    intent: Intent
    matrices: Mapping[str, Floats]
    disagreed: Disagreement | None

    def base(self, vectors: Floats) -> Floats:
        """Return the classifier's probabilities (texts, labels) for texts that it did not see."""
        return softmax(self.sharpness * _logits(self.classifier, vectors))

    def supported(self, vectors: Floats) -> Floats:
        """Return the label probabilities (texts, labels) by what people wrote alone: seeds and label meanings."""
        return softmax(_ANCHORED_SHARPNESS * _logits(self.anchored, vectors))

    def decide(self, vectors: Floats, intents: Ints, named: Mapping[str, Floats]) -> Floats:
        """Return the label probabilities (texts, labels) of texts that it did not see."""
        said = [likelihood(each, self.matrices[name]) for name, each in named.items()]
        found = combine(self.base(vectors), self.intent.matrix[:, intents].T, *said)
        return _corrected(found, self.disagreed, intents, _logits(self.anchored, vectors))


def fit(anchors: Anchors, texts: Texts, rounds: int = 3, folds: int = 5) -> LabelModel:
    """Fit the label model; of several rounds the one whose classifier predicts unseen labels best is kept.

    More rounds and folds are more exact and take longer: one fit of the classifier a fold and round.
    """
    labels, count = len(anchors.labels), len(texts)
    anchored = regression(*anchors.rows(), _STRENGTH, _QUICK)
    state = _begun(texts, labels)
    if not count:
        return LabelModel(
            anchors, state.posterior, state.unaided, anchored, anchored, 1.0, state.intent, state.matrices, None
        )
    state = _turned(texts, state, _logits(anchored, texts.vectors))
    best, fold = None, stratified_folds(texts.intents, folds, 0)
    for _ in range(rounds):
        logits = np.empty((count, labels))
        for part in np.unique(fold):
            out = fold == part
            line = _classifier(anchors, texts, state.posterior, ~out)
            logits[out] = _logits(line, texts.vectors[out])
        state = _turned(texts, state, logits)
        if best is None or state.score > best.score:
            best = state
    best = best or state
    anchor_logits = _logits(anchored, texts.vectors)
    checked = texts.named.get(CHECK, np.zeros((count, labels)))
    disagreed = disagreement(best.unaided, texts.intents, anchor_logits.argmax(1), checked)
    unaided = _corrected(best.unaided, disagreed, texts.intents, anchor_logits)
    posterior = _with_answers(unaided, texts.people)
    final = _classifier(anchors, texts, posterior, np.ones(count, dtype=np.bool_))
    return LabelModel(
        anchors, posterior, unaided, final, anchored, best.sharpness, best.intent, best.matrices, disagreed
    )


class _Estimates(NamedTuple):
    """Hold the estimates of one iteration."""

    unaided: Floats
    posterior: Floats
    sharpness: float
    intent: Intent
    matrices: dict[str, Floats]
    score: float
    """Mean log likelihood of the labels that were asked for, by a classifier that did not see the text, in nats."""


def _begun(texts: Texts, labels: int) -> _Estimates:
    """Return what is assumed before any text is seen."""
    nothing = np.zeros((0, labels))
    matrices = {CHECK: error_matrix(nothing, nothing)}
    asked = np.eye(labels)[texts.intents]
    return _Estimates(asked, asked, 1.0, Intent(0.9, confusion(nothing, nothing)), matrices, -np.inf)


def _turned(texts: Texts, before: _Estimates, logits: Floats) -> _Estimates:
    """Estimate reliabilities and label probabilities in turns, for a classifier's `logits` (texts, labels)."""
    asked = np.eye(logits.shape[1])[texts.intents]
    intent, matrices, found = before.intent, dict(before.matrices), before
    for _ in range(_TURNS):
        said = [likelihood(each, matrices[name]) for name, each in texts.named.items()]
        others = np.prod(said, axis=0) if said else np.ones_like(logits)
        sharpness, intent, score = calibrate(logits, texts.intents, intent.confusion, others)
        unaided = combine(softmax(sharpness * logits), intent.matrix[:, texts.intents].T, *said)
        posterior = _with_answers(unaided, texts.people)
        found = _Estimates(unaided, posterior, sharpness, intent, dict(matrices), score)
        intent = intent._replace(confusion=confusion(posterior, asked))
        for name, each in texts.named.items():
            heard = each.sum(1) > 0
            matrices[name] = error_matrix(posterior[heard], each[heard])
    return found._replace(intent=intent, matrices=matrices)


def _classifier(anchors: Anchors, texts: Texts, posterior: Floats, chosen: Any) -> Line:
    """Fit the regression to the anchors and the chosen texts, all labels alike."""
    vectors, targets, weights = anchors.rows()
    shares = posterior[chosen]
    mass = shares.sum(0)
    factors = np.clip(len(shares) / len(anchors.labels) / np.maximum(mass, 1.0), *_BALANCE)
    of_texts = shares @ factors
    of_texts = np.where(texts.answered()[chosen], _SEED_WEIGHT, of_texts)
    return regression(
        np.vstack([vectors, texts.vectors[chosen]]),
        np.vstack([targets, shares]),
        np.concatenate([weights, of_texts]),
        _STRENGTH,
        _QUICK,
    )


def _logits(line: Line, vectors: Floats) -> Floats:
    return np.asarray(vectors @ line[0].T + line[1], dtype=np.float64)


def _with_answers(posterior: Floats, people: Floats | None) -> Floats:
    """Put people's answers in the place of what the model thinks."""
    if people is None:
        return posterior
    votes = people.sum(1, keepdims=True)
    return np.where(votes > 0, people / np.maximum(votes, 1e-9), posterior)


def _corrected(posterior: Floats, disagreed: Disagreement | None, intents: Ints, anchor_logits: Floats) -> Floats:
    if disagreed is None:
        return posterior
    found, other = posterior.copy(), anchor_logits.argmax(1) != intents
    if other.any():
        found[other] = disagreed.apply(posterior[other], intents[other], softmax(anchor_logits[other]))
    doubt = disagreed.doubts(other)[:, None]
    return np.asarray((1 - doubt) * found + doubt * softmax(_ANCHORED_SHARPNESS * anchor_logits), dtype=np.float64)
