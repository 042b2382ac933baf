"""Check that the strings of one field are among the strings of another, such as the arguments of a relation."""

import dataclasses
from collections.abc import Iterator
from typing import ClassVar

from synthgen.filters.declared.base import Fault, Found, Stage, quoted
from synthgen.filters.declared.fields import PathPairs, Paths, as_list, refuse_same, string_steps
from synthgen.records import Json
from synthgen.tasks.task import Task


@dataclasses.dataclass
class MemberConfig:
    field: Paths
    """Path or paths to the strings, such as `["relations[].head", "relations[].tail"]`."""
    of: Paths
    """Path or paths to the strings that they are taken from, such as `entities[].text`."""


class Member:
    """Find strings that are not among the strings of another field."""

    kind: ClassVar[str] = "member"
    meaning: ClassVar[str] = "Each string of `field` equals one of the strings of `of`, character by character."
    reasons: ClassVar[dict[str, str]] = {"no_member": "has a string that is not in the list it must come from"}
    config: ClassVar[type[MemberConfig]] = MemberConfig
    scores: ClassVar[str] = ""
    stage: ClassVar[Stage] = "rules"

    def __init__(self, cfg: MemberConfig, task: Task) -> None:
        self._pairs = PathPairs(string_steps("field", cfg.field, task), string_steps("of", cfg.of, task))
        self._of = " or ".join(as_list("of", cfg.of))
        refuse_same("of", cfg.of, cfg.field, "the field that lists the strings")

    def faults(self, data: Json) -> Iterator[Found]:
        for path, value, members in self._pairs(data):
            if value not in members:
                problem = f"{quoted(value)} is not one of {self._of}"
                yield Fault("no_member", path, problem, {"value": value, "of": self._of})
