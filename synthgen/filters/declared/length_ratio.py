"""Check that one field has a fitting length beside another, such as a summary beside its text or a translation."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from synthgen.filters.declared.base import Fault, Found, KeyProblem, Scored, Stage
from synthgen.filters.declared.fields import PathPairs, refuse_same, string_steps
from synthgen.filters.declared.measure import length_in_characters, length_in_words
from synthgen.records import Json
from synthgen.tasks.task import Task

_UNITS = {"words": length_in_words, "characters": length_in_characters}


@dataclass
class LengthRatioConfig:
    field: str
    """Path to the text whose length is limited."""
    to: str
    """Path to the text that it is compared with."""
    min: float = 0.0
    """Least length of `field` divided by the length of `to`."""
    max: float | None = None
    """Most length of `field` divided by the length of `to`; without it there is no upper limit."""
    unit: str = "words"
    """`words` or `characters`. A Chinese character counts as 0.6 words or 3 characters, so that translations compare."""


class LengthRatio:
    """Find texts that are too short or too long beside another text."""

    kind: ClassVar[str] = "length_ratio"
    meaning: ClassVar[str] = "The length of `field` divided by the length of `to` is from `min` to `max`."
    reasons: ClassVar[dict[str, str]] = {"length_ratio": "has a text that is too short or too long beside another one"}
    config: ClassVar[type[LengthRatioConfig]] = LengthRatioConfig
    scores: ClassVar[str] = "the ratio"
    stage: ClassVar[Stage] = "rules"

    def __init__(self, cfg: LengthRatioConfig, task: Task) -> None:
        self._cfg = cfg
        self._pairs = PathPairs(string_steps("field", cfg.field, task), string_steps("to", cfg.to, task))
        refuse_same("to", cfg.to, cfg.field, "the field to compare the length with")
        if cfg.unit not in _UNITS:
            raise KeyProblem("unit", f"'{cfg.unit}' is not one of {', '.join(_UNITS)}")
        if cfg.min < 0:
            raise KeyProblem("min", f"must be 0 or more, got {cfg.min}")
        if cfg.max is not None and cfg.max <= cfg.min:
            raise KeyProblem("max", f"must be above min, which is {cfg.min}, got {cfg.max}")
        if not cfg.min and cfg.max is None:
            raise KeyProblem("max", "is missing, and min too; set at least one of them")
        self._length = _UNITS[cfg.unit]

    def faults(self, data: Json) -> Iterator[Found]:
        cfg = self._cfg
        for path, text, others in self._pairs(data):
            other = sum(map(self._length, others))
            if not other:
                continue
            ratio = round(self._length(text) / other, 4)
            if ratio < cfg.min or (cfg.max is not None and ratio > cfg.max):
                wanted = f"at least {cfg.min:g}" if ratio < cfg.min else f"at most {cfg.max:g}"
                problem = f"has {ratio:.2f} times the {cfg.unit} of {cfg.to}, and must have {wanted}"
                yield Fault("length_ratio", path, problem, {"to": cfg.to}, ratio)
            else:
                yield Scored(ratio)
