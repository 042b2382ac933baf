"""Evaluate arithmetic exactly, without Python's eval: numbers, + - * / // % ** and brackets, in rational numbers.

The size of the expression, of exponents and of every intermediate value is limited, so that no text of a generator
takes long.
"""

import ast
import re
import unicodedata
from fractions import Fraction

_LONGEST = 500
_BITS = 4096
"""Most bits of the numerator and of the denominator of a value."""
_SIGNS = str.maketrans({"×": "*", "⋅": "*", "·": "*", "∙": "*", "÷": "/", "−": "-", "–": "-", "∕": "/", "[": "(", "]": ")",
                        "{": "(", "}": ")"})  # fmt: skip
_THOUSANDS = re.compile(r"(?<=\d),(?=\d{3}(?!\d))")
_PERCENT = re.compile(r"(\d)\s*%(?!\s*[\d(])")
_TIMES = re.compile(r"(?<=[\d)])\s*[xX]\s*(?=[\d(])")
_CURRENCY = re.compile(r"[$€£¥](?=\s*\d)")
_ALLOWED = re.compile(r"[\d\s.+\-*/%()]*")
_ZERO = re.compile(r"(?<![\d.])0+(?=\d)")


class ArithmeticProblem(ValueError):  # noqa: N818  # a caller turns it into a fault with the place of the value
    """Report that a text is not an arithmetic expression with a value."""


def evaluated(text: str) -> Fraction:
    """Return the exact value of an expression such as `3 × (4 + 1,000)`. Raise ArithmeticProblem when it has none."""
    source = _plain(text)
    if len(source) > _LONGEST:
        raise ArithmeticProblem(f"it has more than {_LONGEST} characters")
    if not source or not _ALLOWED.fullmatch(source):
        raise ArithmeticProblem("it holds something other than numbers, + - * / // % ** and brackets")
    try:
        tree = ast.parse(source, mode="eval")
        return _value(tree.body, source)
    except (SyntaxError, RecursionError, MemoryError) as error:
        raise ArithmeticProblem("it is not a complete expression") from error
    except ZeroDivisionError as error:
        raise ArithmeticProblem("it divides by zero") from error


def _plain(text: str) -> str:
    """Return an expression in Python's form."""
    source = unicodedata.normalize("NFKC", text).translate(_SIGNS).replace("^", "**")
    source = _CURRENCY.sub("", _THOUSANDS.sub("", source))
    source = _TIMES.sub("*", _PERCENT.sub(r"\1/100", source))
    return " ".join(_ZERO.sub("", source).split())


def _value(node: ast.expr, source: str) -> Fraction:
    match node:
        case ast.Constant(value=int() | float()):  # read from the source, because a float would round 0.1
            return _small(Fraction(source[node.col_offset : node.end_col_offset]))
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return -_value(operand, source)
        case ast.UnaryOp(op=ast.UAdd(), operand=operand):
            return _value(operand, source)
        case ast.BinOp(left=left, op=operator, right=right):
            return _small(_combined(operator, _value(left, source), _value(right, source)))
    raise ArithmeticProblem("it holds something other than numbers, + - * / // % ** and brackets")


def _combined(operator: ast.operator, left: Fraction, right: Fraction) -> Fraction:
    match operator:
        case ast.Add():
            return left + right
        case ast.Sub():
            return left - right
        case ast.Mult():
            return left * right
        case ast.Div():
            return left / right
        case ast.FloorDiv():
            return Fraction(left // right)
        case ast.Mod():
            return left % right
        case ast.Pow():
            return _power(left, right)
    raise ArithmeticProblem("it uses an operator other than + - * / // % **")


def _power(base: Fraction, exponent: Fraction) -> Fraction:
    if exponent.denominator != 1:
        raise ArithmeticProblem("it has an exponent that is not a whole number")
    bits = max(base.numerator.bit_length(), base.denominator.bit_length())
    if abs(exponent) * bits > _BITS:
        raise ArithmeticProblem("a power in it is too large")
    return Fraction(base ** int(exponent))


def _small(value: Fraction) -> Fraction:
    if max(value.numerator.bit_length(), value.denominator.bit_length()) > _BITS:
        raise ArithmeticProblem("a value in it is too large")
    return value
