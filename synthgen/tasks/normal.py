"""Normal forms of text for comparing, in any script: one for the question whether two texts are the same, one of words alone."""

import re
import unicodedata
from functools import lru_cache

# Python's \w leaves out combining marks, without which Hindi or Thai lose their vowels.
_MARKS = "".join(char for char in map(chr, range(0x300, 0x3100)) if unicodedata.category(char) in ("Mn", "Mc"))
_WORD = f"[^\\W_]|[{_MARKS}]"
_NOT_WORD = re.compile(f"(?:[^\\w{_MARKS}]|_)+")
# Invisible: format characters (zero-width ones, soft hyphens, direction marks, tags) and variation selectors.
_INVISIBLE = re.compile(
    "[\u00ad\u034f\u061c\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufe00-\ufe0f\ufeff\ufff9-\ufffb"
    "\U000e0000-\U000e01ef]+"
)
# What parts two texts beside their words: a sign between numbers (3-4, 3/4, 10:30), a minus or mark in front of a number
# (-5, #1), a sign that a word or number ends in (5%, C#), and every symbol that is no punctuation (+, =, $, emoji).
_TELLING = re.compile(
    f"(?:{_WORD})+|(?<=[0-9])\\s*[-*/.,:%^]\\s*(?=[0-9])|(?<![^\\s(])[-#](?=[0-9])|(?<=\\w)(?:\\s*%|#)|\\$"
    "|[^\\w\\s\\x00-\\x2a\\x2c-\\x3b\\x3f-\\x7f]"
)
# A word character of a script that sets spaces between words: not Chinese, Japanese or Korean.
SPACED = "[^\\W\u2e80-\ua4cf\uac00-\ud7af\uf900-\ufaff\uff66-\uff9f\U00020000-\U0003ffff]"
_SPACED = re.compile(SPACED)
_ASCII_BLANKS = str.maketrans({char: " " for char in map(chr, range(128)) if not char.isalnum()})


@lru_cache(2048)
def comparable(text: str) -> str:
    """Return the form in which two texts that say the same are equal; all comparisons of whole texts use it.

    Case, Unicode form, width, white space, punctuation and invisible characters do not count. Signs that change the
    meaning do: those of arithmetic and money, `%` and `#` behind a word, emoji. A text of punctuation alone is itself.
    """
    folded = _folded(text)
    telling = [part.strip() for part in _TELLING.findall(folded) if _counts(part)]
    return " ".join(telling) or " ".join(folded.split())


def _counts(part: str) -> bool:
    """Return False for punctuation beyond ASCII, which the pattern lets through."""
    return len(part) > 1 or part.isascii() or unicodedata.category(part)[0] != "P"


def _folded(text: str) -> str:
    """Return the compatibility form, case folded, without invisible characters."""
    if text.isascii():
        return text.lower()
    folded = _INVISIBLE.sub("", unicodedata.normalize("NFKC", text).casefold())
    return unicodedata.normalize("NFKC", folded)  # folding takes some characters apart


@lru_cache(2048)  # several checks look at one text, and look again at its turn
def normalise(text: str) -> str:
    """Return the words alone: compatibility form, case folded, with punctuation and white space as single spaces."""
    if text.isascii():  # what the pattern makes of it, eight times as fast
        return " ".join(text.lower().translate(_ASCII_BLANKS).split())
    return _NOT_WORD.sub(" ", _folded(text)).strip()


@lru_cache(256)
def shingles(text: str, size: int) -> frozenset[str]:
    """Return the runs of `size` characters of a normalised text; the whole text if it is shorter."""
    if len(text) <= size:
        return frozenset([text] if text else ())
    return frozenset([text[i : i + size] for i in range(len(text) - size + 1)])


def stands_in(part: str, text: str) -> bool:
    """Return True when `part` stands in `text` as whole words.

    Where a script has no spaces between words, anywhere counts.
    """
    begins, ends = _SPACED.match(part), _SPACED.match(part[-1:])
    start = text.find(part)
    while start >= 0:
        inside = begins and start and _SPACED.match(text[start - 1])
        if not inside and not (ends and _SPACED.match(text, start + len(part))):
            return True
        start = text.find(part, start + 1)
    return False
