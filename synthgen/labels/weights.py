"""Weigh accepted samples for the student: how much the evidence on their labels lets them count beside real rows.

A sample's weight is the square of its label's probability, times one factor for all, balanced over the labels. The factor
follows from how many samples there are and from how far an independent source, the label check, confirms that their texts
belong to the labels: with a bias of b, n samples of a label count as n / (1 + b n) rows. People's answers correct the
factor, and leave samples out that do more harm than good. See docs/decisions.md for the measurements behind the constants.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from synthgen.labels.model import LabelModel, Texts
from synthgen.labels.sources import Disagreement, Mask
from synthgen.numerics.folds import stratified_folds
from synthgen.numerics.regression import Floats, effective, regression, softmax
from synthgen.records import Json

_UNCHECKED = 0.1
"""The bias where no label check was asked: enough samples for good texts to help, too few for bad ones to do great harm."""
_MOST = 1.0
_BALANCE = (0.33, 3.0)
"""Bounds of the factor that gives the samples of every label the same total weight."""
_STEPS = (0.0, 0.25, 1.0, 2.0)
"""Multiples of the factor between which people's answers choose. Without answers only 0, no samples at all, is one."""
_LEAST_ANSWERS = 10
_SURE_WITH, _SURE_WITHOUT = 1.0, 2.0
"""Standard errors by which another multiple must be better: where people answered, and on the seeds alone."""
_FOLDS = 5
_SETTINGS = {"maxiter": 100, "gtol": 3e-4, "ftol": 1e-6}
_STRENGTH = 30.0
_SEED, _MEANING = 2.0, 10.0
"""Weights of seeds and label meanings beside a sample's, as the student has them."""


@dataclass(frozen=True)
class Weights:
    """Hold the samples' weights (texts,) and how they were chosen."""

    weights: Floats
    factor: float
    record: Json
    """For summary.json: what was compared, and what was chosen."""


def weigh(model: LabelModel, texts: Texts, excluded: Sequence[bool], most: float | None = None) -> Weights:
    """Weigh the texts that the model was fitted to; those that people excluded as no samples weigh nothing.

    `most` is the factor that the config sets; None derives it.
    """
    kept = ~np.asarray(excluded, dtype=np.bool_)
    sure = np.where(texts.answered(), 1.0, model.posterior.max(1, initial=0.0) ** 2)
    factor = expected_factor(model.disagreed, float(kept.sum()) / len(model.anchors.labels)) if most is None else most
    record: Json = {"factor": round(factor, 3), "chosen_by": "config" if most is not None else "label check"}
    if most is None and model.disagreed is None:
        record["chosen_by"] = "default"
    if most is None and len(texts):
        asked = int((texts.answered() & kept).sum()) >= _LEAST_ANSWERS
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


def expected_factor(disagreed: Disagreement | None, per_label: float) -> float:
    """Return what one of `per_label` samples of each label is worth beside a seed, from how far the label check confirms
    their labels."""
    bias = _UNCHECKED if disagreed is None else disagreed.bias
    return 1.0 / (1.0 + bias * per_label)


def _weights(model: LabelModel, texts: Texts, kept: Mask, weights: Floats) -> Floats:
    """Balance the weights of the texts that are kept: with the answered ones, which weigh 1, all labels have the same total.

    Within the bounds of the balance, the total of all weights stays as it is.
    """
    answered = texts.answered() & kept
    others = np.where(answered, 0.0, weights) * kept
    given, mass = model.posterior.T @ answered, model.posterior.T @ others
    wanted = (given + mass).mean() - given
    factors = np.clip(wanted / np.maximum(mass, 1e-9), *_BALANCE)
    balanced = np.minimum(others * (model.posterior @ factors), _MOST)
    return np.asarray(np.where(answered, 1.0, balanced), dtype=np.float64)


def _held_out(model: LabelModel, texts: Texts, kept: Mask, weights: Floats) -> Floats:
    """Return the loss, in nats, of every seed and every answered text by students that were fitted without it."""
    anchors, answered = model.anchors, np.flatnonzero(texts.answered() & kept)
    eye = np.eye(len(anchors.labels))
    real = np.vstack([anchors.seeds, texts.vectors[answered]])
    truth = np.vstack([eye[anchors.index(anchors.seed_labels)], model.posterior[answered]])
    labels = np.concatenate([anchors.index(anchors.seed_labels), model.posterior[answered].argmax(1)])
    fold = stratified_folds(labels, _FOLDS, 0)
    others = kept & ~texts.answered() & (weights > 0)
    losses = np.empty(len(real))
    for part in np.unique(fold):
        out = fold == part
        shares = _student(
            (np.vstack([real[~out], anchors.meanings, texts.vectors[others]])),
            (np.vstack([truth[~out], eye, model.posterior[others]])),
            np.concatenate([np.full((~out).sum(), _SEED), np.full(len(eye), _MEANING), weights[others]]),
            real[out],
        )
        losses[out] = -(truth[out] * np.log(shares + 1e-6)).sum(1)
    return losses


def _student(vectors: Floats, targets: Floats, counts: Floats, asked: Floats) -> Floats:
    """Fit a regression as the frozen student does; returns its probabilities of the rows that are `asked` about."""
    weights, bias = regression(vectors, targets, effective(counts), _STRENGTH, _SETTINGS)
    return softmax(np.asarray(asked @ weights.T + bias, dtype=np.float64))


def _chosen(losses: dict[float, Floats], surely: float) -> tuple[float, Json]:
    """Choose a multiple: the expected one, unless another is better by `surely` standard errors."""
    base = losses[1.0]
    gains = {step: float((base - loss).mean()) for step, loss in losses.items()}
    errors = {step: float((base - loss).std() / len(base) ** 0.5) for step, loss in losses.items()}
    better = {step: gain for step, gain in gains.items() if gain > surely * errors[step] and gain > 0}
    step = max(better, key=better.__getitem__) if better else 1.0
    return step, {str(step): round(gain, 4) for step, gain in gains.items()}
