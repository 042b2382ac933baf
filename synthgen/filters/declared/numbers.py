"""Read the numbers of a text in the forms that people write: 1,000 = 1000 = １０００ = 1 thousand = 一千.

A form may have several readings: 1.000 is one in English and a thousand in German. Two numbers are the same if they
share a reading.
"""

import re
import unicodedata
from collections.abc import Iterator
from fractions import Fraction

Readings = frozenset[Fraction]

_SPACES = "'’ \u00a0\u2009\u202f"
_DIGITS = re.compile(f"(?<!\\d)\\d{{1,3}}(?:[{_SPACES}]\\d{{3}})+(?!\\d)(?:[.,]\\d+)?|\\d+(?:[.,]\\d+)*")
_GROUPED = re.compile(r"\d{1,3}(?:,\d{3})+|\d{1,3}(?:\.\d{3})+")
_SCALES = {
    "thousand": 10**3, "million": 10**6, "billion": 10**9, "trillion": 10**12,
    "千": 10**3, "万": 10**4, "萬": 10**4, "百万": 10**6, "千万": 10**7, "亿": 10**8, "億": 10**8, "十亿": 10**9,
}  # fmt: skip
_SCALE = re.compile(r"\s?(" + "|".join(sorted(_SCALES, key=len, reverse=True)) + r")", re.I)
_MONTHS = {
    name: Fraction(number)
    for number, name in enumerate("jan feb mar apr may jun jul aug sep oct nov dec".split(), 1)  # noqa: SIM905
}
_TIME = re.compile(r"(?<![\d.,])(\d{1,2})\.(\d{2})(?![\d.,]*\d)")
_MONTH = re.compile(r"\b(" + "|".join(_MONTHS) + r")[a-z]*\b", re.I)
_ONES = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
    "eighteen nineteen"
)
_TENS = "twenty thirty forty fifty sixty seventy eighty ninety"
_WORDS = {word: value for value, word in enumerate(_ONES.split())} | {
    word: 10 * tens for tens, word in enumerate(_TENS.split(), 2)
}
_WORD = re.compile(r"\b(" + "|".join(sorted(_WORDS, key=len, reverse=True)) + r")\b(?:[- ](one|two|three|four|five|six|"
                   r"seven|eight|nine)\b)?(?:[- ](hundred|thousand|million|billion))?|\b(?:a|one) (hundred|thousand|million|"
                   r"billion)\b", re.I)  # fmt: skip
_ENGLISH_SCALES = {"hundred": 100, **{name: size for name, size in _SCALES.items() if name.isascii()}}
_HAN = {char: value for value, char in enumerate("零一二三四五六七八九")} | {"〇": 0, "两": 2, "兩": 2}
_UNITS = {"十": 10, "百": 100, "千": 1000}
_MYRIADS = {"万": 10**4, "萬": 10**4, "亿": 10**8, "億": 10**8}
_HAN_NUMBER = re.compile("[" + "".join([*_HAN, *_UNITS, *_MYRIADS]) + "]+")
_HAN_SHORT = re.compile("[" + "".join([*_UNITS, *_MYRIADS]) + "](?=[一二三四五六七八九]$)")
_HAN_DECIMAL = re.compile("([" + "".join([*_HAN, *_UNITS]) + "]+)[点點块塊]([" + "".join(_HAN) + "]+)")
_HAN_MINUTES = {"半": Fraction(30), "一刻": Fraction(15), "三刻": Fraction(45)}
_HAN_TIME = re.compile("[点點](" + "|".join(_HAN_MINUTES) + ")")


def numbers(text: str) -> Iterator[tuple[str, Readings]]:
    """Yield each number that is written with digits, as written and with its readings."""
    text = unicodedata.normalize("NFKC", text)
    for match in _DIGITS.finditer(text):
        found = _readings(match.group())
        if not found:  # a date or a list, such as 1,2,3
            yield from ((part, frozenset([Fraction(part)])) for part in re.split(r"\D+", match.group()))
            continue
        if scale := _SCALE.match(text, match.end()):
            found |= {value * _SCALES[scale[1].lower()] for value in found}
        yield match.group(), frozenset(found)


def all_readings(text: str) -> Readings:
    """Return every reading of every number of a text, including numbers in words, prices and times such as 两块五 and
    八点半, and the numbers of months."""
    found = {reading for _, readings in numbers(text) for reading in readings}
    text = unicodedata.normalize("NFKC", text)
    for match in _WORD.finditer(text):
        value = _WORDS[match[1].lower()] if match[1] else 1
        value += _WORDS[match[2].lower()] if match[2] else 0
        scale = match[3] or match[4]
        found |= {Fraction(value), Fraction(value * _ENGLISH_SCALES[scale.lower()] if scale else value)}
    found |= {Fraction(part) for match in _TIME.finditer(text) for part in match.groups()}
    found |= {_MONTHS[match[1].lower()] for match in _MONTH.finditer(text)}
    for match in _HAN_NUMBER.finditer(text):
        found |= {Fraction(value) for value in _han_values(match.group())}
    for match in _HAN_DECIMAL.finditer(text):
        found.add(Fraction(f"{_han_value(match[1])}.{''.join(str(_HAN[char]) for char in match[2])}"))
    found |= {_HAN_MINUTES[match[1]] for match in _HAN_TIME.finditer(text)}
    return frozenset(found)


def _readings(digits: str) -> set[Fraction]:
    """Return the readings of digits with separators; empty when they are no single number.

    `1,000` is a thousand. `1.000` is a thousand in German and one in English.
    """
    plain = re.sub(f"[{_SPACES}]", "", digits)
    if plain.isdigit():
        return {Fraction(int(plain))}
    found: set[Fraction] = set()
    if grouped := _GROUPED.fullmatch(plain):
        found.add(Fraction(int(re.sub(r"\D", "", plain))))
    for point, separator in ((".", ","), (",", ".")):
        whole, _, decimals = plain.rpartition(point)
        if not whole or not decimals.isdigit() or point in whole or (grouped and point == ","):
            continue
        if separator not in whole or _GROUPED.fullmatch(whole):
            found.add(Fraction(f"{whole.replace(separator, '')}.{decimals}"))
    return found


def _han_values(digits: str) -> set[int]:
    """Return the readings of a number in Chinese characters. 三万五 is 35000, for which people leave 千 out, or 30005."""
    found = {_han_value(digits)}
    if short := _HAN_SHORT.search(digits):
        unit = {**_UNITS, **_MYRIADS}[short.group()]
        found.add(_han_value(digits[:-1]) + _HAN[digits[-1]] * unit // 10)
    return found


def _han_value(digits: str) -> int:
    """Return the value of a number in Chinese characters: 三千五百 is 3500, 二〇二四 is 2024, 十二 is 12."""
    if not set(digits) & (set(_UNITS) | set(_MYRIADS)):
        return int("".join(str(_HAN[char]) for char in digits))
    total = section = digit = 0
    for char in digits:
        if char in _HAN:
            digit = _HAN[char]
        elif char in _UNITS:
            section += (digit or 1) * _UNITS[char]
            digit = 0
        else:
            total = (total + section + digit or 1) * _MYRIADS[char]
            section = digit = 0
    return total + section + digit
