"""Check that the strings of one field occur in another field, word for word, such as the entities of an extraction task.

The comparison includes case and spaces. It does not count: a string that is listed twice may occur in the text once.
"""

import dataclasses
from collections.abc import Iterator
from typing import ClassVar

from synthgen.filters.declared.base import Fault, KeyProblem, quoted, string_place
from synthgen.records import Json
from synthgen.tasks.normal import stands_in
from synthgen.tasks.paths import strings
from synthgen.tasks.task import Task


@dataclasses.dataclass
class SpansConfig:
    field: str
    """Path to the strings, such as `entities[].text`."""
    inside: str = dataclasses.field(metadata={"key": "in"})
    """Path to the text that must contain them."""


class Spans:
    """Find strings of one field that do not occur in another field."""

    kind: ClassVar[str] = "spans"
    meaning: ClassVar[str] = "Each string of `field` occurs in the field `in`, word for word."
    reasons: ClassVar[dict[str, str]] = {"no_span": "has a string that does not occur in its text word for word"}
    config: ClassVar[type[SpansConfig]] = SpansConfig

    def __init__(self, cfg: SpansConfig, task: Task) -> None:
        self._wanted = string_place("field", cfg.field, task).steps
        self._text = string_place("in", cfg.inside, task).steps
        self._in = cfg.inside
        if self._wanted == self._text:
            raise KeyProblem(
                "in", f"'{cfg.inside}' is the same as `field`; name the field that must contain the strings"
            )

    def faults(self, data: Json) -> Iterator[Fault]:
        texts = [text for _, text in strings(data, self._text)]
        for path, value in strings(data, self._wanted):
            if not any(stands_in(value, text) for text in texts):
                problem = f"{quoted(value)} does not occur in {self._in} word for word"
                yield Fault("no_span", path, problem, {"value": value, "in": self._in})
