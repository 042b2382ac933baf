"""Check texts by regular expressions. An expression that takes too long is refused before a run, and stopped during it."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import regex

from synthgen.filters.declared.base import Fault, Found, KeyProblem, Stage, quoted
from synthgen.filters.declared.fields import Paths, all_strings, string_steps
from synthgen.records import Json
from synthgen.tasks.task import Task

_SECONDS = 0.1
"""Most seconds that one search may take. The event loop waits for it."""
_TIMES = 2000
_REPEATED = ("a", "1", " ", "ab ", "a1", "1,", ".", "-", "中", '"', "(")
_ENDS = ("", "!", "\n")
"""Texts of repeated parts with such ends take exponential time with many nested repetitions."""


@dataclass
class PatternConfig:
    field: Paths
    """Path or paths to the text."""
    must: str = ""
    """Regular expression that each text must match somewhere; `^` and `$` are its beginning and end."""
    must_not: str = ""
    """Regular expression that no text may match anywhere."""


class Pattern:
    """Find texts that do not match a regular expression, or match one that they must not match."""

    kind: ClassVar[str] = "pattern"
    meaning: ClassVar[str] = (
        "Each text of `field` matches the regular expression `must`, and does not match `must_not`."
    )
    reasons: ClassVar[dict[str, str]] = {
        "pattern": "has a text that its task's pattern forbids",
        "slow_pattern": "has a text on which its task's pattern takes too long",
    }
    config: ClassVar[type[PatternConfig]] = PatternConfig
    scores: ClassVar[str] = ""
    stage: ClassVar[Stage] = "rules"

    def __init__(self, cfg: PatternConfig, task: Task) -> None:
        self._steps = string_steps("field", cfg.field, task)
        if not cfg.must and not cfg.must_not:
            raise KeyProblem("must", "is missing, and must_not too; set at least one of them")
        self._rules = [
            (_compiled(key, source), wanted)
            for key, source, wanted in (("must", cfg.must, True), ("must_not", cfg.must_not, False))
            if source
        ]

    def faults(self, data: Json) -> Iterator[Found]:
        for path, text in all_strings(data, self._steps):
            for pattern, wanted in self._rules:
                try:
                    matches = pattern.search(text, timeout=_SECONDS) is not None
                except TimeoutError:
                    problem = f"the search for {pattern.pattern} in {quoted(text)} takes more than {_SECONDS} s"
                    yield Fault("slow_pattern", path, problem, {"pattern": pattern.pattern})
                    continue
                if matches != wanted:
                    verb = "does not match" if wanted else "matches"
                    problem = f"{quoted(text)} {verb} {pattern.pattern}"
                    yield Fault("pattern", path, problem, {"pattern": pattern.pattern})


def _compiled(key: str, source: str) -> "regex.Pattern[str]":
    """Compile an expression. Raise KeyProblem when it is invalid, or takes too long on a text made to slow it down."""
    try:
        pattern = regex.compile(source)
    except regex.error as error:
        raise KeyProblem(key, f"'{source}' is not a regular expression: {error}") from error
    own = dict.fromkeys(char for char in source if char.isalnum())
    for probe in (part * _TIMES + end for part in (*_REPEATED, *own) for end in _ENDS):
        try:
            pattern.search(probe, timeout=_SECONDS)
        except TimeoutError as error:
            raise KeyProblem(
                key,
                f"'{source}' takes more than {_SECONDS} s on {quoted(probe, 12)}, a text of {len(probe):,} characters; "
                "avoid repetitions and alternatives inside a repetition, such as (a|aa)+",
            ) from error
    return pattern
