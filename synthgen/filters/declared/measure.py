"""Measure texts of any script: words, lengths that are fair between scripts, sentences.

A script without spaces between words is measured by its characters. A Chinese word has about 1.7 of them, so a character
counts as 0.6 words. An English word has about 4.7 letters, so a Chinese character counts as three letters.
"""

import re
from functools import lru_cache

from synthgen.tasks.normal import folded
from synthgen.tasks.scripts import UNSPACED, letters_in, words_in

_MARK = "\u0300-\u036f\u0591-\u05c7\u0610-\u061a\u064b-\u065f\u0900-\u0903\u093a-\u094f\u0962\u0963"
_TOKEN = re.compile(f"[{UNSPACED}]|(?:(?![{UNSPACED}])[^\\W_]|[{_MARK}])+(?:['’](?:(?![{UNSPACED}])[^\\W_])+)*")
_UNSPACED = re.compile(f"[{UNSPACED}]")
# A full stop after three or more letters, and before anything but a lower-case letter, does not end an abbreviation.
_END = re.compile(
    r"""(?:(?<=\w{3})[.…]|[!?؟।])+["'”’»)\]]*(?=\s+[^\sa-z]|\s*$)|[。！？…；]+["”’»」』）]*|\n+""",
)


@lru_cache(1024)
def tokens(text: str) -> tuple[str, ...]:
    """Return the words of a text and each character of a script without spaces, in the form `folded`."""
    return tuple(_TOKEN.findall(folded(text)))


def is_unspaced(token: str) -> bool:
    return bool(_UNSPACED.match(token))


def length_in_words(text: str) -> float:
    """Return the number of words; of a script without spaces, an estimate from its characters."""
    return sum(words_in(token) if is_unspaced(token) else 1.0 for token in tokens(text))


def length_in_characters(text: str) -> float:
    """Return the number of letters and digits, without spaces and punctuation. Chinese characters count threefold."""
    return sum(letters_in(token) if is_unspaced(token) else float(len(token)) for token in tokens(text))


def sentences(text: str) -> list[str]:
    """Return the sentences and lines of a text that have at least two letters or digits."""
    parts, start = [], 0
    for end in _END.finditer(text):
        parts.append(text[start : end.end()])
        start = end.end()
    parts.append(text[start:])
    return [part.strip() for part in parts if sum(map(str.isalnum, part)) >= 2]
