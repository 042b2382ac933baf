"""Measure texts of any script: words, lengths that are fair between scripts, sentences.

A script without spaces between words is measured by its characters. A Chinese word has about 1.7 of them, so a character
counts as 0.6 words. An English word has about 4.7 letters, so a Chinese character counts as three letters.
"""

import re
import unicodedata
from functools import lru_cache

_HAN = "\u2e80-\u2fdf\u3005-\u3007\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
_KANA = "\u3040-\u30ff\u31f0-\u31ff\uff66-\uff9f"
_THAI = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff"
"""Match Thai, Lao, Burmese and Khmer, which put no spaces between words either."""
UNSPACED = f"[{_HAN}{_KANA}{_THAI}]"
_MARK = "\u0300-\u036f\u0591-\u05c7\u0610-\u061a\u064b-\u065f\u0900-\u0903\u093a-\u094f\u0962\u0963"
_TOKEN = re.compile(f"{UNSPACED}|(?:(?!{UNSPACED})[^\\W_]|[{_MARK}])+(?:['’](?:(?!{UNSPACED})[^\\W_])+)*")
_UNSPACED = re.compile(UNSPACED)
_WEIGHTS = tuple((re.compile(f"[{chars}]"), words, letters)
                 for chars, words, letters in ((_HAN, 0.6, 3.0), (_KANA, 0.4, 2.0), (_THAI, 0.2, 1.0)))  # fmt: skip
# A full stop after three or more letters, and before anything but a lower-case letter, does not end an abbreviation.
_END = re.compile(
    r"""(?:(?<=\w{3})[.…]|[!?؟।])+["'”’»)\]]*(?=\s+[^\sa-z]|\s*$)|[。！？…；]+["”’»」』）]*|\n+""",
)


@lru_cache(1024)
def tokens(text: str) -> tuple[str, ...]:
    """Return the words of a text, case folded and in NFKC form, and each character of a script without spaces."""
    return tuple(_TOKEN.findall(unicodedata.normalize("NFKC", text).casefold()))


def is_unspaced(token: str) -> bool:
    return bool(_UNSPACED.match(token))


def length_in_words(text: str) -> float:
    """Return the number of words; of a script without spaces, an estimate from its characters."""
    return sum(_weight(token, 0) if is_unspaced(token) else 1.0 for token in tokens(text))


def length_in_characters(text: str) -> float:
    """Return the number of letters and digits, without spaces and punctuation. Chinese characters count threefold."""
    return sum(_weight(token, 1) if is_unspaced(token) else float(len(token)) for token in tokens(text))


def _weight(token: str, column: int) -> float:
    return next((weights[column] for pattern, *weights in _WEIGHTS if pattern.match(token)), 1.0)


def sentences(text: str) -> list[str]:
    """Return the sentences and lines of a text that have at least two letters or digits."""
    parts, start = [], 0
    for end in _END.finditer(text):
        parts.append(text[start : end.end()])
        start = end.end()
    parts.append(text[start:])
    return [part.strip() for part in parts if sum(map(str.isalnum, part)) >= 2]
