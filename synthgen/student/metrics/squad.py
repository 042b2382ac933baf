"""Compare short answers by SQuAD's published rule: exact match and F1 of words (Rajpurkar et al., 2016).

Case, punctuation, the English articles and white space are ignored. Text in a script without spaces is compared by
characters, as the evaluation of MLQA does (Lewis et al., 2020). In one point exact match is stricter than published:
two numbers must be equal as numbers, because the rule would take 4.80 for 480 and -5 for 5.
"""

import re
import string
import unicodedata
from collections import Counter

from synthgen.student.metrics.words import spaceless

_ARTICLES = re.compile(r"\b(a|an|the)\b")
_NUMBER = re.compile(r"[-+−]?(\d{1,3}(,\d{3})+|\d+)?(\.\d+)?")


def exact_match(reference: str, answer: str) -> float:
    """Return 1 if both texts are the same after normalisation, else 0."""
    numbers = _number(reference), _number(answer)
    if None not in numbers:
        return float(numbers[0] == numbers[1])
    return float(tokens(reference) == tokens(answer))


def f1(reference: str, answer: str) -> float:
    """Return the harmonic mean of precision and recall over words. An empty text is equal to an empty text alone."""
    true, given = tokens(reference), tokens(answer)
    if not true or not given:
        return float(true == given)
    common = (Counter(true) & Counter(given)).total()
    return 2 * common / (len(true) + len(given))


def normalised(text: str) -> str:
    """Return the text in lower case, without punctuation, articles and superfluous white space."""
    bare = "".join(char for char in text.lower() if not _is_punctuation(char))
    return " ".join(_ARTICLES.sub(" ", bare).split())


def tokens(text: str) -> list[str]:
    """Return the words of a normalised text, and each character of a script without spaces by itself."""
    return "".join(f" {char} " if spaceless(char) else char for char in normalised(text)).split()


def _is_punctuation(char: str) -> bool:
    return char in string.punctuation or (not char.isascii() and unicodedata.category(char)[0] == "P")


def _number(text: str) -> float | None:
    text = unicodedata.normalize("NFKC", text).strip().removesuffix(".")
    if not any(map(str.isdigit, text)) or not _NUMBER.fullmatch(text):
        return None
    return float(text.replace(",", "").replace("−", "-"))
