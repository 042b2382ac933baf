"""Normalise text of any script for comparison.

`comparable` keeps all content, to find equal texts. `normalise` keeps words only. Both start from `folded`, in which
case, width and the simplified and traditional forms of Chinese characters are the same.
"""

import re
import unicodedata
from collections.abc import Callable, Iterator
from functools import cache, lru_cache
from itertools import accumulate

from synthgen.tasks.scripts import HAN, UNSPACED, letters_in

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
_HAN_RUN = re.compile(f"[{HAN}]+")
_UNSPACED = re.compile(f"[{UNSPACED}]")
_ASCII_BLANKS = str.maketrans({char: " " for char in map(chr, range(128)) if not char.isalnum()})


@lru_cache(2048)
def comparable(text: str) -> str:
    """Return a form that is equal for two texts with the same content. Use it for all comparisons of whole texts.

    Case, Unicode form, width, white space, punctuation, invisible characters and the difference between simplified and
    traditional characters are ignored. Signs that change the
    meaning are kept: signs of arithmetic and money, `%` and `#` after a word, emoji. A text that is only punctuation is
    kept.
    """
    if text.isascii() and not _MAY_TELL.search(text) and (words := normalise(text)):
        return words  # same result as the pattern, many times as fast
    plain = folded(text)
    telling = [part.strip() for part in _TELLING.findall(plain) if _counts(part)]
    return " ".join(telling) or " ".join(plain.split())


def _counts(part: str) -> bool:
    """Return False for punctuation outside ASCII, which the pattern also matches."""
    return len(part) > 1 or part.isascii() or unicodedata.category(part)[0] != "P"


def folded(text: str) -> str:
    """Return the compatibility form, case folded, with simplified characters and without invisible ones."""
    if text.isascii():
        return text.lower()
    plain = _INVISIBLE.sub("", unicodedata.normalize("NFKC", text).casefold())
    plain = unicodedata.normalize("NFKC", plain)  # again, because case folding decomposes some characters
    return _HAN_RUN.sub(lambda run: _simplifier()(run.group()), plain)


@cache
def _simplifier() -> Callable[[str], str]:
    """Return a function that writes Chinese characters in their simplified form.

    OpenCC decides by word: 乾净 becomes 干净, and 乾坤 stays. `tw2s` also knows the forms of Taiwan, such as 看著 for
    看着. Regional words, such as 軟體 for 软件, stay different. Loading takes 15 ms and 8 MB; a text takes 4 µs.
    """
    from opencc import OpenCC

    convert: Callable[[str], str] = OpenCC("tw2s").convert
    return convert


@lru_cache(2048)  # several checks normalise the same text, and again when it is decided in slot order
def normalise(text: str) -> str:
    """Return only the words: NFKC form and case folded, with single spaces for punctuation and white space."""
    if text.isascii():  # same result as the pattern, eight times as fast
        return " ".join(text.lower().translate(_ASCII_BLANKS).split())
    return _NOT_WORD.sub(" ", folded(text)).strip()


@lru_cache(256)
def shingles(text: str, size: int) -> frozenset[str]:
    """Return all substrings of `size` letters of a normalised text; the whole text if it is shorter.

    A Chinese character counts as three letters and a kana as two, because they say as much. Eight letters are three
    Chinese characters.
    """
    if text.isascii() or _UNSPACED.search(text) is None:
        if len(text) <= size:
            return frozenset([text] if text else ())
        return frozenset([text[i : i + size] for i in range(len(text) - size + 1)])
    reach = [0.0, *accumulate(map(letters_in, text))]
    found, end = [], 0
    for start in range(len(text)):
        while end < len(text) and reach[end] - reach[start] < size:
            end += 1
        if reach[end] - reach[start] < size:
            break
        found.append(text[start:end])
    return frozenset(found or [text])


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
