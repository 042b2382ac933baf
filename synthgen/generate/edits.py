"""Change texts by rule: swap, delete, insert and replace words, add typing errors, change case, or write words as
spoken.

The first four are those of EDA (Wei and Zou, 2019). Scripts without spaces between words are changed character by
character. Words that are `Locked` stay as they are.
"""

import random
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from num2words import num2words

from synthgen.tasks.scripts import UNSPACED

_UNSPACED = re.compile(f"[{UNSPACED}]")
_BREAK = r"(?P<broken>\s*\n\s*)"
_WORDS, _CHARACTERS = re.compile(rf"{_BREAK}|\S+"), re.compile(rf"{_BREAK}|.")
_WORD = re.compile(r"(\W*)(.*?)(\W*)", re.DOTALL)
_KEYS = ("qwertyuiop", "asdfghjkl", "zxcvbnm")
_SHORTEST = 4  # letters of a word that may be mistyped; shorter ones become unreadable
_HIGHEST = 999_999  # longer numbers are read out digit by digit, or are no numbers at all
_FULL = {
    "can't": "can not", "won't": "will not", "don't": "do not", "doesn't": "does not", "didn't": "did not",
    "isn't": "is not", "aren't": "are not", "wasn't": "was not", "weren't": "were not", "haven't": "have not",
    "hasn't": "has not", "couldn't": "could not", "wouldn't": "would not", "shouldn't": "should not", "i'm": "i am",
    "i've": "i have", "i'll": "i will", "you're": "you are", "you've": "you have", "we're": "we are",
    "we've": "we have", "they're": "they are", "it's": "it is", "that's": "that is",
}  # fmt: skip
_SHORT = {full: short for short, full in _FULL.items()}


class Locked(str):
    """Hold words of a text that no edit may touch."""


Words = list[str]


@dataclass(frozen=True)
class Material:
    """Hold the sources of words for edits."""

    vocabulary: Sequence[str]
    synonyms: Callable[[str], Sequence[str]] = lambda _: ()
    """Returns the words that may replace a word in lower case."""
    language: str = "en"


Edit = Callable[[Words, Material, random.Random], Words]


def split(text: str, locked: Iterable[tuple[int, int]] = ()) -> tuple[Words, str]:
    """Return the words and their separator; single characters if most of the text is in a script without spaces.

    Line breaks, with the spaces around them, are locked words. `locked` are more stretches of the text that stay as they
    are, each as start and end. `join` makes a text of the words.
    """
    solid = "".join(text.split())
    by_characters = bool(solid) and len(_UNSPACED.findall(solid)) > len(solid) / 2
    pieces = list((_CHARACTERS if by_characters else _WORDS).finditer(text))
    kept = sorted(locked)
    words: Words = []
    begun = ends = -1  # start and end of the locked word that the last pieces belong to
    for piece in pieces:
        touching = [end for start, end in kept if start < piece.end() and end > piece.start()]
        if touching and ends >= piece.start():
            words[-1] = Locked(text[begun : piece.end()])
            ends = max(ends, *touching)
        elif touching:
            begun, ends = piece.start(), max(touching)
            words.append(Locked(piece.group()))
        else:
            words.append(Locked(piece.group()) if piece.group("broken") else piece.group())
    return words, "" if by_characters else " "


def join(words: Words, glue: str) -> str:
    """Return the text of words that `split` returned. Line breaks stand without the separator around them."""
    text = ""
    for word in words:
        text += word if not text or text[-1].isspace() or word[:1].isspace() else glue + word
    return text


def free_words(text: str, locked: Iterable[tuple[int, int]] = ()) -> Words:
    """Return the words of a text that are not locked; see `split`."""
    return [word for word in split(text, locked)[0] if not isinstance(word, Locked)]


def times(share: float, words: Sequence[str]) -> int:
    """Return how many words an edit of this strength changes: at least one."""
    return max(1, round(share * len(words)))


def swap(words: Words, _: Material, rng: random.Random) -> Words:
    if not (free := _free(words)):
        return words
    words = words.copy()
    one, other = free[rng.randrange(len(free))], free[rng.randrange(len(free))]
    words[one], words[other] = words[other], words[one]
    return words


def delete(words: Words, _: Material, rng: random.Random) -> Words:
    if not (free := _free(words)):
        return words
    gone = free[rng.randrange(len(free))]
    return [word for place, word in enumerate(words) if place != gone] or words


def insert(words: Words, of: Material, rng: random.Random) -> Words:
    place = rng.randint(0, len(words))
    return [*words[:place], rng.choice(of.vocabulary), *words[place:]] if of.vocabulary else words


def replace(words: Words, of: Material, rng: random.Random) -> Words:
    free = _free(words)
    if not free or not of.vocabulary:
        return words
    place = free[rng.randrange(len(free))]
    return [*words[:place], rng.choice(of.vocabulary), *words[place + 1 :]]


def synonym(words: Words, of: Material, rng: random.Random) -> Words:
    """Replace a word that has synonyms by one of them."""
    options = {place: found for place in _free(words) if (found := of.synonyms(_core(words[place]).lower()))}
    if not options:
        return words
    place = rng.choice(list(options))
    return _with(words, place, rng.choice(list(options[place])))


def keyboard(words: Words, _: Material, rng: random.Random) -> Words:
    """Mistype a letter of a word: a neighbour's key, a letter twice, left out, or in the wrong order."""
    free = [place for place in _free(words) if len(core := _core(words[place])) >= _SHORTEST and _is_latin(core)]
    if not free:
        return words
    place = rng.choice(free)
    core = _core(words[place])
    at = rng.randrange(1, len(core) - 1)
    head, letter, after, tail = core[:at], core[at], core[at + 1], core[at + 2 :]
    near = rng.choice(_neighbours(letter.lower()))
    typed = rng.choice([near + after, letter + letter + after, after, after + letter])
    return _with(words, place, head + typed + tail, as_is=True)


def case(words: Words, _: Material, rng: random.Random) -> Words:
    """Write everything in lower case, or one word in capitals."""
    free = _free(words)
    if not free:
        return words
    loud = rng.choice(free) if rng.random() < 0.5 else None
    if loud is not None:
        return [word.upper() if place == loud else word for place, word in enumerate(words)]
    return [word.lower() if not isinstance(word, Locked) else word for word in words]


def spoken(words: Words, of: Material, rng: random.Random) -> Words:
    """Write a number in words, or a pair such as `do not` as one or the other way round (English)."""
    options: list[tuple[int, int, str]] = []
    free = set(_free(words))
    for place in free:
        core = _core(words[place])
        if core.isascii() and core.isdigit() and int(core) <= _HIGHEST and (read := _read_out(int(core), of.language)):
            options.append((place, place + 1, read))
        if of.language.startswith("en"):
            pair = f"{core} {_core(words[place + 1])}".lower() if place + 1 in free else ""
            if full := _FULL.get(core.lower()):
                options.append((place, place + 1, full))
            if pair in _SHORT and words[place].endswith(core):
                options.append((place, place + 2, _SHORT[pair]))
    if not options:
        return words
    start, end, said = rng.choice(sorted(options))
    tail = _parts(words[end - 1])[2]
    return [*words[:start], *_with([words[start]], 0, said, tail), *words[end:]]


EDITS: dict[str, Edit] = {
    "synonym": synonym, "insert": insert, "delete": delete, "swap": swap, "replace": replace, "keyboard": keyboard,
    "case": case, "spoken": spoken,
}  # fmt: skip
"""Every edit of words, by its name."""


def _free(words: Words) -> list[int]:
    return [place for place, word in enumerate(words) if not isinstance(word, Locked)]


def _parts(word: str) -> tuple[str, str, str]:
    """Return the punctuation before a word, the word itself, and the punctuation after it."""
    found = _WORD.fullmatch(word)
    assert found is not None
    return found.group(1), found.group(2), found.group(3)


def _core(word: str) -> str:
    return _parts(word)[1]


def _with(words: Words, place: int, core: str, tail: str | None = None, as_is: bool = False) -> Words:
    """Return the words with another core at a place, in the case of the old one."""
    before, old, after = _parts(words[place])
    if not as_is and old[:1].isupper():
        core = core.upper() if len(old) > 1 and old.isupper() else core[:1].upper() + core[1:]
    return [*words[:place], before + core + (after if tail is None else tail), *words[place + 1 :]]


def _is_latin(core: str) -> bool:
    return core.isascii() and core.isalpha()


def _neighbours(letter: str) -> str:
    """Return the letters beside a letter on a keyboard with the layout qwerty."""
    row = next(row for row, keys in enumerate(_KEYS) if letter in keys)
    at = _KEYS[row].index(letter)
    near = _KEYS[row][max(0, at - 1) : at] + _KEYS[row][at + 1 : at + 2]
    for other in (row - 1, row + 1):
        if 0 <= other < len(_KEYS):
            near += _KEYS[other][at : at + 1]
    return near


def _read_out(number: int, language: str) -> str:
    # num2words raises these for a language that it does not know, and for a number that a language cannot say. Which
    # these are, it does not tell beforehand. Such a number stays in digits.
    try:
        return str(num2words(number, lang=language.replace("-", "_")))
    except (NotImplementedError, OverflowError):
        return ""
