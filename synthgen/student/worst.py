"""List the eval rows that a student answers worst, for any kind of student.

A kind that grades its answers has `row_scores`, the headline of every row by itself. Other kinds are right or wrong.
"""

from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np

from synthgen.records import Json
from synthgen.student.learner import Learner
from synthgen.student.scores import LOWER_IS_BETTER, Floats
from synthgen.student.turns import (
    ASSISTANT,
    SYSTEM,
    UNREADABLE,
    asked,
    complete,
    conversation,
    dialogue_field,
    expected,
)
from synthgen.tasks.task import Task

_BEST = 1.0


@runtime_checkable
class Graded(Protocol):
    """Grade single rows."""

    def row_scores(self, scores: Floats) -> Floats:
        """Return the headline of every row; NaN for a row that was not answered."""


def worst_rows(
    task: Task, learner: Learner, student: Any, rows: Sequence[Json], scores: Floats, count: int
) -> list[Json]:
    """Return at most `count` rows that are not fully right, as {input, expected, answer, score}, the worst first.

    A student of labels adds the `probability` of its answer. Its wrong answers have the score 0, and the most probable
    one comes first.
    """
    if isinstance(learner, Graded):
        rows = [complete(task, row) for row in rows]
        grades = learner.row_scores(scores)
        sign = -1 if learner.headline in LOWER_IS_BETTER else 1
        order = [int(index) for index in np.argsort(sign * grades, kind="stable") if not np.isnan(grades[index])]
        picked = [index for index in order if sign < 0 or grades[index] < _BEST][:count]
        answers = learner.predict(student, [rows[index] for index in picked]) if picked else []
        return [
            _row(task, rows[index], answer, float(grades[index])) for index, answer in zip(picked, answers, strict=True)
        ]
    pairs = list(zip(rows, learner.predict(student, rows), strict=True))
    wrong = [(row, answer) for row, answer in pairs if not _is_right(task, row, answer)]
    wrong.sort(key=lambda pair: -pair[1].get("probability", 0.0))
    return [_row(task, row, answer, 0.0) for row, answer in wrong[:count]]


def _is_right(task: Task, row: Json, answer: Json) -> bool:
    if task.multi_labels:  # in any order
        return task.labels_of(row) == task.labels_of(answer)
    # a field that is absent is right where the student finds nothing
    return all((answer.get(name) or None) == (row.get(name) or None) for name in task.target)


def _row(task: Task, row: Json, answer: Json, score: float) -> Json:
    shown = {"input": {name: row.get(name) for name in task.input}, "expected": {}, "answer": {}}
    field = dialogue_field(task)
    if field in task.target:
        assert field is not None
        shown["input"][field] = _spoken(task, row)
        shown["expected"][field] = [{"role": ASSISTANT, "text": expected(task, row)}]
        shown["answer"][field] = answer[field][-1:]
    else:
        shown["expected"] = {name: row.get(name) for name in task.target}
        shown["answer"] = {name: answer.get(name) for name in (*task.target, UNREADABLE) if name in answer}
    probability = {"probability": answer["probability"]} if "probability" in answer else {}
    return {**shown, "score": round(score, 4), **probability}


def _spoken(task: Task, row: Json) -> list[Json]:
    return [{"role": turn.role, "text": turn.text} for turn in asked(conversation(task, row)) if turn.role != SYSTEM]
