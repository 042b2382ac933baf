"""Compute the figures, tables and answers that all students of a classification task share.

`Answers` is the interface for each form of target: one label (here), a grade (`grades`), several labels (`label_sets`).
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np

from synthgen.errors import ConfigError, RunFolderError
from synthgen.records import Json
from synthgen.student.rows import TrainingRow, label_targets
from synthgen.student.scores import Figures, Floats, Ints, class_table, confusion, log_loss, macro_figures
from synthgen.tasks.task import Task


class Answers(Protocol):
    """Turn a student's probabilities into answers and figures, for one form of target."""

    headline: str
    independent: bool
    """True when each label has a probability of its own; False when the probabilities of a row add up to 1."""
    names: list[str]
    """The labels, in the order of the columns of a student's probabilities."""

    def stratum(self, row: TrainingRow) -> str:
        """Return the stratum of a row, which folds are balanced over."""

    def targets(self, rows: Sequence[TrainingRow]) -> Floats:
        """Return the wanted probabilities, shape (rows, labels)."""

    def loss(self, probabilities: Floats, targets: Floats) -> Floats:
        """Return the loss of each row by which the regularisation is chosen, for targets of shape (rows, labels)."""

    def scores(self, probabilities: Floats) -> Floats:
        """Return the numbers from which `figures` computes the figures, one line per row."""

    def figures(self, rows: Sequence[Json], scores: Sequence[Floats]) -> Figures:
        """Return the figures of the predictions; `scores` has one array per repeat."""

    def details(self, rows: Sequence[Json], scores: Floats) -> Json:
        """Return the figures of each label for one student."""

    def answers(self, probabilities: Floats) -> list[Json]:
        """Return the answer to every row of probabilities."""


def answers_of(task: Task) -> Answers:
    """Return the answers for the target of a classification task."""
    if task.multi_labels:
        from synthgen.student.label_sets import LabelSets

        return LabelSets(task)
    if task.grades:
        from synthgen.student.grades import Grades

        return Grades(task)
    return Labels(task)


def headline_of(task: Task, figures: Sequence[str]) -> str:
    """Return the headline: the first of `task.metrics`, or the first of the figures that the student has.

    Raise ConfigError for a metric that the student does not have.
    """
    for name in task.metrics:
        if name not in figures:
            raise ConfigError(f"task.metrics: the student of task {task.name} has {', '.join(figures)}, and no {name}")
    return next(iter(task.metrics), figures[0])


def refuse_others(task: Task, names: Sequence[str], found: Sequence[str], folder: Path) -> None:
    """Raise RunFolderError if the student in `folder` was trained for other labels than the task's `names`."""
    if list(found) != list(names):
        raise RunFolderError(
            f"{folder}: the student knows the labels {', '.join(found)}, but task {task.name} has "
            f"{', '.join(names)}; train it again"
        )


class Labels:
    """Answer with the most probable label."""

    independent = False

    def __init__(self, task: Task) -> None:
        self.headline = headline_of(task, ("accuracy", "macro_f1", "macro_precision", "macro_recall"))
        self.names = list(task.labels)
        self._task = task

    def stratum(self, row: TrainingRow) -> str:
        return str(self._task.label_of(row.data))

    def targets(self, rows: Sequence[TrainingRow]) -> Floats:
        return label_targets(self._task, rows)

    def loss(self, probabilities: Floats, targets: Floats) -> Floats:
        return log_loss(probabilities, targets)

    def scores(self, probabilities: Floats) -> Floats:
        """Return the index of the predicted label of every row."""
        return np.asarray(probabilities.argmax(1), dtype=np.float64)

    def figures(self, rows: Sequence[Json], scores: Sequence[Floats]) -> Figures:
        return macro_figures(self.truth(rows), np.stack(scores).astype(np.intp), len(self.names))

    def details(self, rows: Sequence[Json], scores: Floats) -> Json:
        """Return the figures of each label and the confusion matrix (a row per true label) of one student."""
        [counts] = confusion(self.truth(rows), scores[None].astype(np.intp), len(self.names))
        return {
            "classes": class_table(self.names, counts.diagonal(), counts.sum(0), counts.sum(1)),
            "confusion": {"labels": self.names, "counts": counts.tolist()},
        }

    def answers(self, probabilities: Floats) -> list[Json]:
        """Return {label field: label, probability, probabilities} for every row of probabilities."""
        [field] = self._task.target
        return [
            {field: self.names[best], "probability": round(float(row[best]), 6), "probabilities": self.shown(row)}
            for row, best in zip(probabilities, probabilities.argmax(1).tolist(), strict=True)
        ]

    def shown(self, row: Floats) -> dict[str, float]:
        """Return the probabilities of one row by label, rounded."""
        return {label: round(float(share), 6) for label, share in zip(self.names, row, strict=True)}

    def truth(self, rows: Sequence[Json]) -> Ints:
        """Return the index of the true label of every row."""
        index = {label: number for number, label in enumerate(self.names)}
        return np.asarray([index[str(self._task.label_of(row))] for row in rows], dtype=np.intp)
