"""Define the characters of scripts that are written without spaces between words, and how long their words are."""

import re
from functools import cache

HAN = "\u2e80-\u2fdf\u3005-\u3007\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
KANA = "\u3040-\u30ff\u31f0-\u31ff\uff66-\uff9f"
THAI = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff"
"""Thai, Lao, Burmese and Khmer."""
UNSPACED = f"{HAN}{KANA}{THAI}"
"""The characters of all these scripts. Hangul is left out, because it uses spaces. Each of these constants is the inside
of a regular expression's character class."""

_WORDS = {HAN: 0.6, KANA: 0.4, THAI: 0.2}
_LETTERS = {HAN: 3.0, KANA: 2.0, THAI: 1.0}


@cache
def words_in(char: str) -> float:
    """Return the number of words that a character of such a script counts as. A Chinese word has about 1.7 characters."""
    return next((count for chars, count in _WORDS.items() if re.match(f"[{chars}]", char)), 1.0)


@cache
def letters_in(char: str) -> float:
    """Return the number of letters that a character counts as. An English word has about 4.7 letters."""
    return next((count for chars, count in _LETTERS.items() if re.match(f"[{chars}]", char)), 1.0)
