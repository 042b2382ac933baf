"""Normal forms of text for comparing, in any script."""

import re
import unicodedata

# Python's \w leaves out combining marks, without which Hindi or Thai lose their vowels.
_MARKS = "".join(char for char in map(chr, range(0x300, 0x3100)) if unicodedata.category(char) in ("Mn", "Mc"))
_NOT_WORD = re.compile(f"(?:[^\\w{_MARKS}]|_)+")


def normalise(text: str) -> str:
    """Compatibility form, case folded, with punctuation and white space as single spaces."""
    return _NOT_WORD.sub(" ", unicodedata.normalize("NFKC", text).casefold()).strip()


def shingles(text: str, size: int) -> set[str]:
    """The runs of `size` characters of a normalised text; the whole text if it is shorter."""
    if len(text) <= size:
        return {text} if text else set()
    return {text[i : i + size] for i in range(len(text) - size + 1)}
