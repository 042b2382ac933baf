"""Check that the strings of one field occur in another field, word for word, such as the entities of an extraction task.

The comparison includes case and spaces. It does not count: a string that is listed twice may occur in the text once.
"""

import dataclasses
from collections.abc import Iterator
from typing import ClassVar

from synthgen.filters.declared.base import Fault, Found, Stage, quoted
from synthgen.filters.declared.fields import PathPairs, Paths, as_list, refuse_same, string_steps
from synthgen.records import Json
from synthgen.tasks.normal import stands_in
from synthgen.tasks.task import Task


@dataclasses.dataclass
class SpansConfig:
    field: Paths
    """Path or paths to the strings, such as `entities[].text` or `[trigger.text, "arguments[].text"]`."""
    inside: Paths = dataclasses.field(metadata={"key": "in"})
    """Path or paths to the text. Each string must occur in one of them."""


class Spans:
    """Find strings of one field that do not occur in another field."""

    kind: ClassVar[str] = "spans"
    meaning: ClassVar[str] = "Each string of `field` occurs in the field `in`, word for word."
    reasons: ClassVar[dict[str, str]] = {"no_span": "has a string that does not occur in its text word for word"}
    config: ClassVar[type[SpansConfig]] = SpansConfig
    scores: ClassVar[str] = ""
    stage: ClassVar[Stage] = "rules"

    def __init__(self, cfg: SpansConfig, task: Task) -> None:
        self._pairs = PathPairs(string_steps("field", cfg.field, task), string_steps("in", cfg.inside, task))
        self._in = " or ".join(as_list("in", cfg.inside))
        refuse_same("in", cfg.inside, cfg.field, "the field that must contain the strings")

    def faults(self, data: Json) -> Iterator[Found]:
        for path, value, texts in self._pairs(data):
            if not any(stands_in(value, text) for text in texts):
                problem = f"{quoted(value)} does not occur in {self._in} word for word"
                yield Fault("no_span", path, problem, {"value": value, "in": self._in})
