"""Compute the figures and answers of a student that gives a text all labels that fit it.

Each label has a probability of its own, and a text gets the labels whose probability is one half or more, within the
least and the most that the schema allows.
"""

from collections.abc import Sequence

import numpy as np

from synthgen.records import Json
from synthgen.student.labels import headline_of
from synthgen.student.rows import TrainingRow
from synthgen.student.scores import Figures, Floats, Ints, class_table, precision_recall_f1
from synthgen.tasks.task import Task


class LabelSets:
    """Answer with a list of labels."""

    independent = True

    def __init__(self, task: Task) -> None:
        self.headline = headline_of(task, ("micro_f1", "macro_f1", "subset_accuracy"))
        [self._field] = task.target
        self._task = task
        self.names = list(task.multi_labels)
        schema = task.schema["properties"][self._field]
        self._least = int(schema.get("minItems", 0))
        self._most = int(schema.get("maxItems", len(self.names)))

    def stratum(self, row: TrainingRow) -> str:
        return ", ".join(self._task.labels_of(row.data))

    def targets(self, rows: Sequence[TrainingRow]) -> Floats:
        """Return 1 for every label that a row has, else 0; shape (rows, labels)."""
        return self._truth([row.data for row in rows])

    def loss(self, probabilities: Floats, targets: Floats) -> Floats:
        """Return one minus the F1 of each row's answer.

        The log loss prefers flat probabilities where seeds are few, and then hardly any label reaches one half.
        """
        answers = self.scores(probabilities)
        return np.asarray(1 - 2 * (answers * targets).sum(1) / np.maximum(answers.sum(1) + targets.sum(1), 1))

    def scores(self, probabilities: Floats) -> Floats:
        """Return 1 for every label of each answer, else 0; shape (rows, labels)."""
        ranks = (-probabilities).argsort(1, kind="stable").argsort(1, kind="stable")
        return ((ranks < self._least) | ((probabilities >= 0.5) & (ranks < self._most))).astype(np.float64)

    def figures(self, rows: Sequence[Json], scores: Sequence[Floats]) -> Figures:
        return set_figures(self._truth(rows), np.stack(scores))

    def details(self, rows: Sequence[Json], scores: Floats) -> Json:
        """Return the figures of each label for one student."""
        truth = self._truth(rows)
        return {"classes": class_table(self.names, (truth * scores).sum(0), scores.sum(0), truth.sum(0))}

    def answers(self, probabilities: Floats) -> list[Json]:
        """Return {label field: labels, probabilities} for every row of probabilities."""
        return [
            {
                self._field: [label for label, is_chosen in zip(self.names, chosen, strict=True) if is_chosen],
                "probabilities": {label: round(float(share), 6) for label, share in zip(self.names, row, strict=True)},
            }
            for row, chosen in zip(probabilities, self.scores(probabilities), strict=True)
        ]

    def _truth(self, rows: Sequence[Json]) -> Floats:
        own = [set(self._task.labels_of(row)) for row in rows]
        return np.asarray([[float(label in labels) for label in self.names] for labels in own]).reshape(
            len(rows), len(self.names)
        )


def set_figures(truth: Floats, predicted: Floats) -> Figures:
    """Return micro_f1, macro_f1 and subset_accuracy, averaged over the repeats, as in scikit-learn with 0 / 0 as 0.

    `truth` (rows, labels) and `predicted` (repeats, rows, labels) are 1 for a label of the row, else 0.
    """
    hits = predicted * truth[None]
    exact = (predicted == truth[None]).all(2)

    def figures(rows: Ints) -> dict[str, float]:
        hit, guessed, support = hits[:, rows].sum(1), predicted[:, rows].sum(1), truth[rows].sum(0)[None]
        micro = precision_recall_f1(hit.sum(1), guessed.sum(1), support.sum(1))[2]
        macro = precision_recall_f1(hit, guessed, support)[2].mean(1)
        return {
            "micro_f1": float(micro.mean()),
            "macro_f1": float(macro.mean()),
            "subset_accuracy": float(exact[:, rows].mean()),
        }

    return figures
