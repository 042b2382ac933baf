"""Read the inputs of a classification student: a text, or a pair of texts where the task has two input fields.

A pair is symmetric where the order of its texts means nothing, as in paraphrases. The student then sees both orders.
"""

from collections.abc import Sequence

from synthgen.records import Json
from synthgen.tasks.task import Task, as_text

Pair = tuple[str, str]
Inputs = list[str] | list[Pair]

TEXT, PAIR, SYMMETRIC = "text", "pair", "symmetric pair"
"""Name the forms of a student's input: one text, two texts, or two texts in either order."""


def form_of(task: Task) -> str:
    """Return the form of the input of a student of this task."""
    if not task.is_pair:
        return TEXT
    return SYMMETRIC if task.symmetric else PAIR


def inputs_of(task: Task, rows: Sequence[Json]) -> Inputs:
    """Return the text of every row, or its pair of texts."""
    if not task.is_pair:
        return [task.input_text(row) for row in rows]
    first, second = task.input
    return [(_text(row, first), _text(row, second)) for row in rows]


def swapped(inputs: Sequence[Pair]) -> list[Pair]:
    """Return every pair in the other order."""
    return [(second, first) for first, second in inputs]


def _text(row: Json, name: str) -> str:
    return as_text(row[name]) if row.get(name) is not None else ""
