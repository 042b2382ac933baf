"""Estimate label probabilities of texts from all label sources at once, with a label model.

A text classifier (a regression on sentence vectors) is fitted to the anchors, which are seeds and label meanings, and to
the texts themselves. Cross-fitting gives each text the probabilities of a fit that did not see it. The model estimates
three things in turns: these probabilities, the rate at which the prompt's label is right, and the error matrices of all
other sources. Labels that people gave are used unchanged. `synthgen.labels.pool` reads the ledger; `decide` and
`weights` use the probabilities.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from synthgen.labels.sources import (
    Disagreement,
    Intent,
    Ints,
    agreed_bias,
    calibrate,
    combine,
    confusion,
    disagreement,
    error_matrix,
    likelihood,
    requested,
)
from synthgen.numerics.anchors import SEED_WEIGHT, STRENGTH, anchor_rows, anchored_shares
from synthgen.numerics.folds import stratified_folds
from synthgen.numerics.regression import Floats, regression, softmax

CHECK = "label"
"""Name of the label source other than the prompt and people, which is the name of its check."""

_BALANCE = (0.3, 3.0)
"""Bounds of the factor that gives all labels the same total weight among the texts."""
_TURNS = 3
_QUICK = {"maxiter": 60, "gtol": 3e-4, "ftol": 1e-6}


@dataclass(frozen=True)
class Anchors:
    """Hold the seeds and the labels' meanings, which exist before any generation, as unit vectors (rows, dimensions)."""

    labels: tuple[str, ...]
    seeds: Floats
    seed_labels: tuple[str, ...]
    meanings: Floats
    """Vectors of each label's name and meaning, in the order of `labels`."""

    def index(self, labels: Sequence[str]) -> Ints:
        """Return the positions of labels."""
        found = {label: number for number, label in enumerate(self.labels)}
        return np.asarray([found[label] for label in labels], dtype=np.intp)

    def rows(self) -> tuple[Floats, Floats, Floats]:
        """Return vectors, one-hot labels and weights of seeds and meanings."""
        return anchor_rows(self.seeds, self.index(self.seed_labels).tolist(), self.meanings)


@dataclass(frozen=True)
class Texts:
    """Hold generated texts with the annotations of the label sources. All arrays have one row per text."""

    vectors: Floats
    intents: Ints
    """Position of the label that the prompt requested; -1 where none was requested."""
    named: Mapping[str, Floats] = field(default_factory=dict)
    """Answers of each other source, as probabilities (texts, labels). A row of zeros means that it was not asked."""
    people: Floats | None = None
    """Answers of people, as vote shares (texts, labels). A row of zeros means that nobody answered."""

    def __len__(self) -> int:
        return len(self.intents)

    def answered(self) -> Any:
        """Return a mask of the texts that people have labelled, shape (texts,)."""
        return self.people.sum(1) > 0 if self.people is not None else np.zeros(len(self), dtype=np.bool_)


Line = tuple[Floats, Floats]
"""Hold the weights (labels, dimensions) and the bias (labels,) of a regression."""


@dataclass(frozen=True)
class LabelModel:
    """Hold a fitted label model. `posterior` (texts, labels) holds the probabilities of the texts it was fitted to."""

    anchors: Anchors
    posterior: Floats
    unaided: Floats
    """The posterior without people's answers. It shows the model's own probabilities for texts that people labelled."""
    classifier: Line
    anchored: Line
    """The regression on seeds and meanings alone."""
    sharpness: float
    intent: Intent
    matrices: Mapping[str, Floats]
    disagreed: Disagreement | None
    agreed_bias: float | None = None
    """The generator's bias by the texts on which prompt and anchors agree. It counts where `disagreed` is None."""

    def base(self, vectors: Floats) -> Floats:
        """Return the classifier's probabilities (texts, labels) for texts that it was not fitted to."""
        return softmax(self.sharpness * _logits(self.classifier, vectors))

    def supported(self, vectors: Floats) -> Floats:
        """Return label probabilities (texts, labels) based on seeds and label meanings alone, which people wrote."""
        return anchored_shares(_logits(self.anchored, vectors))

    def decide(self, vectors: Floats, intents: Ints, named: Mapping[str, Floats]) -> Floats:
        """Return label probabilities (texts, labels) from all sources, for texts that the model was not fitted to."""
        said = [likelihood(each, self.matrices[name]) for name, each in named.items()]
        found = combine(self.base(vectors), self.intent.likelihood(intents), *said)
        return _corrected(found, self.disagreed, intents, _logits(self.anchored, vectors))


def fit(anchors: Anchors, texts: Texts, rounds: int = 3, folds: int = 5) -> LabelModel:
    """Fit the label model. Of several rounds, keep the one whose classifier predicts held-out labels best.

    More rounds and folds are more exact but take longer: each fold of each round needs one fit of the classifier.
    """
    labels, count = len(anchors.labels), len(texts)
    anchored = regression(*anchors.rows(), STRENGTH, _QUICK)
    state = _initial(texts, labels)
    if not count:
        return LabelModel(
            anchors, state.posterior, state.unaided, anchored, anchored, 1.0, state.intent, state.matrices, None
        )
    state = _iterated(texts, state, _logits(anchored, texts.vectors))
    likeliest = np.where(texts.intents >= 0, texts.intents, state.posterior.argmax(1))
    best, fold = None, stratified_folds(likeliest, folds, 0)
    for _ in range(rounds):
        logits = np.empty((count, labels))
        for part in np.unique(fold):
            out = fold == part
            line = _classifier(anchors, texts, state.posterior, ~out)
            logits[out] = _logits(line, texts.vectors[out])
        state = _iterated(texts, state, logits)
        if best is None or state.score >= best.score:  # equal where no label was requested: the last round knows most
            best = state
    best = best or state
    anchor_logits = _logits(anchored, texts.vectors)
    checked = texts.named.get(CHECK, np.zeros((count, labels)))
    disagreed = disagreement(best.unaided, texts.intents, anchor_logits.argmax(1), checked)
    agreed = agreed_bias(texts.intents, anchor_logits.argmax(1), checked)
    unaided = _corrected(best.unaided, disagreed, texts.intents, anchor_logits)
    posterior = _with_answers(unaided, texts.people)
    final = _classifier(anchors, texts, posterior, np.ones(count, dtype=np.bool_))
    return LabelModel(
        anchors, posterior, unaided, final, anchored, best.sharpness, best.intent, best.matrices, disagreed, agreed
    )


class _Estimates(NamedTuple):
    """Hold the estimates of one iteration."""

    unaided: Floats
    posterior: Floats
    sharpness: float
    intent: Intent
    matrices: dict[str, Floats]
    score: float
    """Mean held-out log likelihood of the requested labels, in nats."""


def _initial(texts: Texts, labels: int) -> _Estimates:
    """Return the estimates before any text is seen."""
    nothing = np.zeros((0, labels))
    matrices = {CHECK: error_matrix(nothing, nothing)}
    asked = requested(texts.intents, labels)
    return _Estimates(asked, asked, 1.0, Intent(0.9, confusion(nothing, nothing)), matrices, -np.inf)


def _iterated(texts: Texts, before: _Estimates, logits: Floats) -> _Estimates:
    """Estimate reliabilities and label probabilities in turns, given a classifier's `logits` (texts, labels)."""
    asked = requested(texts.intents, logits.shape[1])
    intent, matrices, found = before.intent, dict(before.matrices), before
    for _ in range(_TURNS):
        said = [likelihood(each, matrices[name]) for name, each in texts.named.items()]
        others = np.prod(said, axis=0) if said else np.ones_like(logits)
        sharpness, intent, score = calibrate(logits, texts.intents, intent.confusion, others)
        unaided = combine(softmax(sharpness * logits), intent.likelihood(texts.intents), *said)
        posterior = _with_answers(unaided, texts.people)
        found = _Estimates(unaided, posterior, sharpness, intent, dict(matrices), score)
        intent = intent._replace(confusion=confusion(posterior, asked))
        for name, each in texts.named.items():
            asked_about = each.sum(1) > 0
            matrices[name] = error_matrix(posterior[asked_about], each[asked_about])
    return found._replace(intent=intent, matrices=matrices)


def _classifier(anchors: Anchors, texts: Texts, posterior: Floats, chosen: Any) -> Line:
    """Fit the regression to the anchors and the chosen texts, with balanced labels."""
    vectors, targets, weights = anchors.rows()
    shares = posterior[chosen]
    mass = shares.sum(0)
    factors = np.clip(len(shares) / len(anchors.labels) / np.maximum(mass, 1.0), *_BALANCE)
    of_texts = shares @ factors
    of_texts = np.where(texts.answered()[chosen], SEED_WEIGHT, of_texts)
    return regression(
        np.vstack([vectors, texts.vectors[chosen]]),
        np.vstack([targets, shares]),
        np.concatenate([weights, of_texts]),
        STRENGTH,
        _QUICK,
    )


def _logits(line: Line, vectors: Floats) -> Floats:
    return np.asarray(vectors @ line[0].T + line[1], dtype=np.float64)


def _with_answers(posterior: Floats, people: Floats | None) -> Floats:
    """Replace the model's probabilities by people's answers where there are any."""
    if people is None:
        return posterior
    votes = people.sum(1, keepdims=True)
    return np.where(votes > 0, people / np.maximum(votes, 1e-9), posterior)


def _corrected(posterior: Floats, disagreed: Disagreement | None, intents: Ints, anchor_logits: Floats) -> Floats:
    if disagreed is None:
        return posterior
    known = intents >= 0
    found, other = posterior.copy(), known & (anchor_logits.argmax(1) != intents)
    if other.any():
        found[other] = disagreed.apply(posterior[other], intents[other], softmax(anchor_logits[other]))
    doubt = (disagreed.doubts(other) * known)[:, None]
    return np.asarray((1 - doubt) * found + doubt * anchored_shares(anchor_logits), dtype=np.float64)
