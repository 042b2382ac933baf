"""Normalise text of any script for comparison."""

import re
import unicodedata
from functools import lru_cache

# Python's \w does not match combining marks. Without them, Hindi and Thai would lose their vowels.
_MARKS = "".join(char for char in map(chr, range(0x300, 0x3100)) if unicodedata.category(char) in ("Mn", "Mc"))
_NOT_WORD = re.compile(f"(?:[^\\w{_MARKS}]|_)+")
# Match a word character of a script that puts spaces between words: not Chinese, Japanese or Korean.
SPACED = "[^\\W\u2e80-\ua4cf\uac00-\ud7af\uf900-\ufaff\uff66-\uff9f\U00020000-\U0003ffff]"
_SPACED = re.compile(SPACED)
_ASCII_BLANKS = str.maketrans({char: " " for char in map(chr, range(128)) if not char.isalnum()})


@lru_cache(2048)  # several checks normalise the same text, and again when it is decided in slot order
def normalise(text: str) -> str:
    """Return the text in NFKC form and case folded, with single spaces for punctuation and white space."""
    if text.isascii():  # same result as the pattern, eight times as fast
        return " ".join(text.lower().translate(_ASCII_BLANKS).split())
    return _NOT_WORD.sub(" ", unicodedata.normalize("NFKC", text).casefold()).strip()


@lru_cache(256)
def shingles(text: str, size: int) -> frozenset[str]:
    """Return all substrings of `size` characters of a normalised text; the whole text if it is shorter."""
    if len(text) <= size:
        return frozenset([text] if text else ())
    return frozenset([text[i : i + size] for i in range(len(text) - size + 1)])


def stands_in(part: str, text: str) -> bool:
    """Return True when `part` occurs in `text` as whole words.

    In a script without spaces between words, it may occur anywhere.
    """
    begins, ends = _SPACED.match(part), _SPACED.match(part[-1:])
    start = text.find(part)
    while start >= 0:
        inside = begins and start and _SPACED.match(text[start - 1])
        if not inside and not (ends and _SPACED.match(text, start + len(part))):
            return True
        start = text.find(part, start + 1)
    return False
