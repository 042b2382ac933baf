"""Read the labels of a classification task, whose samples have one label, a grade, or several labels.

It reads the schema of the target field, and the meanings that the task gives. `synthgen.tasks.task` holds the result.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from synthgen.errors import ConfigError
from synthgen.records import Json


@dataclass(frozen=True)
class LabelSpace:
    """Hold the labels of a task, each with its meaning or an empty text. It is empty for a task without labels."""

    single: Mapping[str, str] = field(default_factory=dict)
    """Labels of which a sample has exactly one. Grades are written as text, in ascending order."""
    grades: tuple[int, ...] = ()
    """The labels as numbers, where they are grades."""
    several: Mapping[str, str] = field(default_factory=dict)
    """Labels of which a sample has a list."""


def read_labels(target: Sequence[str], schema: Json, meanings: Mapping[str, str]) -> LabelSpace:
    """Return the labels of a classification task. Raise ConfigError for a target without a list of labels."""
    if len(target) != 1:
        raise ConfigError("task.target: classification has exactly one target field, the label")
    part, where = schema["properties"][target[0]], f"task.schema.properties.{target[0]}"
    several = part.get("type") == "array"
    if several:
        items = part.get("items")
        part, where = items if isinstance(items, dict) else {}, f"{where}.items"
    enum = part.get("enum")
    where = f"{where}.enum"
    if not isinstance(enum, list) or len(enum) < 2:
        raise ConfigError(f"{where}: classification needs a list of at least two labels")
    graded = part.get("type") == "integer" and not several
    for label in enum:
        _check_label(label, graded, where)
    if len(set(enum)) != len(enum):
        raise ConfigError(f"{where}: the same label is listed twice")
    if target[0] not in schema.get("required", []):
        raise ConfigError(f"task.schema.required: must name '{target[0]}'; every sample needs its label")
    labels = [str(label) for label in (sorted(enum) if graded else enum)]
    for label in meanings:
        if label not in labels:
            raise ConfigError(f"task.labels: '{label}' is not one of the labels in {where}")
    found = {label: meanings.get(label, "") for label in labels}
    if several:
        return LabelSpace(several=found)
    return LabelSpace(single=found, grades=tuple(sorted(enum)) if graded else ())


def _check_label(label: Any, graded: bool, where: str) -> None:
    if graded:
        if not isinstance(label, int) or isinstance(label, bool):
            raise ConfigError(f"{where}: the grade {label!r} is not a whole number; remove it, or its quotes")
    elif not isinstance(label, str) or not label.strip():
        cure = ", or set type: integer for grades" if isinstance(label, int) and not isinstance(label, bool) else ""
        raise ConfigError(f'{where}: the label {label!r} is not text; put it in quotes ("{label}"){cure}')
