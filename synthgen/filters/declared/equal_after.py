"""Check that two fields are equal in a normal form, such as an answer and a label that repeats it."""

import re
import string
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import ClassVar

from synthgen.filters.declared.base import Fault, Found, KeyProblem, Stage, quoted
from synthgen.filters.declared.fields import PathPairs, refuse_same, string_steps
from synthgen.records import Json
from synthgen.tasks.normal import comparable
from synthgen.tasks.task import Task

_ARTICLES = re.compile(r"\b(a|an|the)\b")
_PUNCTUATION = str.maketrans("", "", string.punctuation)


@dataclass
class EqualAfterConfig:
    field: str
    """Path to the text."""
    to: str
    """Path to the text that it must equal. One equal string is enough where there are several."""
    form: str = "text"
    """`text` ignores case, width, punctuation, repeated spaces and the difference between simplified and traditional
    characters, `squad` ignores articles, case, ASCII punctuation and spaces as
    the SQuAD metric does, and `exact` ignores nothing."""


def squad_form(text: str) -> str:
    """Return the normal form of the SQuAD metric (Rajpurkar et al. 2016)."""
    return " ".join(_ARTICLES.sub(" ", text.lower().translate(_PUNCTUATION)).split())


_FORMS: dict[str, Callable[[str], str]] = {"text": comparable, "squad": squad_form, "exact": str}


class EqualAfter:
    """Find texts that differ from another text in their normal form."""

    kind: ClassVar[str] = "equal_after"
    meaning: ClassVar[str] = "`field` equals `to` after both are brought to the form `form`."
    reasons: ClassVar[dict[str, str]] = {"not_equal": "has two texts that should be equal and are not"}
    config: ClassVar[type[EqualAfterConfig]] = EqualAfterConfig
    scores: ClassVar[str] = ""
    stage: ClassVar[Stage] = "rules"

    def __init__(self, cfg: EqualAfterConfig, task: Task) -> None:
        self._pairs = PathPairs(string_steps("field", cfg.field, task), string_steps("to", cfg.to, task))
        self._to = cfg.to
        refuse_same("to", cfg.to, cfg.field, "the field that it must equal")
        if cfg.form not in _FORMS:
            raise KeyProblem("form", f"'{cfg.form}' is not one of {', '.join(_FORMS)}")
        self._form = _FORMS[cfg.form]

    def faults(self, data: Json) -> Iterator[Found]:
        for path, text, others in self._pairs(data):
            if others and all(self._form(text) != self._form(other) for other in others):
                problem = f"{quoted(text)} is not equal to {self._to}, {quoted(others[0])}"
                yield Fault("not_equal", path, problem, {"to": self._to})
