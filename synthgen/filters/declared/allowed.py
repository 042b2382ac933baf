"""Check that a value is one of those that another value of the sample allows, such as the slots of an intent."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

from synthgen.filters.declared.base import Fault, Found, Stage, quoted
from synthgen.filters.declared.choices import key_of_value, lists_in, refuse_unknown
from synthgen.filters.declared.fields import any_place, first_beside, refuse_same
from synthgen.records import Json
from synthgen.tasks.paths import values
from synthgen.tasks.task import Task


@dataclass
class AllowedConfig:
    field: str
    """Path to the value, such as `slots[].slot` or `events[].arguments[].role`."""
    by: str
    """Path to the value that decides which are allowed, such as `intent` or `events[].type`."""
    values: dict[str, Any]
    """The allowed values for each value of `by`, such as `{play_music: [artist, song]}`. A value of `by` that is not
    listed here allows all."""


class Allowed:
    """Find values that another value of the sample does not allow."""

    kind: ClassVar[str] = "allowed"
    meaning: ClassVar[str] = "Each value of `field` is one of those that `values` lists for the value of `by`."
    reasons: ClassVar[dict[str, str]] = {"not_allowed": "has a value that another of its values does not allow"}
    config: ClassVar[type[AllowedConfig]] = AllowedConfig
    scores: ClassVar[str] = ""
    stage: ClassVar[Stage] = "rules"

    def __init__(self, cfg: AllowedConfig, task: Task) -> None:
        self._steps = any_place("field", cfg.field, task).steps
        self._by = any_place("by", cfg.by, task).steps
        refuse_same("by", cfg.by, cfg.field, "the field that decides what is allowed")
        self._allowed = lists_in("values", cfg.values, "{value of `by`: [value of `field`, ...]}")
        refuse_unknown("values", self._allowed, self._by, cfg.by, task)
        for each in self._allowed.values():
            refuse_unknown("values", each, self._steps, cfg.field, task)
        self._name = cfg.by

    def faults(self, data: Json) -> Iterator[Found]:
        for path, value in values(data, self._steps):
            decides = key_of_value(first_beside(data, path, self._steps, self._by))
            allowed = self._allowed.get(decides)
            if allowed is not None and value not in allowed:
                choices = ", ".join(map(key_of_value, allowed)) or "none"
                problem = f"{quoted(key_of_value(value))} is not allowed where {self._name} is {decides}; it allows: {choices}"
                yield Fault("not_allowed", path, problem, {"value": value, "by": decides})
