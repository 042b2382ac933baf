"""Normalise text of any script for comparison.

`comparable` keeps all content, to find equal texts. `normalise` keeps words only.
"""

import re
import unicodedata
from collections.abc import Iterator
from functools import lru_cache

# Python's \w does not match combining marks. Without them, Hindi and Thai would lose their vowels.
_MARKS = "".join(char for char in map(chr, range(0x300, 0x3100)) if unicodedata.category(char) in ("Mn", "Mc"))
_WORD = f"[^\\W_]|[{_MARKS}]"
_NOT_WORD = re.compile(f"(?:[^\\w{_MARKS}]|_)+")
# Match invisible characters: format characters (zero-width ones, soft hyphens, direction marks, tags) and variation
# selectors.
_INVISIBLE = re.compile(
    "[\u00ad\u034f\u061c\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufe00-\ufe0f\ufeff\ufff9-\ufffb"
    "\U000e0000-\U000e01ef]+"
)
# Match words, and the signs that make two texts with equal words different: a sign between numbers (3-4, 3/4, 10:30), a
# sign before a number (-5, #1), a sign at the end of a word or number (5%, C#), and every symbol that is not punctuation
# (+, =, $, emoji).
_TELLING = re.compile(
    f"(?:{_WORD})+|(?<=[0-9])\\s*[-*/.,:%^]\\s*(?=[0-9])|(?<![^\\s(])[-#](?=[0-9])|(?<=\\w)(?:\\s*%|#)|\\$"
    "|[^\\w\\s\\x00-\\x2a\\x2c-\\x3b\\x3f-\\x7f]"
)
# Match every ASCII text that may hold such a sign, and some that hold none.
_MAY_TELL = re.compile(r"[#$%+<=>]|[0-9]\s*[-*/.,:^]\s*[0-9]|-[0-9]")
# Match a word character of a script that puts spaces between words: not Chinese, Japanese or Korean.
SPACED = "[^\\W\u2e80-\ua4cf\uac00-\ud7af\uf900-\ufaff\uff66-\uff9f\U00020000-\U0003ffff]"
_SPACED = re.compile(SPACED)
_ASCII_BLANKS = str.maketrans({char: " " for char in map(chr, range(128)) if not char.isalnum()})


@lru_cache(2048)
def comparable(text: str) -> str:
    """Return a form that is equal for two texts with the same content. Use it for all comparisons of whole texts.

    Case, Unicode form, width, white space, punctuation and invisible characters are ignored. Signs that change the
    meaning are kept: signs of arithmetic and money, `%` and `#` after a word, emoji. A text that is only punctuation is
    kept.
    """
    if text.isascii() and not _MAY_TELL.search(text) and (words := normalise(text)):
        return words  # same result as the pattern, many times as fast
    folded = _folded(text)
    telling = [part.strip() for part in _TELLING.findall(folded) if _counts(part)]
    return " ".join(telling) or " ".join(folded.split())


def _counts(part: str) -> bool:
    """Return False for punctuation outside ASCII, which the pattern also matches."""
    return len(part) > 1 or part.isascii() or unicodedata.category(part)[0] != "P"


def _folded(text: str) -> str:
    """Return the compatibility form, case folded, without invisible characters."""
    if text.isascii():
        return text.lower()
    folded = _INVISIBLE.sub("", unicodedata.normalize("NFKC", text).casefold())
    return unicodedata.normalize("NFKC", folded)  # again, because case folding decomposes some characters


@lru_cache(2048)  # several checks normalise the same text, and again when it is decided in slot order
def normalise(text: str) -> str:
    """Return only the words: NFKC form and case folded, with single spaces for punctuation and white space."""
    if text.isascii():  # same result as the pattern, eight times as fast
        return " ".join(text.lower().translate(_ASCII_BLANKS).split())
    return _NOT_WORD.sub(" ", _folded(text)).strip()


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
    return next(places_of(part, text), None) is not None


def places_of(part: str, text: str) -> Iterator[int]:
    """Yield the index of each occurrence of `part` in `text` as whole words; see `stands_in`."""
    begins, ends = _SPACED.match(part), _SPACED.match(part[-1:])
    start = text.find(part)
    while start >= 0:
        inside = begins and start and _SPACED.match(text[start - 1])
        if not inside and not (ends and _SPACED.match(text, start + len(part))):
            yield start
        start = text.find(part, start + 1)
