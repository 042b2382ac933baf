"""Compute the figures, tables and answers that all students of a classification task share."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from synthgen.errors import RunFolderError
from synthgen.records import Json
from synthgen.student.scores import Figures, Floats, Ints, confusion, macro_figures, per_class
from synthgen.tasks.task import Task


class Labels:
    """Hold the labels of a classification task, in the order of the columns of a student's probabilities."""

    def __init__(self, task: Task) -> None:
        self.names = list(task.labels)
        self._task = task

    def texts(self, rows: Sequence[Json]) -> list[str]:
        return [self._task.input_text(row) for row in rows]

    def figures(self, rows: Sequence[Json], scores: Sequence[Floats]) -> Figures:
        """Return the figures of predicted label indices; `scores` has one array per repeat."""
        return macro_figures(self._truth(rows), np.stack(scores).astype(np.intp), len(self.names))

    def details(self, rows: Sequence[Json], scores: Floats) -> Json:
        """Return the figures of each label and the confusion matrix (a row per true label) of one student."""
        counts = confusion(self._truth(rows), scores[None].astype(np.intp), len(self.names))
        table = per_class(counts)
        return {
            "classes": {
                label: {
                    **{name: float(table[name][0, index]) for name in ("precision", "recall", "f1")},
                    "support": int(table["support"][0, index]),
                }
                for index, label in enumerate(self.names)
            },
            "confusion": {"labels": self.names, "counts": counts[0].tolist()},
        }

    def answers(self, probabilities: Floats) -> list[Json]:
        """Return {label field: label, probability, probabilities} for every row of probabilities."""
        [field] = self._task.target
        answers = []
        for row in probabilities:
            best = int(row.argmax())
            answers.append(
                {
                    field: self.names[best],
                    "probability": round(float(row[best]), 6),
                    "probabilities": {
                        label: round(float(share), 6) for label, share in zip(self.names, row, strict=True)
                    },
                }
            )
        return answers

    def refuse_others(self, labels: Sequence[str], folder: Path) -> None:
        """Raise RunFolderError if the student in `folder` was trained for other labels than the task's."""
        if list(labels) != self.names:
            raise RunFolderError(
                f"{folder}: the student knows the labels {', '.join(labels)}, but task {self._task.name} has "
                f"{', '.join(self.names)}; train it again"
            )

    def _truth(self, rows: Sequence[Json]) -> Ints:
        index = {label: number for number, label in enumerate(self.names)}
        return np.asarray([index[str(self._task.label_of(row))] for row in rows], dtype=np.intp)
