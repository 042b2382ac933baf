"""Check that two fields differ, or that the strings of one list differ from each other."""

import dataclasses
from collections.abc import Iterator
from typing import ClassVar

from synthgen.filters.declared.base import Fault, Found, KeyProblem, Path, Stage, quoted
from synthgen.filters.declared.fields import PathPairs, refuse_same, string_place, string_steps
from synthgen.records import Json
from synthgen.tasks.normal import comparable
from synthgen.tasks.paths import ITEMS, strings, written
from synthgen.tasks.task import Task


@dataclasses.dataclass
class DistinctConfig:
    field: str
    """Path to the text, such as `rejected` or `options[]`."""
    other: str = dataclasses.field(default="", metadata={"key": "from"})
    """Path to the text that it must differ from; by default the other strings of `field`."""


class Distinct:
    """Find texts that equal another text in all but case, width, punctuation and simplified or traditional characters."""

    kind: ClassVar[str] = "distinct"
    meaning: ClassVar[str] = (
        "`field` and `from` differ in more than case, width, punctuation and simplified or traditional characters. Without "
        "`from`, the strings of `field` differ from each other."
    )
    reasons: ClassVar[dict[str, str]] = {"not_distinct": "has two equal texts that should differ"}
    config: ClassVar[type[DistinctConfig]] = DistinctConfig
    scores: ClassVar[str] = ""
    stage: ClassVar[Stage] = "rules"

    def __init__(self, cfg: DistinctConfig, task: Task) -> None:
        self._steps = string_place("field", cfg.field, task).steps
        self._other = cfg.other
        self._pairs: PathPairs | None = None
        if cfg.other:
            refuse_same("from", cfg.other, cfg.field, "the field that it must differ from, or leave `from` out")
            self._pairs = PathPairs([self._steps], string_steps("from", cfg.other, task))
        elif ITEMS not in self._steps:
            raise KeyProblem(
                "from", f"is missing, and '{cfg.field}' is a single text; name the field it must differ from"
            )

    def faults(self, data: Json) -> Iterator[Found]:
        if self._pairs is not None:
            for path, text, others in self._pairs(data):
                if any(comparable(text) == comparable(other) for other in others):
                    yield Fault("not_distinct", path, f"{quoted(text)} equals {self._other}", {"from": self._other})
            return
        first: dict[tuple[Path, str], Path] = {}
        for path, text in strings(data, self._steps):
            group = path[: _last_index(path)]
            earlier = first.setdefault((group, comparable(text)), path)
            if earlier is not path:
                name = written(earlier)
                yield Fault("not_distinct", path, f"{quoted(text)} equals {name}", {"from": name})


def _last_index(path: Path) -> int:
    """Return the position of the last index of a path, so that strings are compared within their own list."""
    return max(place for place, key in enumerate(path) if isinstance(key, int))
