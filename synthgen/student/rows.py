"""Define the rows to train on: a sample with its weight and its label probabilities.

It depends on the task's labels and on no model.
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
    """Weight of the row in the loss, relative to other rows; 0 leaves it out."""
    soft: Mapping[str, float] | None = None
    """For classification: the probability of each label. It replaces the label in `data`."""
    synthetic: bool = False
    """True if a model wrote the row, False if a person did."""
    sample: bool = True
    """True if the row is an input as the student will get it, and may be held out to measure the student. A label row
    is not."""

    def __post_init__(self) -> None:
        if not 0 <= self.weight < float("inf"):
            raise InputError(f"training row {self.data}: its weight is {self.weight}; it must be 0 or more")
        if self.soft is not None and (
            not all(share >= 0 for share in self.soft.values()) or not sum(self.soft.values())
        ):
            raise InputError(f"training row {self.data}: its label probabilities {self.soft} are not probabilities")


def as_rows(task: Task, rows: Sequence[Json | TrainingRow], synthetic: bool = False) -> list[TrainingRow]:
    """Turn plain samples into training rows, marked `synthetic` or not. Leave out rows of weight 0.

    Raise InputError for probabilities of labels that the task does not have.
    """
    found = [row if isinstance(row, TrainingRow) else TrainingRow(row) for row in rows]
    for row in found:
        if unknown := set(row.soft or ()) - set(task.labels):
            raise InputError(f"training row {row.data}: task {task.name} has no label '{min(unknown)}'")
    return [replace(row, synthetic=row.synthetic or synthetic) for row in found if row.weight > 0]


def label_rows(task: Task, weight: float) -> list[TrainingRow]:
    """Return a row for each label of a classification task, with its name and meaning as input.

    Return no rows if `weight` is 0, and for pairs of texts, because a meaning is no pair. A person wrote the names and
    meanings in the task file. With few seeds, they carry more information about a label than one more seed would.
    """
    if not weight or task.kind != "classification" or task.is_pair:
        return []
    [field, *_], [target] = task.input, task.target
    return [
        TrainingRow({field: text, target: [label] if task.multi_labels else task.labelled({}, label)[target]}, weight,
                    sample=False)
        for label, text in task.label_texts.items()
    ]  # fmt: skip


def as_json(row: TrainingRow) -> Json:
    """Return a value that is equal for rows with the same effect on a training."""
    extras = {"weight": row.weight, "soft": row.soft and dict(row.soft)}
    return row.data if row.weight == 1 and row.soft is None else {"data": row.data, **extras}


def merged(rows: Sequence[TrainingRow]) -> list[TrainingRow]:
    """Return each sample once, with the total weight of its copies."""
    weights: Counter[str] = Counter()
    first: dict[str, TrainingRow] = {}
    for row in rows:
        key = content_id([row.data, row.soft and dict(row.soft)])
        weights[key] += row.weight  # type: ignore[assignment]  # Counter is typed for integers
        first.setdefault(key, row)
    return [replace(row, weight=float(weights[key])) for key, row in first.items()]


def label_targets(task: Task, rows: Sequence[TrainingRow]) -> Floats:
    """Return label probabilities of shape (rows, labels); every row adds up to 1."""
    index = {label: number for number, label in enumerate(task.labels)}
    out = np.zeros((len(rows), len(index)))
    for number, row in enumerate(rows):
        for label, share in (row.soft or {str(task.label_of(row.data)): 1.0}).items():
            out[number, index[label]] = share
    return np.asarray(out / out.sum(1, keepdims=True), dtype=np.float64)


def weights_of(rows: Sequence[TrainingRow]) -> Floats:
    """Return the rows' weights, scaled to a mean of 1."""
    weights = np.asarray([row.weight for row in rows], dtype=np.float64)
    return np.asarray(weights / weights.mean(), dtype=np.float64)


def balance(targets: Floats, counts: Floats) -> Floats:
    """Return a factor for every row, so that all labels get the same total weight."""
    mass = (targets * counts[:, None]).sum(0)
    factors = np.divide(mass.sum() / (mass > 0).sum(), mass, out=np.zeros_like(mass), where=mass > 0)
    return np.asarray(targets @ factors, dtype=np.float64)
