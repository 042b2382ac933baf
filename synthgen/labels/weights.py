"""Compute the weights of accepted samples in the student's loss, relative to real rows.

A sample's weight is the square of its label's probability, times one factor for all samples, balanced over the labels.
The factor depends on the number of samples, and on the share of labels that an independent source, the label check,
confirms: with a bias of b, n samples of a label count as n / (1 + b n) rows. An answer of a person makes a label certain,
but not the text typical: n answered samples of a label count as n / (1 + b n) rows too. People's answers correct the
factor. They can lower it to 0 when the samples do more harm than good. docs/decisions/labels.md has the measurements
behind the constants.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from synthgen.labels.model import LabelModel, Texts
from synthgen.labels.sources import Mask
from synthgen.numerics.folds import stratified_folds
from synthgen.numerics.regression import Floats, effective, regression, softmax
from synthgen.records import Json

UNCHECKED = 0.1
"""The bias when the label check was asked too little. The samples then count enough for good texts to help, and too little for
bad texts to do great harm."""
_MOST = 1.0
_BALANCE = (0.33, 3.0)
"""Bounds of the factor that gives the samples of every label the same total weight."""
_STEPS = (0.0, 0.25, 1.0, 2.0)
"""Multiples of the factor among which people's answers choose. Without answers, the choice is between 0 and 1; 0 means
that the student uses no samples."""
_LEAST_ANSWERS = 10
_SURE_WITH, _SURE_WITHOUT = 1.0, 2.0
"""Number of standard errors by which another multiple must be better: with people's answers, and with seeds alone."""
_FOLDS = 5
_SETTINGS = {"maxiter": 100, "gtol": 3e-4, "ftol": 1e-6}
_STRENGTH = 30.0
_SEED, _MEANING = 2.0, 10.0
"""Weights of seeds and of label meanings relative to a sample, as in the student."""


@dataclass(frozen=True)
class Weights:
    """Hold the weights of samples (texts,) and a record of the choice of the factor."""

    weights: Floats
    factor: float
    record: Json
    """Record for summary.json: the compared multiples and the chosen factor."""


def weigh(model: LabelModel, texts: Texts, excluded: Sequence[bool], most: float | None = None) -> Weights:
    """Compute the weights of the texts that the model was fitted to. Texts that people called not a sample get 0.

    `most` is the factor that the config sets; None estimates it.
    """
    kept = ~np.asarray(excluded, dtype=np.bool_)
    sure = np.where(texts.answered(), 1.0, model.posterior.max(1, initial=0.0) ** 2)
    factor = expected_factor(_bias(model), float(kept.sum()) / len(model.anchors.labels)) if most is None else most
    record: Json = {"factor": round(factor, 3), "chosen_by": "config" if most is not None else "label check"}
    if most is None and model.disagreed is None:
        record["chosen_by"] = "default" if _bias(model) == UNCHECKED else "agreement"
    asked = int((texts.answered() & kept).sum()) >= _LEAST_ANSWERS
    if most is None and len(texts) and (asked or len(model.anchors.seeds)):
        steps = _STEPS if asked else (0.0, 1.0)
        losses = {
            step: _held_out(model, texts, kept, _weights(model, texts, kept, factor * step * sure)) for step in steps
        }
        step, gains = _chosen(losses, _SURE_WITH if asked else _SURE_WITHOUT)
        factor = min(factor * step, _MOST)
        if asked or step != 1.0:
            record["chosen_by"] = "people" if asked else "seeds"
        record |= {"factor": round(factor, 3), "gains": gains}
    set_by_hand = np.where(texts.answered(), 1.0, factor * sure) * kept
    weights = _weights(model, texts, kept, factor * sure) if most is None else set_by_hand
    record["most"] = round(float(weights[~texts.answered()].max(initial=0.0)), 3)
    return Weights(np.asarray(weights, dtype=np.float64), factor, record)


def expected_factor(bias: float, per_label: float) -> float:
    """Return the weight of a sample relative to a seed, when a generator has this bias and each label `per_label` samples."""
    return 1.0 / (1.0 + bias * per_label)


def _bias(model: LabelModel) -> float:
    """Return the generator's bias by the label check, and at least `UNCHECKED` where the check was asked too little."""
    return max(UNCHECKED, model.agreed_bias or 0.0) if model.disagreed is None else model.disagreed.bias


def _weights(model: LabelModel, texts: Texts, kept: Mask, weights: Floats) -> Floats:
    """Balance the weights of kept texts, so that all labels have the same total together with the answered texts.

    n answered texts of a label that a prompt requested count as n / (1 + b n) rows. The other answered texts, such as
    real ones, have a weight of 1. The sum of all other weights does not change, unless the balance reaches its bounds.
    """
    answered = texts.answered() & kept
    others = np.where(answered, 0.0, weights) * kept
    generated = answered & (texts.intents >= 0)
    of_label = 1.0 / (1.0 + _bias(model) * (model.posterior.T @ generated))
    sure = answered * np.where(generated, model.posterior @ of_label, 1.0)
    given, mass = model.posterior.T @ sure, model.posterior.T @ others
    wanted = (given + mass).mean() - given
    factors = np.clip(wanted / np.maximum(mass, 1e-9), *_BALANCE)
    balanced = np.minimum(others * (model.posterior @ factors), _MOST)
    return np.asarray(np.where(answered, sure, balanced), dtype=np.float64)


def _held_out(model: LabelModel, texts: Texts, kept: Mask, weights: Floats) -> Floats:
    """Return the held-out loss, in nats, of every seed and every answered text, by students fitted without it."""
    anchors, answered = model.anchors, np.flatnonzero(texts.answered() & kept)
    eye = np.eye(len(anchors.labels))
    real = np.vstack([anchors.seeds, texts.vectors[answered]])
    truth = np.vstack([eye[anchors.index(anchors.seed_labels)], model.posterior[answered]])
    labels = np.concatenate([anchors.index(anchors.seed_labels), model.posterior[answered].argmax(1)])
    fold = stratified_folds(labels, _FOLDS, 0)
    others = kept & ~texts.answered() & (weights > 0)
    counts = np.concatenate([np.full(len(anchors.seeds), _SEED), weights[answered]])
    losses = np.empty(len(real))
    for part in np.unique(fold):
        out = fold == part
        shares = _student(
            (np.vstack([real[~out], anchors.meanings, texts.vectors[others]])),
            (np.vstack([truth[~out], eye, model.posterior[others]])),
            np.concatenate([counts[~out], np.full(len(eye), _MEANING), weights[others]]),
            real[out],
        )
        losses[out] = -(truth[out] * np.log(shares + 1e-6)).sum(1)
    return losses


def _student(vectors: Floats, targets: Floats, counts: Floats, asked: Floats) -> Floats:
    """Fit a regression as the frozen student does, and return its probabilities for the rows `asked`."""
    weights, bias = regression(vectors, targets, effective(counts), _STRENGTH, _SETTINGS)
    return softmax(np.asarray(asked @ weights.T + bias, dtype=np.float64))


def _chosen(losses: dict[float, Floats], surely: float) -> tuple[float, Json]:
    """Choose a multiple: 1, unless another one is better by `surely` standard errors."""
    base = losses[1.0]
    gains = {step: float((base - loss).mean()) for step, loss in losses.items()}
    errors = {step: float((base - loss).std() / len(base) ** 0.5) for step, loss in losses.items()}
    better = {step: gain for step, gain in gains.items() if gain > surely * errors[step] and gain > 0}
    step = max(better, key=better.__getitem__) if better else 1.0
    return step, {str(step): round(gain, 4) for step, gain in gains.items()}
