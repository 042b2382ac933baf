"""Parse JSON text, and locate its faults and values.

Python's parser does the parsing. The walk through the tokens here runs only if a row has a problem to
locate. It uses no recursion, because a row may nest deeper than Python's stack.
"""

import json
import re
from collections.abc import Iterator
from functools import partial
from typing import Any, NamedTuple

from synthgen.records import parse_json
from synthgen.tasks.rows import limits
from synthgen.tasks.rows.located import Path, Place, Problems, Row

_TOKEN = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"|[{}\[\],:]|[^\s{}\[\],:"]+', re.S)


class JsonError(ValueError):
    """Report text that is not usable JSON. `offset` is the first wrong character; `syntax` marks a syntax error."""

    def __init__(self, offset: int, cause: str, syntax: bool = False) -> None:
        super().__init__(cause)
        self.offset, self.syntax = offset, syntax


def parse(text: str) -> Any:
    """Parse JSON strictly, so that other programs read the same value. Raise JsonError for any other text."""
    if text.count("{") + text.count("[") > limits.DEPTH and (deep := _too_deep(text)) is not None:
        raise JsonError(deep, f"not usable JSON: nested deeper than {limits.DEPTH} levels; flatten it")
    try:
        return parse_json(text)
    except json.JSONDecodeError as error:
        if "\0" in text:
            raise JsonError(text.index("\0"), "a NUL byte; save the file as UTF-8") from None
        raise JsonError(error.pos, f"not JSON: {error.msg}", syntax=True) from None
    except ValueError as error:
        raise (_fault(text) or JsonError(0, f"not usable JSON: {error}")) from None


def parse_row(text: str, start: Place, problems: Problems, cure: str) -> Row | None:
    """Parse the object in `text`, which begins at `start`. Report a problem and return None if it is no object."""
    try:
        data = parse(text)
    except JsonError as fault:
        problems.add(place(text, fault.offset, start), f"{fault}; {cure}" if fault.syntax else str(fault))
        return None
    first = place(text, len(text) - len(text.lstrip()), start) if text[0] != "{" else start
    if not isinstance(data, dict):
        problems.add(first, f"{_A[type(data)]}, not an object; {cure}")
        return None
    return Row(data, first, partial(_find, text, start))


_A = {
    list: "an array",
    str: "a text",
    int: "a number",
    float: "a number",
    bool: "true or false",
    type(None): "null",
}


def place(text: str, offset: int, start: Place) -> Place:
    """Return the line and column of a character of `text`, whose first character is at `start`."""
    line, column = start
    assert isinstance(column, int)
    breaks = text.count("\n", 0, offset)
    return (line + breaks, offset - text.rfind("\n", 0, offset)) if breaks else (line, column + offset)


def _find(text: str, start: Place, path: Path, part: str) -> Place:
    """Return the position of the value at `path`, or of the nearest value around it, or of `part` of its text."""
    offset, found = 0, -1
    for token in _walk(text):
        if token.role != "key" and len(token.path) > found and list(path[: len(token.path)]) == token.path:
            offset, found = token.offset, len(token.path)
            if found == len(path):
                break
    inside = text.find(part, offset) if part else -1
    return place(text, max(inside, offset), start)


class _Token(NamedTuple):
    offset: int
    text: str
    role: str  # key, value or open
    path: list[str | int]  # the walk changes this list; copy it to keep it


def _walk(text: str) -> Iterator[_Token]:
    """Yield the keys and values of a text in order. `path` leads to the value, or to the object of a key."""
    path: list[str | int] = []
    kinds: list[str] = []  # of the containers that are open, { or [
    key = False
    for match in _TOKEN.finditer(text):
        token = match.group()
        if token in "}]":
            if kinds:
                kinds.pop()
                path.pop()
        elif token == ",":
            key = bool(kinds) and kinds[-1] == "{"
            if kinds and kinds[-1] == "[" and isinstance(path[-1], int):
                path[-1] += 1
        elif token == ":":
            key = False
        elif key and token[0] == '"':
            yield _Token(match.start(), token, "key", path[:-1])
            path[-1] = _unescaped(token)
        else:
            opens = token in "{["
            yield _Token(match.start(), token, "open" if opens else "value", path)
            if opens:
                kinds.append(token)
                path.append(0 if token == "[" else "")
                key = token == "{"


def _unescaped(token: str) -> str:
    try:
        return str(json.loads(token))
    except ValueError:
        return token


def _too_deep(text: str) -> int | None:
    """Return the offset of the bracket that exceeds the allowed depth."""
    depth = 0
    for match in _TOKEN.finditer(text):
        if match.group() in "{[":
            depth += 1
            if depth > limits.DEPTH:
                return match.start()
        elif match.group() in "}]":
            depth -= 1
    return None


def _fault(text: str) -> JsonError | None:
    """Return the fault, with its offset, that `parse_json` refuses in a text with valid JSON syntax."""
    seen: dict[tuple[str | int, ...], set[str]] = {}
    for token in _walk(text):
        if token.role == "open":
            seen[tuple(token.path)] = set()
            continue
        try:
            value = parse_json(token.text)
        except ValueError as error:
            cure = "" if token.text[0] == '"' else "; write a number that other programs read, or leave the field out"
            return JsonError(token.offset, f"not usable JSON: {error}{cure}")
        if token.role == "key":
            keys = seen[tuple(token.path)]
            if value in keys:
                return JsonError(
                    token.offset, f"not usable JSON: the key {value!r} appears twice in one object; keep one of them"
                )
            keys.add(value)
    return None
