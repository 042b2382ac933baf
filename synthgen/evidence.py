"""What a ledger knows of labels: the seeds and the labels' meanings, and each accepted sample's voices.

Read to go on with a run, and after it to weigh what it accepted: then every voice is fitted once more, to all of it, so
that early samples are judged by what was learned late. See `synthgen.judge.trust`.
"""

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from synthgen.judge.noise import doubtful
from synthgen.judge.trust import Evidence, Gold, LabelTrust, TrustConfig, named_by
from synthgen.labels.answers import NOT_A_SAMPLE, settled
from synthgen.ledger import Reader, Vector
from synthgen.records import Json, Sample
from synthgen.regression import Floats

MEANINGS = "label_vectors"
"""Key of the vectors of what each label is called and means, in the task's order."""

_LEAST = 0.01
"""A label's probability below this is left out."""


def gold(labels: Sequence[str], seeds: Sequence[Sample], vectors: Sequence[Vector], meanings: npt.NDArray[Any]) -> Gold:
    """Of a classification task, whose seeds all have one of its `labels`."""
    return Gold(
        tuple(labels),
        np.stack(vectors).astype(np.float64),
        tuple(str(seed.label) for seed in seeds),
        meanings.astype(np.float64),
    )


def label_evidence(reader: Reader, latest: int = -1) -> dict[str, Evidence]:
    """Of the `latest` samples that were accepted on several voices, or of all, by id, in the order they came."""
    sql = (
        "SELECT s.id, s.slot, e.vector, c.label, s.label, t.details, l.details, k.details"
        " FROM samples s JOIN embeddings e ON e.sample_id = s.id"
        " JOIN candidates c ON c.slot = s.slot AND c.item = s.item"
        " JOIN verdicts t ON t.slot = s.slot AND t.item = s.item AND t.\"check\" = 'trust'"
        " LEFT JOIN verdicts l ON l.slot = s.slot AND l.item = s.item AND l.\"check\" = 'label'"
        " LEFT JOIN verdicts k ON k.slot = s.slot AND k.item = s.item AND k.\"check\" = 'channel'"
        " WHERE s.slot >= 0 ORDER BY s.position DESC LIMIT ?"
    )
    found = {
        key: Evidence(
            slot,
            np.frombuffer(vector, dtype=np.float32),
            intent,
            label,
            json.loads(trusted)["probabilities"],
            *(json.loads(said).get("probabilities") if said else None for said in (asked, channel)),
        )
        for key, slot, vector, intent, label, trusted, asked, channel in reader.rows(sql, (latest,))
    }
    return dict(reversed(found.items()))


def student_worth(reader: Reader) -> dict[int, Json]:
    """What the student in the loop was worth, by the slot up to which it was fitted; see `synthgen.steering`."""
    sql = "SELECT key, value FROM meta WHERE key LIKE 'feedback/%'"
    found = {int(key.partition("/")[2]): json.loads(value) for key, value in reader.rows(sql)}
    return dict(sorted(found.items()))


@dataclass(frozen=True)
class Weighed:
    """How much a sample counts in the student's loss, 0 for not at all, and with which labels; None for the one it has."""

    weight: float = 1.0
    labels: Mapping[str, float] | None = None


def saved_trust(reader: Reader) -> TrustConfig:
    """How the run was told to decide labels; the default for a run of a version that knew of no such thing."""
    return TrustConfig(**((reader.meta("config") or {}).get("judge") or {}).get("trust") or {})


def weighed(reader: Reader, labels: Sequence[str], cfg: TrustConfig, before: int = sys.maxsize) -> dict[str, Weighed]:
    """Of every sample accepted before a slot whose label several voices decided, by its id; empty where none was.

    Samples that confident learning finds mislabelled have no weight. What people say of a sample takes the place of
    everything else.
    """
    return _weighed(reader, labels, cfg, before) | (_by_people(reader) if labels else {})


def _by_people(reader: Reader) -> dict[str, Weighed]:
    """Return the weight and labels of each sample that people answered: theirs, in full."""
    return {
        key: Weighed(0.0) if found is NOT_A_SAMPLE else Weighed(1.0, found)
        for key, found in settled(reader.people_answers()).items()
    }


def _weighed(reader: Reader, labels: Sequence[str], cfg: TrustConfig, before: int) -> dict[str, Weighed]:
    """Return the weight and labels of each sample that the label sources of the run decided."""
    evidence = {key: found for key, found in label_evidence(reader).items() if found.slot < before}
    meanings = reader.meta(MEANINGS)
    if not evidence:
        return {}
    seeds = [(sample, vector) for sample, vector in reader.seeds() if vector is not None]
    known = gold(labels, [sample for sample, _ in seeds], [vector for _, vector in seeds], np.asarray(meanings))
    trust = LabelTrust(cfg, known)
    trust.restore(evidence.values())
    fit = trust.fit(before)
    rows = [trust.row(found) for found in evidence.values()]
    vectors = np.stack([row.vector for row in rows]).astype(np.float64)
    named = {voice: named_by(rows, voice, len(labels)) for voice in fit.matrices}
    believed = fit.posterior(vectors, named)
    wrong = np.zeros(len(rows), dtype=np.bool_)
    if cfg.confident_learning:
        wrong = doubtful(known, cfg, rows, [found.label for found in evidence.values()])
    weights = np.where(wrong, 0.0, cfg.weight)
    return {
        key: Weighed(float(weight), _shares(labels, shares))
        for key, weight, shares in zip(evidence, weights, believed, strict=True)
    }


def _shares(labels: Sequence[str], shares: Floats) -> dict[str, float]:
    return {label: float(share) for label, share in zip(labels, shares, strict=True) if share >= _LEAST}
