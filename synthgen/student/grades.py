"""Compute the figures and answers of a student that grades a text on a scale of whole numbers.

The student gives every grade a probability. Its answer is the median of this distribution, which has the lowest
expected distance to the true grade. Two grades next to each other are confused at less cost than two far apart.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from synthgen.records import Json
from synthgen.student.labels import Labels, headline_of
from synthgen.student.rows import TrainingRow
from synthgen.student.scores import Figures, Floats, Ints, confusion
from synthgen.tasks.task import Task

_ROUNDING = 1e-9
"""Slack for a cumulative probability of one half that rounding puts just below it."""


class Grades:
    """Answer with the median grade."""

    independent = False

    def __init__(self, task: Task) -> None:
        self.headline = headline_of(task, ("mae", "spearman", "quadratic_kappa"))
        [self._field] = task.target
        self._labels = Labels(replace(task, metrics=()))
        self._grades = list(task.grades)
        self._values = np.asarray(task.grades, dtype=np.float64)
        self.names = self._labels.names

    def stratum(self, row: TrainingRow) -> str:
        return self._labels.stratum(row)

    def targets(self, rows: Sequence[TrainingRow]) -> Floats:
        return self._labels.targets(rows)

    def loss(self, probabilities: Floats, targets: Floats) -> Floats:
        """Return the distance between the answer and the true grade, which is the headline.

        The log loss prefers flat probabilities where seeds are few, and their median is always the middle grade.
        """
        apart = np.abs(self._values[self._median(probabilities)][:, None] - self._values[None, :])
        return np.asarray((apart * targets).sum(1), dtype=np.float64)

    def scores(self, probabilities: Floats) -> Floats:
        """Return the index of the median grade, and the expected grade, of every row; shape (rows, 2)."""
        return np.stack([self._median(probabilities).astype(np.float64), probabilities @ self._values], axis=1)

    def figures(self, rows: Sequence[Json], scores: Sequence[Floats]) -> Figures:
        """Return the mean absolute error, Spearman's rank correlation and the quadratic kappa.

        The rank correlation is that of the expected grades, because whole grades have many ties. The other two are of
        the answers.
        """
        found = np.stack(scores)
        return grade_figures(self._values, self._labels.truth(rows), found[:, :, 0].astype(np.intp), found[:, :, 1])

    def details(self, rows: Sequence[Json], scores: Floats) -> Json:
        return self._labels.details(rows, scores[:, 0])

    def answers(self, probabilities: Floats) -> list[Json]:
        """Return {grade field: grade, expected, probabilities} for every row of probabilities."""
        return [
            {
                self._field: self._grades[best],
                "expected": round(float(row @ self._values), 6),
                "probabilities": self._labels.shown(row),
            }
            for row, best in zip(probabilities, self._median(probabilities).tolist(), strict=True)
        ]

    def _median(self, probabilities: Floats) -> Ints:
        below = (probabilities.cumsum(1) < 0.5 - _ROUNDING).sum(1)
        return np.asarray(np.minimum(below, len(self._grades) - 1), dtype=np.intp)


def grade_figures(values: Floats, truth: Ints, predicted: Ints, expected: Floats) -> Figures:
    """Return mae, spearman and quadratic_kappa, averaged over the repeats.

    `values` are the grades in ascending order. `truth` (rows,) and `predicted` (repeats, rows) are indices of grades,
    and `expected` (repeats, rows) are expected grades. A figure of constant grades is NaN, as in SciPy.
    """
    apart = np.square(values[:, None] - values[None, :])
    errors = np.abs(values[predicted] - values[truth][None, :])

    def figures(rows: Ints) -> dict[str, float]:
        return {
            "mae": float(errors[:, rows].mean()),
            "spearman": float(np.mean([_spearman(truth[rows], each[rows]) for each in expected])),
            "quadratic_kappa": float(np.mean(_kappa(confusion(truth[rows], predicted[:, rows], len(values)), apart))),
        }

    return figures


def _spearman(truth: Ints, expected: Floats) -> float:
    """Return Spearman's rank correlation; NaN where one side is constant."""
    from scipy.stats import rankdata

    one, other = rankdata(truth), rankdata(expected)
    if np.ptp(one) == 0 or np.ptp(other) == 0:
        return float("nan")
    return float(np.corrcoef(one, other)[0, 1])


def _kappa(counts: Ints, apart: Floats) -> Floats:
    """Return the weighted kappa (Cohen, 1968) of confusion counts (repeats, grades, grades) with squared distances."""
    chance = counts.sum(2)[:, :, None] * counts.sum(1)[:, None, :] / np.maximum(counts.sum((1, 2)), 1)[:, None, None]
    expected = (chance * apart).sum((1, 2))
    observed = (counts * apart).sum((1, 2))
    return np.where(expected > 0, 1 - observed / np.where(expected > 0, expected, 1.0), np.nan)
