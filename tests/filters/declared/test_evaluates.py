"""Test sums: an exact evaluator of our own, and answers that are the value of their expression."""

from collections.abc import Callable
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from synthgen.filters.declared.arithmetic import ArithmeticProblem, evaluated
from synthgen.records import Verdict

SUM = {"kind": "evaluates", "field": "sum", "equals": "answer"}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("3 * (4 + 1)", 15),
        ("３×（４＋１）", 15),
        ("0.1 + 0.2", Fraction(3, 10)),
        ("1,200 ÷ 7", Fraction(1200, 7)),
        ("2^10 - 2**3", 1016),
        ("-7 // 2", -4),
        ("20% * 50", 10),
        ("17 % 5", 2),
        ("$4.50 x 3", Fraction(27, 2)),
        ("0.12345678901234567890123", Fraction(12345678901234567890123, 10**23)),
        ("[2 + {3}] − 007", -2),
    ],
)
def test_arithmetic_is_exact(text: str, value: Fraction | int) -> None:
    assert evaluated(text) == value


@pytest.mark.parametrize(
    "text",
    [
        "", "x + 1", "3 +", "1 / 0", "2 ** 0.5", "9**9**9", "(" * 400 + "1" + ")" * 400, "1" * 501, "10**4000",
        "__import__('os').getcwd()", "(1)(2)", "1 if 2 else 3", "[1, 2]", "1 + 1; 2", "1e999999", "2 << 99", "七加八",
        "7 ** 99999999999", "1 / 3 ** 5000",
    ],
)  # fmt: skip
def test_what_is_no_arithmetic_or_too_large_is_refused(text: str) -> None:
    with pytest.raises(ArithmeticProblem):
        evaluated(text)


@given(st.text("0123456789+-*/%().^ ", max_size=60))
def test_every_text_has_a_value_or_is_refused(text: str) -> None:
    try:
        value = evaluated(text)
    except ArithmeticProblem:
        return
    assert value.numerator.bit_length() <= 4096


@pytest.mark.parametrize(
    ("sum_", "answer", "reason"),
    [
        ("3 * 4 + 2", 14, None),
        ("3 * 4 + 2", "14", None),
        ("3 * 4 + 2", "14 apples", None),
        ("3 * 4 + 2", "一共14个苹果", None),
        ("600 * 2", "$1,200", None),
        ("600 * 2", "1.200 €", None),
        ("3 - 8", "-5 °C", None),
        ("3 * 4 = 12", 12, None),
        ("3 * 4 + 2", 18, "wrong_answer"),
        ("3 * 4 + 2", "14 of 20", "wrong_answer"),
        ("3 * 4 = 13", 12, "wrong_answer"),
        ("3 * 4 + 2", "fourteen", "wrong_answer"),
        ("10 / 3", "3.33", "wrong_answer"),
        ("three times four", 12, "not_arithmetic"),
        ("15 / (3 - 3)", 5, "not_arithmetic"),
    ],
)
def test_the_answer_is_the_value_of_the_expression(
    verdict: Callable[..., Verdict], sum_: str, answer: Any, reason: str | None
) -> None:
    assert verdict(SUM, sum=sum_, answer=answer).reason == reason


def test_a_tolerance_allows_a_rounded_answer(verdict: Callable[..., Verdict]) -> None:
    check = SUM | {"tolerance": 0.005}
    assert verdict(check, sum="10 / 3", answer="3.33").outcome == "pass"
    assert verdict(check, sum="10 / 3", answer=3.34).details["is"] == "about 3.33333"
