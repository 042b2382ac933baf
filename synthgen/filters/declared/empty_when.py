"""Check that a field is empty if, and only if, another field requires it, such as the answer to an unanswerable
question."""

import dataclasses
from collections.abc import Iterator
from typing import Any, ClassVar

from synthgen.filters.declared.base import Fault, Found, KeyProblem, Stage, quoted
from synthgen.filters.declared.choices import key_of_value, refuse_unknown
from synthgen.filters.declared.fields import any_place, first_beside, refuse_same
from synthgen.records import Json
from synthgen.tasks.paths import values
from synthgen.tasks.task import Task


@dataclasses.dataclass
class EmptyWhenConfig:
    field: str
    """Path to the field, such as `answer`. Empty are text without characters, an empty list or object, and null."""
    by: str
    """Path to the value that decides, such as `answerable`."""
    empty: list[Any] = dataclasses.field(default_factory=lambda: [False])
    """Values of `by` for which `field` must be empty. For all other values it must not be."""


class EmptyWhen:
    """Find fields that are empty when they should not be, or the reverse."""

    kind: ClassVar[str] = "empty_when"
    meaning: ClassVar[str] = "`field` is empty if `by` has one of the values `empty`, and only then."
    reasons: ClassVar[dict[str, str]] = {
        "not_empty": "has a value in a field that another of its values requires to be empty",
        "left_empty": "lacks a value that another of its values requires",
    }
    config: ClassVar[type[EmptyWhenConfig]] = EmptyWhenConfig
    scores: ClassVar[str] = ""
    stage: ClassVar[Stage] = "rules"

    def __init__(self, cfg: EmptyWhenConfig, task: Task) -> None:
        self._steps = any_place("field", cfg.field, task).steps
        self._by = any_place("by", cfg.by, task).steps
        self._name = cfg.by
        refuse_same("by", cfg.by, cfg.field, "the field that decides")
        if not cfg.empty:
            raise KeyProblem(
                "empty", f"names no value; write those of '{cfg.by}' for which '{cfg.field}' must be empty"
            )
        refuse_unknown("empty", cfg.empty, self._by, cfg.by, task)
        self._empty = {key_of_value(value) for value in cfg.empty}

    def faults(self, data: Json) -> Iterator[Found]:
        for path, value in values(data, self._steps):
            decides = key_of_value(first_beside(data, path, self._steps, self._by))
            is_empty = not value.strip() if isinstance(value, str) else value in (None, [], {})
            if is_empty and decides not in self._empty:
                yield Fault("left_empty", path, f"must not be empty where {self._name} is {decides}", {"by": decides})
            elif not is_empty and decides in self._empty:
                problem = f"{quoted(key_of_value(value))} must be empty where {self._name} is {decides}"
                yield Fault("not_empty", path, problem, {"by": decides})
