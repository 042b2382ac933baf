"""Find the JSON in an answer that contains other text or mistakes, and repair the mistakes.

json_repair proposes a reading: it takes commas too many or too few, single and unescaped quotes, unquoted keys, comments
and Python's literals. This module decides which text it reads, and accepts a reading only if it adds nothing and loses
nothing. Text that has no closing bracket is cut off, and is never completed.
"""

import functools
import itertools
import json
import re
from collections.abc import Iterator
from typing import Any

import orjson

_FENCE = re.compile(r"```[\w-]*\s*\n?(.*?)```", re.S)
_OPENING = re.compile(r"[{\[]")
_LIKE_JSON = re.compile(r"""\{\s*(?:["'“‘]|\w+\s*:)|\[\s*["'“‘{\[]""")
_MOST_PLACES = 20
_STRING_OR_BRACKET = re.compile(r'"(?:[^"\\]|\\.)*"|[{}\[\]]', re.S)
_QUOTES = "\"'“”‘’"
_COMMENT = re.compile(r"//[^\n]*|#[^\n]*|/\*.*?\*/", re.S)
_NUMBERS_AND_LITERALS = re.compile(r"\b(?:true|false|null|none)\b|\d(?:[\d_.]*e[+-]?\d+)?", re.I)


def find_json(text: str) -> Any:
    """Return the JSON value that a text is or contains, an object rather than an array. Raise ValueError if there is
    none.
    """
    found = [value for part in (*_FENCE.findall(text), text) for value in _values(part)]
    if not found:
        raise ValueError("no JSON in it")
    return next((value for value in found if isinstance(value, dict)), found[0])


def _values(text: str) -> Iterator[Any]:
    """Yield the objects and arrays in a text, from left to right, none that is inside another one."""
    place, decoder = 0, json.JSONDecoder(parse_constant=_not_json)
    for _ in range(_MOST_PLACES):
        opening = _OPENING.search(text, place)
        if opening is None:
            return
        start, place = opening.start(), opening.end()
        if not _LIKE_JSON.match(text, start):
            continue
        try:
            value, place = decoder.raw_decode(text, start)
            yield _plain_json(value)
        except (ValueError, RecursionError):
            for end in _ends(text, start):
                try:
                    value = _repaired(text[start:end])
                except ValueError:
                    continue
                place = end
                yield value
                break
            else:  # what is inside a broken value is a part of a sample, not a sample
                return


def _ends(text: str, start: int) -> list[int]:
    """Return the places where a value may end: at the bracket that closes it, and at the last closing bracket.

    The first one is wrong where an odd number of quotes is unescaped.
    """
    last = text.rfind("}" if text[start] == "{" else "]") + 1
    depth = 0
    for found in _STRING_OR_BRACKET.finditer(text, start):
        depth += {"{": 1, "[": 1, "}": -1, "]": -1}.get(found.group(), 0)
        if depth == 0:
            return [found.end()] if found.end() == last else [found.end(), last]
    return [last] if last > start else []


def _repaired(text: str) -> Any:
    """Return json_repair's reading of a text. Raise ValueError if there is none that keeps to the text."""
    from json_repair import repair_json  # imported here, because most runs need no repair

    try:
        value = repair_json(text, return_objects=True, skip_json_loads=True, strict=True)
    except RecursionError as error:
        raise ValueError("too many brackets") from error
    if not isinstance(value, dict | list) or not _keeps_to(text, value):
        raise ValueError("no faithful repair")
    return _plain_json(value)


def _plain_json(value: Any) -> Any:
    """Return a value. Raise ValueError if it cannot be written as JSON, such as a lone surrogate."""
    try:
        orjson.dumps(value)
    except TypeError as error:
        raise ValueError("cannot be written as JSON") from error
    return value


def _not_json(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON")


def _keeps_to(text: str, value: Any) -> bool:
    """Return True if a text is made of the strings of `value` in quotes, keys, numbers, literals, comments, and as many
    closing brackets as opening ones.

    Then the repair has invented no string, cut none short, and left none out.
    """
    place, between = 0, []
    for string, is_key in _strings(value):
        words = "".join(map(_spelled, string))
        quoted = rf"[{_QUOTES}]{words}[{_QUOTES}]"
        found = re.compile(rf"(?:{quoted}|(?<!\w){words})\s*:" if is_key else quoted).search(text, place)
        if found is None:
            return False
        between.append(text[place : found.start()])
        place = found.end()
    between.append(text[place:])
    rest = "".join(_COMMENT.sub("", part) for part in between)
    closed = sum(map(rest.count, "{[")) == sum(map(rest.count, "}]"))
    return closed and not re.search(r"[^\W_]", _NUMBERS_AND_LITERALS.sub("", rest))


def _strings(value: Any) -> Iterator[tuple[str, bool]]:
    """Yield the strings of a value in their order, each with True if it is a key."""
    if isinstance(value, str):
        yield value, False
    elif isinstance(value, list):
        yield from itertools.chain.from_iterable(map(_strings, value))
    elif isinstance(value, dict):
        for key, entry in value.items():
            yield key, True
            yield from _strings(entry)


@functools.cache
def _spelled(char: str) -> str:
    """Return a pattern of the ways to write a character inside a string: as it is, and as an escape."""
    if char == "\\":
        return r"""\\(?:\\|(?!["\\/bfnrtu]))"""
    if char in "/'":
        return rf"\\?{char}"
    written = json.dumps(char)[1:-1]
    return char if written == char and char.isalnum() else f"(?:{re.escape(char)}|(?i:{re.escape(written)}))"
