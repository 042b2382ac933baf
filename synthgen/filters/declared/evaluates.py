"""Check that the answer to a sum is the value of the expression that the sample gives for it."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, ClassVar

from synthgen.filters.declared.arithmetic import ArithmeticProblem, evaluated
from synthgen.filters.declared.base import Fault, Found, KeyProblem, Stage, quoted
from synthgen.filters.declared.fields import any_place, first_beside, refuse_same, string_place
from synthgen.filters.declared.numbers import Readings, numbers
from synthgen.records import Json
from synthgen.tasks.paths import strings
from synthgen.tasks.task import Task


@dataclass
class EvaluatesConfig:
    field: str
    """Path to the expression, such as `3 * (4 + 1)` or `3 × 4 = 12`. Both sides of an equation must have one value."""
    equals: str
    """Path to the answer: a number, or a text with one number, such as `$1,200`."""
    tolerance: float = 0.0
    """Most difference between the value and the answer. 0 compares exactly; use 0.005 for answers with two decimals."""


class Evaluates:
    """Find expressions whose value is not the answer. They are evaluated exactly, in rational numbers."""

    kind: ClassVar[str] = "evaluates"
    meaning: ClassVar[str] = "The arithmetic expression in `field` has the value in `equals`."
    reasons: ClassVar[dict[str, str]] = {
        "not_arithmetic": "has an expression that is not arithmetic with a value",
        "wrong_answer": "has an answer that is not the value of its expression",
    }
    config: ClassVar[type[EvaluatesConfig]] = EvaluatesConfig
    scores: ClassVar[str] = ""
    stage: ClassVar[Stage] = "rules"

    def __init__(self, cfg: EvaluatesConfig, task: Task) -> None:
        self._steps = string_place("field", cfg.field, task).steps
        refuse_same("equals", cfg.equals, cfg.field, "the field of the answer")
        place = any_place("equals", cfg.equals, task)
        if place.kinds and not place.kinds & {"string", "number", "integer", "other"}:
            raise KeyProblem("equals", f"'{cfg.equals}' is neither a number nor text")
        if cfg.tolerance < 0:
            raise KeyProblem("tolerance", f"must be 0 or more, got {cfg.tolerance}")
        self._answer = place.steps
        self._cfg = cfg

    def faults(self, data: Json) -> Iterator[Found]:
        for path, text in strings(data, self._steps):
            try:
                sides = [evaluated(side) for side in text.split("=")]
            except ArithmeticProblem as error:
                yield Fault("not_arithmetic", path, f"{quoted(text)} is not an expression: {error}", {"value": text})
                continue
            answer = first_beside(data, path, self._steps, self._answer)
            wanted = _readings(answer)
            wrong = [side for side in sides if not any(self._equal(side, reading) for reading in wanted)]
            if wrong:
                problem = f"{quoted(text)} is {_in_words(wrong[0])}, and {self._cfg.equals} is {answer!r}"
                details = {"is": _in_words(wrong[0]), "given": answer}
                yield Fault("wrong_answer", path, problem, details)

    def _equal(self, value: Fraction, answer: Fraction) -> bool:
        return abs(value - answer) <= Fraction(repr(self._cfg.tolerance))


def _readings(answer: Any) -> Readings:
    """Return the readings of a number, or of the only number in a text; empty when there is none or more than one."""
    if isinstance(answer, bool):
        return frozenset()
    if isinstance(answer, int | float):
        return frozenset([Fraction(repr(answer))]) if math.isfinite(answer) else frozenset()
    if not isinstance(answer, str):
        return frozenset()
    try:
        found = frozenset([evaluated(answer)])
    except ArithmeticProblem:
        found = frozenset()
    written = list(numbers(answer))
    if len(written) != 1:
        return found
    before = answer[: answer.find(written[0][0])].rstrip(" $€£¥")
    sign = -1 if before.endswith(("-", "−")) else 1
    return found | {sign * reading for reading in written[0][1]}


def _in_words(value: Fraction) -> str:
    """Return a value as a whole number, a decimal, or a fraction where the decimal does not end."""
    if value.denominator == 1:
        return str(value.numerator) if abs(value.numerator) < 10**30 else f"{float(value.numerator):.3g}"
    decimal = f"{float(value):.6g}" if abs(value) < 10**300 else "a huge number"
    return decimal if Fraction(decimal) == value else f"about {decimal}"
