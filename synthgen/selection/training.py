"""Split a run's samples into training, validation and left-out ones, in the same way for export, student and summary."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from synthgen.errors import RunFolderError
from synthgen.labels.answers import as_answered
from synthgen.labels.pool import renewed
from synthgen.ledger import Reader, Vector
from synthgen.records import PAIR, Json, Sample
from synthgen.selection.choice import Embedded, choose
from synthgen.selection.config import SelectConfig
from synthgen.tasks.seeds import stratified_split


@dataclass(frozen=True)
class TrainingSamples:
    """Hold a run's samples by their use (training, validation, left out), each list in order of acceptance."""

    seeds: list[Sample]
    train: list[Sample]
    validation: list[Sample]
    left_out: list[Sample]
    """Samples that were accepted and not selected."""


def training_samples(reader: Reader, cfg: SelectConfig, validation_share: float, seed: int) -> TrainingSamples:
    """Split a ledger's samples by use; `validation_share` of every label is held out.

    No sample of a pair (strategy `contrast`) is held out: a near-copy of it with another label is in the training part.
    Raise RunFolderError if the selection needs vectors that the ledger lacks.
    """
    seeds, chosen, left_out = _parted(reader, cfg)
    paired = {each for sample in chosen if PAIR in sample.given for each in (sample.id, sample.given[PAIR])}
    alone = [sample for sample in chosen if sample.id not in paired]
    _, rows = stratified_split([sample.label for sample in alone], validation_share, seed)
    held = {alone[row].id for row in rows}
    train, validation = ([sample for sample in chosen if (sample.id in held) is part] for part in (False, True))
    return TrainingSamples(seeds, train, validation, left_out)


def selection(reader: Reader, cfg: SelectConfig) -> Json:
    """Return the selection's figures for summary.json: `selected` of `from` accepted samples."""
    _, chosen, left_out = _parted(reader, cfg)
    by_label = Counter(sample.label for sample in chosen if sample.label is not None)
    return {
        **vars(cfg),
        "from": len(chosen) + len(left_out),
        "selected": len(chosen),
        "by_label": dict(sorted(by_label.items())),
    }


def saved_config(reader: Reader) -> SelectConfig:
    """Return the run's selection config, or the default for ledgers of versions without one."""
    return reader.config("select", SelectConfig)


def _parted(reader: Reader, cfg: SelectConfig) -> tuple[list[Sample], list[Sample], list[Sample]]:
    """Return seeds, selected samples and the other accepted samples, with their current labels.

    A sample that people marked as no sample of the task is not selected.
    """
    task = reader.meta("task") or {}
    field = task["target"][0] if task.get("labels") else None
    stored = list(reader.embedded_samples())
    accepted, dropped = as_answered(_of("synthetic", [sample for sample, _ in stored]), renewed(reader), field)
    if cfg.method == "none":
        return _of("seed", [sample for sample, _ in stored]), accepted, dropped
    vectors = {sample.id: vector for sample, vector in stored}
    seeds = _embedded([pair for pair in stored if pair[0].origin == "seed"])
    embedded = _embedded([(sample, vectors[sample.id]) for sample in accepted])
    chosen = set(choose(cfg, seeds, embedded)) if accepted else set()
    parts: tuple[list[Sample], list[Sample]] = [], dropped
    for row, sample in enumerate(accepted):
        parts[row not in chosen].append(sample)
    return list(seeds.samples), *parts


def _of(origin: str, samples: Sequence[Sample]) -> list[Sample]:
    return [sample for sample in samples if sample.origin == origin]


def _embedded(pairs: Sequence[tuple[Sample, Vector | None]]) -> Embedded:
    vectors = [vector for _, vector in pairs if vector is not None]
    if len(vectors) < len(pairs):
        raise RunFolderError(
            f"the ledger lacks the vectors of {len(pairs) - len(vectors)} samples, and a selection needs them; "
            "run synthgen resume to compute them again, or set select.method=none select.size=null"
        )
    return Embedded([sample for sample, _ in pairs], np.stack(vectors) if vectors else np.empty((0, 1), np.float32))
