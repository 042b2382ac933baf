"""Normal forms of text for comparing, in any script."""

import re
import unicodedata
from functools import lru_cache

# Python's \w leaves out combining marks, without which Hindi or Thai lose their vowels.
_MARKS = "".join(char for char in map(chr, range(0x300, 0x3100)) if unicodedata.category(char) in ("Mn", "Mc"))
_NOT_WORD = re.compile(f"(?:[^\\w{_MARKS}]|_)+")
_ASCII_BLANKS = str.maketrans({char: " " for char in map(chr, range(128)) if not char.isalnum()})


@lru_cache(2048)  # several checks look at one text, and look again at its turn
def normalise(text: str) -> str:
    """Compatibility form, case folded, with punctuation and white space as single spaces."""
    if text.isascii():  # what the pattern makes of it, eight times as fast
        return " ".join(text.lower().translate(_ASCII_BLANKS).split())
    return _NOT_WORD.sub(" ", unicodedata.normalize("NFKC", text).casefold()).strip()


@lru_cache(256)
def shingles(text: str, size: int) -> frozenset[str]:
    """The runs of `size` characters of a normalised text; the whole text if it is shorter."""
    if len(text) <= size:
        return frozenset([text] if text else ())
    return frozenset([text[i : i + size] for i in range(len(text) - size + 1)])
