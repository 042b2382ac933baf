"""Make untrusted text safe to show. HTML and terminal colours are left to other modules.

Seeds, generated text, error bodies and model names may hold terminal escapes, invisible
characters or overrides of the writing direction. In documents a visible mark replaces each of them
(`clean`). For terminals they are removed (`printable`).
"""

import json
import re
from itertools import chain
from typing import Any

# Control characters except tab and newline, lone surrogates, line separators, direction marks, embeddings,
# overrides and isolates, invisible operators, the byte-order mark and the tag characters. The
# joiners U+200C and U+200D are kept, because Persian and emoji need them.
_HIDDEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u00ad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"
    "\ud800-\udfff\U000e0000-\U000e007f]"
)
# Characters that never belong to a text: control characters except tab and line breaks, lone surrogates, and Unicode's
# noncharacters. Format characters may belong to a text, because Persian, emoji and right-to-left scripts need them.
_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x84\x86-\x9f\ud800-\udfff\ufdd0-\ufdef\ufffe\uffff]")
_MARK = "[\u0300-\u036f\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff\ufe20-\ufe2f]"
_MARKDOWN = re.compile(r"([\\`*_{}\[\]<>#|!~$&]|^[-+=]|(?<=:)//|(?<=www)\.|@)")
_LISTED = re.compile(r"^(\d{1,9})([.)])(?=\s|$)")
_STACKED_MARKS = re.compile(f"({_MARK}{{4}}){_MARK}+")  # more than four marks would cover the neighbouring lines

# Whole escape sequences, 7-bit and 8-bit: CSI (colours, cursor), strings (OSC titles and links, DCS, APC, PM, SOS),
# and the two- and three-character ones. An unfinished sequence loses its first character in `printable`.
_ESCAPES = re.compile(
    "(?:\x1b\\[|\x9b)[0-?]*[ -/]*[@-~]"
    "|(?:\x1b[\\]PX^_]|[\x9d\x90\x98\x9e\x9f])[^\x07\x1b\x9c\n]*(?:\x07|\x1b\\\\|\x9c)"
    "|\x1b[ -/]*[0-~]"
)


def control_character(value: Any) -> str | None:
    """Return the first control character in the strings and keys of a JSON value, or None."""
    if isinstance(value, str):
        return found.group() if (found := _CONTROL.search(value)) else None
    parts = chain.from_iterable(value.items()) if isinstance(value, dict) else value if isinstance(value, list) else ()
    return next(filter(None, map(control_character, parts)), None)


def clean(text: str) -> str:
    """Replace every control or invisible character with a visible mark."""
    return _STACKED_MARKS.sub(r"\1", _HIDDEN.sub(_visible, text))


def one_line(text: str) -> str:
    """Return cleaned text on one line, for table cells and titles."""
    return " ".join(clean(text).split())


def markdown(text: str) -> str:
    """Return cleaned text on one line, escaped so that Markdown finds no markup, link or mention in it."""
    return _LISTED.sub(r"\1\\\2", _MARKDOWN.sub(r"\\\1", one_line(text)))


def escaped(json_text: str) -> str:
    """Write hidden characters of JSON as \\u escapes, which keeps the value and is safe to show."""
    return _HIDDEN.sub(_escape, json_text)


def printable(text: str, keep_lines: bool = False) -> str:
    """Remove terminal escapes, and all other characters that a terminal executes or does not show."""
    text = _STACKED_MARKS.sub(r"\1", _HIDDEN.sub(_gone, _ESCAPES.sub("", text)))
    return text if keep_lines else text.replace("\n", " ")


def _visible(match: re.Match[str]) -> str:
    """Return the code point in brackets, such as ‹U+200B›, which every font can draw."""
    return f"‹U+{ord(match.group()):04X}›"


def _escape(match: re.Match[str]) -> str:
    return json.dumps(match.group())[1:-1] if match.group() != "\x7f" else "\\u007f"


def _gone(match: re.Match[str]) -> str:
    """Return a space for a control character, which may have separated words, and nothing for a format character."""
    return " " if ord(match.group()) < 0xA0 else ""
