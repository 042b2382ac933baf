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

from synthgen.judge.trust import Evidence, Gold, LabelTrust, TrustConfig, named_by
from synthgen.ledger import Reader, Vector
from synthgen.records import Sample
from synthgen.regression import Floats
from synthgen.task import Task

MEANINGS = "label_vectors"
"""Key of the vectors of what each label is called and means, in the task's order."""

_LEAST = 0.01
"""A label's probability below this is left out."""


def gold(task: Task, seeds: Sequence[Sample], vectors: Sequence[Vector], meanings: npt.NDArray[Any]) -> Gold:
    """Of a classification task, whose seeds all have a label."""
    return Gold(
        tuple(task.labels),
        np.stack(vectors).astype(np.float64),
        tuple(str(seed.label) for seed in seeds),
        meanings.astype(np.float64),
    )


def label_evidence(reader: Reader, latest: int = -1) -> dict[str, Evidence]:
    """Of the `latest` samples that were accepted on several voices, or of all, by id, in the order they came."""
    sql = (
        "SELECT s.id, s.slot, e.vector, c.label, t.details, l.details FROM samples s JOIN embeddings e ON e.sample_id = s.id"
        " JOIN candidates c ON c.slot = s.slot AND c.item = s.item"
        " JOIN verdicts t ON t.slot = s.slot AND t.item = s.item AND t.\"check\" = 'trust'"
        " LEFT JOIN verdicts l ON l.slot = s.slot AND l.item = s.item AND l.\"check\" = 'label'"
        " WHERE s.slot >= 0 ORDER BY s.position DESC LIMIT ?"
    )
    found = {
        key: Evidence(
            slot,
            np.frombuffer(vector, dtype=np.float32),
            intent,
            json.loads(trusted)["probabilities"],
            json.loads(asked).get("probabilities") if asked else None,
        )
        for key, slot, vector, intent, trusted, asked in reader.rows(sql, (latest,))
    }
    return dict(reversed(found.items()))


@dataclass(frozen=True)
class Weighed:
    """How much a sample counts in the student's loss, and with which labels; None for the one it has."""

    weight: float = 1.0
    labels: Mapping[str, float] | None = None


def weighed(reader: Reader, task: Task, cfg: TrustConfig, before: int = sys.maxsize) -> dict[str, Weighed]:
    """Of every sample accepted before a slot whose label several voices decided, by its id; empty where none was."""
    evidence = {key: found for key, found in label_evidence(reader).items() if found.slot < before}
    meanings = reader.meta(MEANINGS)
    if not evidence:
        return {}
    seeds = [(sample, vector) for sample, vector in reader.seeds() if vector is not None]
    known = gold(task, [sample for sample, _ in seeds], [vector for _, vector in seeds], np.asarray(meanings))
    trust = LabelTrust(cfg, known)
    trust.restore(evidence.values())
    fit = trust.fit(before)
    rows = [trust.row(found) for found in evidence.values()]
    vectors = np.stack([row.vector for row in rows]).astype(np.float64)
    named = {voice: named_by(rows, voice, len(task.labels)) for voice in fit.matrices}
    believed = fit.posterior(vectors, named)
    return {key: Weighed(cfg.weight, _shares(task, shares)) for key, shares in zip(evidence, believed, strict=True)}


def _shares(task: Task, shares: Floats) -> dict[str, float]:
    return {label: float(share) for label, share in zip(task.labels, shares, strict=True) if share >= _LEAST}
