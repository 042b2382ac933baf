"""Explain common mistakes in hand-written YAML files, with the cure. PyYAML finds the mistakes."""

import re
from pathlib import Path

from synthgen.tasks.encodings import not_utf8

_ENTRY = re.compile(r"\s*(?:- +)*(?P<key>[\w.-]+):\s+(?P<value>\S.*?)(?:\s+#.*)?\s*$")
_LONGEST = 60
_FULL_WIDTH_KEY = re.compile(r"\s*(?:- +)*(?P<key>[^\s：:#\"'{}\[\]，]+)(?P<colon>：)")
_FULL_WIDTH = re.compile(r"[：，；]")
_PLAIN = {"：": "a colon and a blank (: )", "，": "a comma (,)", "；": "a comma (,)"}
_RESERVED = re.compile(r"found character '([@`%])' that cannot start any token")


def in_words(problem: str, file: str, line: int, column: int) -> str:
    """Return `FILE:LINE:COLUMN: cause; cure`. `problem` is PyYAML's message; `line` and `column` start at 0."""
    if (found := _full_width(problem, file, line, column)) is not None:
        at, place, said = found
        return f"{file}:{at + 1}:{place + 1}: {said}"
    return f"{file}:{line + 1}:{column + 1}: {_cause(problem, _line(file, line), column)}"


def _cause(problem: str, text: str, column: int) -> str:
    entry = _ENTRY.match(text)
    inside = entry is not None and entry.start("value") <= column  # false for a text that continues from the line above
    if "mapping values are not allowed here" in problem:
        return _to_quote(entry, "holds a colon, and YAML takes what is before it for a key") if inside else (
            "YAML takes the word before the colon for a key; put the whole text that it belongs to in quotes"
        )  # fmt: skip
    if match := _RESERVED.search(problem):
        return _to_quote(entry if inside else None, f"begins with {match.group(1)}, which YAML keeps for itself")
    if "found character '\\t'" in problem:
        return "a tab; indent with blanks"
    return f"not YAML: {problem}"


def _full_width(problem: str, file: str, line: int, column: int) -> tuple[int, int, str] | None:
    """Return line, column and message if there is a full-width colon or comma in place of YAML's own, else None.

    PyYAML notices the mistake at the next token, which may be in a later line.
    """
    if problem.startswith("expected ',' or"):
        text = _line(file, line)[:column]
        start = max(text.rfind(opening) for opening in "{[,") + 1
        if mark := _FULL_WIDTH.search(text, start):
            return line, mark.start(), f"a full-width {mark.group()} is text for YAML; write {_PLAIN[mark.group()]}"
    suspects = [line]
    if "mapping values are not allowed here" in problem or "could not find expected ':'" in problem:
        suspects += _line_above(file, line)
    for number in suspects:
        if match := _FULL_WIDTH_KEY.match(_line(file, number)):
            said = f"a full-width colon (：) follows '{match['key']}', and YAML takes it for text; write {match['key']}: VALUE"
            return number, match.start("colon"), said
    return None


def _line_above(file: str, line: int) -> list[int]:
    """Return the last line before `line` that is not blank. Return none where it is inside a longer text, by its indent."""
    text = _line(file, line)
    above = next((number for number in range(line - 1, -1, -1) if _line(file, number).strip()), None)
    if above is None or (text.strip() and _indent(_line(file, above)) > _indent(text)):
        return []
    return [above]


def _indent(text: str) -> int:
    return len(text) - len(text.lstrip())


def not_text(error: UnicodeDecodeError, folder: Path) -> str | None:
    """Return `FILE: cause; cure` for the YAML file in a folder whose bytes `error` is about; None if there is none."""
    for file in sorted(folder.rglob("*.yaml")):
        if file.is_file() and error.object in (raw := file.read_bytes()):
            line = raw[: raw.index(error.object) + error.start].count(b"\n") + 1
            return f"{file}:{line}: {not_utf8(error)}"
    return None


def _to_quote(entry: re.Match[str] | None, why: str) -> str:
    if entry is None:
        return f"a text without quotes {why}; put it in quotes"
    value = entry["value"]
    whole = value if len(value) <= _LONGEST else f"{value[:_LONGEST]}..."
    quoted = f'"{whole}"' if not re.search(r'["\\]', whole) else "'{}'".format(whole.replace("'", "''"))
    return f"the value of '{entry['key']}' {why}; put it in quotes: {entry['key']}: {quoted}"


def _line(file: str, number: int) -> str:
    """Return the line of the file, or an empty string if the file cannot be read."""
    try:
        lines = Path(file).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return ""
    return lines[number] if number < len(lines) else ""
