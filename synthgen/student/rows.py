"""Rows to train on: a sample, how much it counts, and what is known of its label; and how they are parted.

Knows the task's labels; knows no model.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from synthgen.errors import InputError
from synthgen.records import Json, content_id
from synthgen.student.scores import Floats
from synthgen.tasks.task import Task


@dataclass(frozen=True)
class TrainingRow:
    """Hold one sample to train on."""

    data: Json
    weight: float = 1.0
    """How much the row counts beside others; 0 leaves it out."""
    soft: Mapping[str, float] | None = None
    """Classification: the probability of each label, in place of the certainty of the one in `data`."""
    synthetic: bool = False
    """Whether a model wrote it; a row that a person wrote is real."""
    sample: bool = True
    """Whether it is one of the inputs that the student will be asked about, and may be held out to see how it does; a
    label's name is not."""

    def __post_init__(self) -> None:
        if not 0 <= self.weight < float("inf"):
            raise InputError(f"training row {self.data}: its weight is {self.weight}; it must be 0 or more")
        if self.soft is not None and (
            not all(share >= 0 for share in self.soft.values()) or not sum(self.soft.values())
        ):
            raise InputError(f"training row {self.data}: its label probabilities {self.soft} are not probabilities")


def as_rows(task: Task, rows: Sequence[Json | TrainingRow], synthetic: bool = False) -> list[TrainingRow]:
    """Training rows of plain samples, `synthetic` or not; rows without weight are left out.

    Raises InputError for label probabilities of labels that the task does not have.
    """
    found = [row if isinstance(row, TrainingRow) else TrainingRow(row) for row in rows]
    for row in found:
        if unknown := set(row.soft or ()) - set(task.labels):
            raise InputError(f"training row {row.data}: task {task.name} has no label '{min(unknown)}'")
    return [replace(row, synthetic=row.synthetic or synthetic) for row in found if row.weight > 0]


def label_rows(task: Task, weight: float) -> list[TrainingRow]:
    """Return a row for each label of a classification task, its name and meaning as input. None without weight.

    A person wrote them in the task file, and with few seeds they say more of a label than another seed would.
    """
    if not weight or task.label_field is None:
        return []
    [field, *_] = task.input
    return [
        TrainingRow({field: text, task.label_field: label}, weight, sample=False)
        for label, text in task.label_texts.items()
    ]


def as_json(row: TrainingRow) -> Json:
    """Return a key that is equal for rows with the same training effect."""
    extras = {"weight": row.weight, "soft": row.soft and dict(row.soft)}
    return row.data if row.weight == 1 and row.soft is None else {"data": row.data, **extras}


def merged(rows: Sequence[TrainingRow]) -> list[TrainingRow]:
    """Return each sample once, with the weight of all its copies."""
    weights: Counter[str] = Counter()
    first: dict[str, TrainingRow] = {}
    for row in rows:
        key = content_id([row.data, row.soft and dict(row.soft)])
        weights[key] += row.weight  # type: ignore[assignment]  # Counter is typed for integers
        first.setdefault(key, row)
    return [replace(row, weight=float(weights[key])) for key, row in first.items()]


def label_targets(task: Task, rows: Sequence[TrainingRow]) -> Floats:
    """Shape (rows, labels): the probability of each label, a row adding up to 1."""
    index = {label: number for number, label in enumerate(task.labels)}
    out = np.zeros((len(rows), len(index)))
    for number, row in enumerate(rows):
        for label, share in (row.soft or {str(task.label_of(row.data)): 1.0}).items():
            out[number, index[label]] = share
    return np.asarray(out / out.sum(1, keepdims=True), dtype=np.float64)


def weights_of(rows: Sequence[TrainingRow]) -> Floats:
    """Return the rows' weights, 1 on average."""
    weights = np.asarray([row.weight for row in rows], dtype=np.float64)
    return np.asarray(weights / weights.mean(), dtype=np.float64)


def balance(targets: Floats, counts: Floats) -> Floats:
    """Return a factor for every row that gives all labels the same total weight."""
    mass = (targets * counts[:, None]).sum(0)
    factors = np.divide(mass.sum() / (mass > 0).sum(), mass, out=np.zeros_like(mass), where=mass > 0)
    return np.asarray(targets @ factors, dtype=np.float64)
