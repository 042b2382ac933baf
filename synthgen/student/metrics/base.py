"""Define the interface of a generator's metric, and the three forms that most metrics have."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from synthgen.records import Json
from synthgen.student.scores import Floats, class_table, precision_recall_f1

_COUNTS = 3
"""Statistics of a micro F1: the items that are right, those that are predicted, and those that are true."""


class Metric(Protocol):
    """Score answers to rows of one task."""

    @property
    def name(self) -> str: ...

    @property
    def width(self) -> int:
        """Return the number of statistics of a row."""

    def measure(self, rows: Sequence[Json], answers: Sequence[str]) -> Floats:
        """Return the statistics of every answer, of shape (width, rows)."""

    def figure(self, stats: Floats) -> float:
        """Return the metric of all rows from their statistics, of shape (width, rows)."""

    def of_row(self, stats: Floats) -> float:
        """Return the metric of one row from its statistics, of shape (width,)."""

    def details(self, stats: Floats) -> Json:
        """Return further figures of all rows."""


@dataclass(frozen=True)
class Mean:
    """Average a score of single answers."""

    name: str
    score: Callable[[Json, str], float]
    width: int = 1

    def measure(self, rows: Sequence[Json], answers: Sequence[str]) -> Floats:
        return np.asarray([[self.score(row, answer) for row, answer in zip(rows, answers, strict=True)]], dtype=float)

    def figure(self, stats: Floats) -> float:
        return float(stats[0].mean())

    def of_row(self, stats: Floats) -> float:
        return float(stats[0])

    def details(self, stats: Floats) -> Json:  # noqa: ARG002
        return {}


@dataclass(frozen=True)
class Share:
    """Compute the share of items that are found, over the items of all rows. NaN if there are no items."""

    name: str
    count: Callable[[Json, str], tuple[int, int]]
    """Function that returns the number of an answer's items that are found, and the number of all its items."""
    width: int = 2

    def measure(self, rows: Sequence[Json], answers: Sequence[str]) -> Floats:
        return np.asarray([self.count(*pair) for pair in zip(rows, answers, strict=True)], dtype=float).T.reshape(2, -1)

    def figure(self, stats: Floats) -> float:
        found, total = stats.sum(1)
        return float(found / total) if total else float("nan")

    def of_row(self, stats: Floats) -> float:
        return float(stats[0] / stats[1]) if stats[1] else 1.0

    def details(self, stats: Floats) -> Json:
        return {"counted": int(stats[1].sum())}


Items = dict[str, list[str]]
"""The items of an answer in each part of it. Two items are the same if their strings are."""


@dataclass(frozen=True)
class MicroF1:
    """Compute F1 over all items of all rows, each counted as often as it occurs.

    An answer whose items cannot be read counts as one wrong item in every part.
    """

    name: str
    parts: tuple[str, ...]
    """Parts of the answer that are counted apart."""
    counted: frozenset[str]
    """Parts that make up the figure. The others are in the details alone."""
    true: Callable[[Json], Items]
    read: Callable[[str], Items | None]
    """Function that returns the items of an answer; None if they cannot be read."""

    @property
    def width(self) -> int:
        return _COUNTS * len(self.parts)

    def measure(self, rows: Sequence[Json], answers: Sequence[str]) -> Floats:
        columns = [self._counts(row, answer) for row, answer in zip(rows, answers, strict=True)]
        return np.asarray(columns, dtype=float).reshape(-1, self.width).T

    def figure(self, stats: Floats) -> float:
        return float(precision_recall_f1(*self._totals(stats))[2])

    def of_row(self, stats: Floats) -> float:
        hit, predicted, true = self._totals(stats[:, None])
        return float(precision_recall_f1(hit, predicted, true)[2]) if predicted + true else 1.0

    def details(self, stats: Floats) -> Json:
        return {"parts": class_table(self.parts, *stats.sum(1).reshape(-1, _COUNTS).T)}

    def _totals(self, stats: Floats) -> Floats:
        counts = stats.reshape(len(self.parts), _COUNTS, -1).sum(2)
        picked = [index for index, part in enumerate(self.parts) if part in self.counted]
        return np.asarray(counts[picked].sum(0))

    def _counts(self, row: Json, answer: str) -> list[int]:
        true, read = self.true(row), self.read(answer)
        found: list[int] = []
        for part in self.parts:
            wanted = true.get(part, [])
            if read is None:
                found += [0, 1, len(wanted)]
                continue
            given, rest = read.get(part, []), list(wanted)
            for item in given:
                if item in rest:
                    rest.remove(item)
            found += [len(wanted) - len(rest), len(given), len(wanted)]
        return found
