"""Explain common mistakes in hand-written YAML files, with the cure. PyYAML finds the mistakes."""

import re
from pathlib import Path

_ENTRY = re.compile(r"\s*(?:- +)*(?P<key>[\w.-]+):\s+(?P<value>\S.*?)(?:\s+#.*)?\s*$")
_LONGEST = 60
_RESERVED = re.compile(r"found character '([@`%])' that cannot start any token")


def in_words(problem: str, file: str, line: int, column: int) -> str:
    """Return `FILE:LINE:COLUMN: cause; cure`. `problem` is PyYAML's message; `line` and `column` start at 0."""
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
