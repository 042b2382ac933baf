"""Split text of any script into words. rouge-score's own tokenizer drops all characters outside ASCII."""

import unicodedata
from functools import cache

_SPACELESS = {"CJK", "HIRAGANA", "KATAKANA", "THAI", "LAO", "KHMER", "MYANMAR"}


def words(text: str) -> list[str]:
    """Return case-folded words: runs of letters, digits and marks. In scripts without spaces every letter is a word."""
    tokens: list[str] = []
    inside = False
    for char in unicodedata.normalize("NFKC", text).casefold():
        kind = unicodedata.category(char)[0]
        if kind not in "LNM":
            inside = False
        elif inside and (kind == "M" or not (spaceless(char) or spaceless(tokens[-1][0]))):
            tokens[-1] += char
        else:
            tokens.append(char)
            inside = True
    return tokens


@cache
def spaceless(char: str) -> bool:
    """Return True for a character of a script that puts no spaces between words."""
    return unicodedata.name(char, "").split(" ", 1)[0] in _SPACELESS


def spaceless_share(text: str) -> float:
    """Return the share of such characters among the letters and digits."""
    letters = [char for char in text if char.isalnum()]
    return sum(map(spaceless, letters)) / max(len(letters), 1)
