"""Wrap text to the width of a terminal, in which East Asian characters take two columns."""

import re
from collections.abc import Iterator

from rich.cells import cell_len

from synthgen.safety.untrusted import clean
from synthgen.tasks.scripts import UNSPACED

# Must not begin a line: closing marks, small kana and the mark of a long vowel, iteration marks, and Thai vowels and tones
# that follow their consonant.
_CLOSING = (
    "、。，．：；？！）」』】》〉〕｝］…”’·・～%％℃"
    "ぁぃぅぇぉっゃゅょゎァィゥェォッャュョヮヵヶー々ゝゞヽヾ゛゜"
    "\u0e30-\u0e3a\u0e45-\u0e4e\u0300-\u036f"
)
# Must not end a line: opening marks, and Thai vowels that precede their consonant.
_OPENING = "（「『【《〈〔｛［“‘￥\u0e40-\u0e44"
# Match a piece that must not be broken: a character of a script without spaces with these marks around it; a run of spaces;
# or any other text up to one of these.
_PIECES = re.compile(
    rf"[{_OPENING}]*(?![{_OPENING}{_CLOSING}])[{UNSPACED}][{_CLOSING}]*|[{_CLOSING}]+|\s+"
    rf"|[{_OPENING}]*[^\s{UNSPACED}{_CLOSING}{_OPENING}]+[{_CLOSING}]*|[{_OPENING}]+"
)
_TAB = "    "


def wrapped(text: str, width: int, indent: str = "") -> list[str]:
    """Return the lines of `text`, each at most `width` columns wide. All lines but the first begin with `indent`.

    Line breaks are kept. Control characters are shown by name.
    """
    lines: list[str] = []
    for paragraph in clean(text).replace("\t", _TAB).split("\n"):
        line = indent if lines else ""
        for piece in _pieces(paragraph, width - cell_len(indent)):
            if cell_len(line + piece) > width and line.strip():
                lines.append(line.rstrip())
                line = indent
                if piece.isspace():
                    continue
            line += piece
        lines.append(line.rstrip())
    return lines


def _pieces(text: str, width: int) -> Iterator[str]:
    """Yield the pieces of a line. Cut a piece that is wider than the line."""
    for match in _PIECES.finditer(text):
        piece = match.group()
        while cell_len(piece) > width:
            cut = next(end for end in range(len(piece), 0, -1) if cell_len(piece[:end]) <= width)
            yield piece[:cut]
            piece = piece[cut:]
        yield piece
