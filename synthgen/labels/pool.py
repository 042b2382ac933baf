"""Read the annotations in a ledger, and compute label probabilities and weights of samples for the student.

The annotations are read when a run resumes and after a run. After a run, the label model is fitted again, to all accepted
samples and people's answers, so that the labels of early samples also benefit from late data.
"""

import json
import sys
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from synthgen.labels.answers import NOT_A_SAMPLE, Settled, settled
from synthgen.labels.config import LabelsConfig
from synthgen.labels.decide import LabelDecider, LabelRecord, as_texts
from synthgen.labels.model import Anchors, fit
from synthgen.labels.weights import weigh
from synthgen.ledger import Reader
from synthgen.numerics.regression import Floats
from synthgen.records import INHERITED, PROPOSED, Json, Sample, content_id

MEANINGS = "label_vectors"
"""Key in the ledger of the vectors of each label's name and meaning, in the task's order."""

INTENTS = "inherited_intents"
"""Key in the ledger of the labels that prompts of other runs requested, by id of inherited samples with another label."""

_LEAST = 0.01
"""Leave out label probabilities below this."""


def anchors(
    labels: Sequence[str], seeds: Sequence[Sample], vectors: npt.ArrayLike, meanings: npt.NDArray[Any]
) -> Anchors:
    """Return the anchors of a classification task. Every seed must have one of `labels`; there may be no seed."""
    return Anchors(
        tuple(labels),
        np.reshape(vectors, (len(seeds), meanings.shape[1])).astype(np.float64),
        tuple(str(seed.label) for seed in seeds),
        meanings.astype(np.float64),
    )


def label_records(reader: Reader, latest: int = -1) -> list[LabelRecord]:
    """Return the annotations of the `latest` accepted samples, or of all, in order of acceptance.

    For a sample of another run, the label that its prompt requested is known only if the fork recorded it. Otherwise,
    the sample's own label is used.
    """
    inherited = reader.meta(INTENTS) or {}
    sql = (
        f"SELECT s.id, s.slot, e.vector, c.label, s.label, t.details, l.details, {reader.given_column}"
        " FROM samples s JOIN embeddings e ON e.sample_id = s.id"
        " LEFT JOIN candidates c ON c.slot = s.slot AND c.item = s.item"
        " LEFT JOIN verdicts t ON t.slot = s.slot AND t.item = s.item AND t.\"check\" = 'trust'"
        " LEFT JOIN verdicts l ON l.slot = s.slot AND l.item = s.item AND l.\"check\" = 'label'"
        " WHERE s.origin <> 'seed' AND s.label IS NOT NULL ORDER BY s.position DESC LIMIT ?"
    )
    found = [
        LabelRecord(
            INHERITED if slot is None else slot,
            np.frombuffer(vector, dtype=np.float32),
            None if PROPOSED in json.loads(given or "{}") else intent or inherited.get(key, label),
            label,
            json.loads(decided)["probabilities"] if decided else {label: 1.0},
            json.loads(checked).get("probabilities") if checked else None,
            key,
        )
        for key, slot, vector, intent, label, decided, checked, given in reader.rows(sql, (latest,))
    ]
    return found[::-1]


def intents(reader: Reader, labels: Collection[str]) -> dict[str, str]:
    """Return the requested label of each sample that has a different one, by sample id, for the ledger of a fork.

    Include only requested labels that are in `labels`, the labels of the fork.
    """
    sql = (
        "SELECT s.id, c.label FROM samples s JOIN candidates c ON c.slot = s.slot AND c.item = s.item"
        " WHERE s.origin <> 'seed' AND c.label <> s.label"
    )
    asked = (reader.meta(INTENTS) or {}) | dict(reader.rows(sql))
    return {key: label for key, label in asked.items() if label in labels}


def votes(reader: Reader) -> dict[str, dict[str, float]]:
    """Return people's vote shares by sample id, without samples that they call not a sample."""
    return {key: found for key, found in settled(reader.people_answers()).items() if found is not NOT_A_SAMPLE}


@dataclass(frozen=True)
class Weighed:
    """Hold a sample's weight in the student's loss, and its label probabilities.

    A weight of 0 excludes the sample. Probabilities of None stand for the label that the sample has.
    """

    weight: float = 1.0
    labels: Mapping[str, float] | None = None


@dataclass(frozen=True)
class Weighing:
    """Hold the weights of a run's accepted samples by id, and the figures behind them."""

    samples: Mapping[str, Weighed]
    figures: Json
    doubts: Mapping[str, float] = field(default_factory=dict)
    """Entropy of each sample's label over its maximum, by sample id: given seeds and label meanings alone, or all label
    sources for real texts."""


def saved_labels(reader: Reader) -> LabelsConfig:
    """Return the run's saved config for deciding labels; the default if the run's version of synthgen had none."""
    return reader.config("labels", LabelsConfig)


def renewed(reader: Reader) -> dict[str, Settled]:
    """Return the labels of accepted samples that are now known to be different, by id.

    These are people's answers, and labels that the label model is sure of and that differ from the sample's own label.
    """
    labels = list((reader.meta("task") or {}).get("labels") or {})
    if not labels:
        return settled(reader.people_answers())
    cfg = saved_labels(reader)
    own = {sample.id: sample.label for sample in reader.samples() if sample.origin != "seed"}
    found: dict[str, Settled] = {}
    for key, worth in weighing(reader, labels, cfg).samples.items():
        before = str(own.get(key))
        if worth.labels and (now := known_label(before, worth.labels, cfg)) != before:
            found[key] = {now: 1.0}
    return found | settled(reader.people_answers())


def known_label(own: str, shares: Mapping[str, float], cfg: LabelsConfig) -> str:
    """Return the label of an accepted sample in dataset and student: its own, unless another one is likely enough."""
    best = max(shares, key=shares.__getitem__)
    return best if shares[best] >= cfg.renew else own


def weighed(reader: Reader, labels: Sequence[str], cfg: LabelsConfig, before: int = sys.maxsize) -> dict[str, Weighed]:
    """Return weight and labels of every sample accepted before a slot, by id; empty when no labels were decided."""
    return dict(weighing(reader, labels, cfg, before).samples)


def weighing(reader: Reader, labels: Sequence[str], cfg: LabelsConfig, before: int = sys.maxsize) -> Weighing:
    """Fit the label model to all samples accepted before a slot, and compute their weights. Cache the latest results.

    When no label model decided the labels (embedder `hash`, or `labels.enabled=false`), only people's answers count.
    """
    answers = reader.people_answers() if labels else []
    newest = reader.one("SELECT id FROM samples ORDER BY position DESC LIMIT 1")
    state = content_id([str(reader.path.resolve()), newest, list(labels), vars(cfg), before, list(map(list, answers))])
    if state not in _LATEST:
        while len(_LATEST) >= _KEPT:
            _LATEST.pop(next(iter(_LATEST)))
        _LATEST[state] = _weighing(reader, labels, cfg, before, settled(answers))
    return _LATEST[state]


_KEPT = 4
_LATEST: dict[str, Weighing] = {}


def _weighing(
    reader: Reader, labels: Sequence[str], cfg: LabelsConfig, before: int, answers: Mapping[str, Settled]
) -> Weighing:
    meanings = reader.meta(MEANINGS)
    annotated = [found for found in label_records(reader) if found.slot < before] if labels and meanings else []
    if not annotated:
        return Weighing({key: _answered(found) for key, found in answers.items()}, {})
    seeds = [(sample, vector) for sample, vector in reader.seeds() if vector is not None]
    known = anchors(labels, [sample for sample, _ in seeds], [vector for _, vector in seeds], np.asarray(meanings))
    decider = LabelDecider(cfg, known)
    rows = [decider.row(found) for found in annotated]
    people = {key: found for key, found in answers.items() if found is not NOT_A_SAMPLE}
    texts = as_texts(rows, labels, known.seeds.shape[1], people)
    model = fit(known, texts)
    excluded = [answers.get(found.id) is NOT_A_SAMPLE for found in annotated]
    worth = weigh(model, texts, excluded, cfg.weight)
    samples = {
        found.id: Weighed(float(weight), _shares(labels, shares))
        for found, weight, shares in zip(annotated, worth.weights, model.posterior, strict=True)
    }
    asked = texts.intents >= 0
    right = model.unaided[np.flatnonzero(asked), texts.intents[asked]]
    figures = {
        "asked_right": round(float(right.mean()), 4) if len(right) else None,
        "expected_right": round(float(model.posterior.max(1).mean()), 4),
        "relabelled": int((model.posterior.argmax(1) != known.index([found.label for found in annotated])).sum()),
        "not_as_asked": sum(
            known_label(found.label, samples[found.id].labels or {found.label: 1.0}, cfg) != found.intent
            for found in annotated
            if found.intent is not None
        ),
        "disagreement": model.disagreed._asdict() if model.disagreed is not None else None,
        "weights": worth.record,
        "people": _calibration(model.unaided, texts.people),
    }
    # A generator's errors mislead the label model, so doubts about its texts come from seeds and meanings alone.
    shares = np.where(asked[:, None], model.supported(texts.vectors), model.unaided)
    entropy = -(shares * np.log(np.maximum(shares, 1e-12))).sum(1) / np.log(len(labels))
    return Weighing(samples, figures, {found.id: float(doubt) for found, doubt in zip(annotated, entropy, strict=True)})


def _answered(found: Settled) -> Weighed:
    return Weighed(0.0) if found is NOT_A_SAMPLE else Weighed(1.0, found)


def _calibration(unaided: Floats, people: Floats | None) -> Json | None:
    """Compare the label model's own probabilities with people's answers; None when nobody has answered.

    `ece` is the expected calibration error over ten equal bins of confidence (Guo et al., ICML 2017).
    """
    if people is None:
        return None
    answered = people.sum(1) > 0
    sure = unaided[answered].max(1)
    right = (unaided[answered].argmax(1) == people[answered].argmax(1)).astype(np.float64)
    bins = np.minimum((sure * 10).astype(int), 9)
    error = sum(abs(float((sure - right)[bins == each].sum())) for each in range(10)) / len(right)
    return {"answered": len(right), "right": round(float(right.mean()), 4), "ece": round(error, 4)}


def _shares(labels: Sequence[str], shares: Floats) -> dict[str, float]:
    return {label: float(share) for label, share in zip(labels, shares, strict=True) if share >= _LEAST}
