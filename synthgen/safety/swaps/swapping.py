"""Swap the listed words of a text. The case of a word stays, and so does everything else."""

import re
from collections.abc import Callable, Iterator, Mapping
from enum import StrEnum

from synthgen.safety.swaps import terms

_WORD = re.compile(r"[A-Za-z]+(?:'s)?")
_ZH_GENDER = re.compile(
    "(?<![其吉排维])(?:" + "|".join(sorted(map(re.escape, terms.GENDER_ZH), key=len, reverse=True)) + ")(?![人国乡命])"
)
_ZH_NAME = re.compile(f"([{terms.SURNAMES_ZH}])(" + "|".join(sorted(terms.GIVEN_ZH, key=len, reverse=True)) + ")")
_ZH_MEN = frozenset(list(terms.GIVEN_ZH)[: len(terms.GIVEN_ZH) // 2])
"""Given names of men: the first half of the mapping, because `terms` adds the other direction behind."""


class Swap(StrEnum):
    """Name the kinds of swaps."""

    PRONOUNS = "pronouns"
    NAMES = "names"
    ORIGINS = "origins"


KINDS: Mapping[Swap, str] = {
    Swap.PRONOUNS: "he and she, and words about women and men, change places (他, 她)",
    Swap.NAMES: "women and men change places (James, Mary; 王建国, 王秀英)",
    Swap.ORIGINS: "names of another origin take the place of names (James, Jamal; 王伟, 买买提)",
}


def about(text: str) -> str:
    """Return `women` or `men` for a text with words about only one of them, `both`, or `neither`."""
    words = {word.lower().removesuffix("'s") for word in _WORD.findall(text)} | set(_ZH_GENDER.findall(text))
    men, women = bool(words & terms.ABOUT_MEN), bool(words & terms.ABOUT_WOMEN)
    return "both" if men and women else "men" if men else "women" if women else "neither"


def swapped(text: str, kind: Swap) -> str:
    """Return the text with the words of a kind swapped; the same text where there are none."""
    match kind:
        case Swap.PRONOUNS:
            return _ZH_GENDER.sub(lambda hit: terms.GENDER_ZH[hit.group()], _english(text, _gendered))
        case Swap.NAMES:
            return _ZH_NAME.sub(lambda hit: hit[1] + terms.GIVEN_ZH[hit[2]], _english(text, _named(terms.NAMES_EN)))
        case Swap.ORIGINS:
            return _ZH_NAME.sub(_of_other_origin, _english(text, _named(terms.ORIGINS_EN)))


def _of_other_origin(hit: "re.Match[str]") -> str:
    return terms.ORIGINS_ZH["male" if hit[2] in _ZH_MEN else "female"]


def _english(text: str, other: Callable[[str, str], str | None]) -> str:
    """Return the text with each word replaced by `other(word, rest of the text)`, where that is not None."""
    return "".join(_parts(text, other))


def _parts(text: str, other: Callable[[str, str], str | None]) -> Iterator[str]:
    end = 0
    for hit in _WORD.finditer(text):
        word = hit.group()
        stem = word.removesuffix("'s")
        yield text[end : hit.start()]
        new = other(stem, text[hit.end() :])
        yield word if new is None else _cased(new, stem) + word[len(stem) :]
        end = hit.end()
    yield text[end:]


def _named(names: Mapping[str, str]) -> Callable[[str, str], str | None]:
    return lambda word, _: names.get(word)


def _gendered(word: str, rest: str) -> str | None:
    lower = word.lower()
    match lower:
        case "him":
            return "her"
        case "hers":
            return "his"
        case "his":
            return "her" if _possessed(rest) else "hers"
        case "her":
            return "his" if _possessed(rest) else "him"
    return terms.GENDER_EN.get(lower)


def _possessed(rest: str) -> bool:
    """Return True when the next word is a thing that somebody possesses: no end of a clause, and no word such as `and`."""
    hit = re.match(r"[ \t]+([A-Za-z]+)", rest)
    return hit is not None and hit[1].lower() not in terms.NOT_POSSESSED


def _cased(word: str, like: str) -> str:
    if like.isupper() and len(like) > 1:
        return word.upper()
    return word[0].upper() + word[1:] if like[0].isupper() else word
