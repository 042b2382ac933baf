"""Measure the lexical overlap of two texts: the Dice coefficient of the character trigrams of their words.

In scripts without spaces, such as Chinese, Japanese or Thai, characters and pairs of them take the place of trigrams.

Also estimate the similarity that two texts of one label have by chance, so that a similarity can be corrected for it.
"""

import math
import re
from collections.abc import Sequence
from functools import lru_cache
from itertools import combinations, islice
from typing import NamedTuple

import numpy as np

from synthgen.diversity.metrics import Vectors, words
from synthgen.tasks.scripts import UNSPACED

_SIZE = 3
_UNSPACED = re.compile(f"[{UNSPACED}]")
_REMEMBERED = 1_024  # a text is compared with many others, at its first check and again in slot order

_USUAL = 1 / 3
_USUAL_PAIRS = 5
"""Prior: the lexical overlap of two texts of one label in most tasks, and the number of seed pairs that it counts as."""
_MOST_PAIRS = 2_000


def likeness(cosine: float, shared: float) -> float:
    """Return the similarity of two texts: the mean of cosine and lexical overlap."""
    return (cosine + shared) / 2


def corrected(found: float, expected: float) -> float:
    """Return a similarity corrected for chance: 0 for the expected one, 1 for equal texts, as kappa does (Cohen 1960)."""
    return (found - expected) / (1 - expected) if expected < 1 else 1.0


def expected_likeness(texts: Sequence[str], vectors: Vectors, labels: Sequence[str | None]) -> float:
    """Return the mean similarity of two seeds of one label. It is higher in a narrow task than in a wide one.

    The mean is shrunk towards a prior, which dominates when there are few pairs. Without labels, all seeds are compared
    with each other. As they may be of several kinds, the result is then never below the prior.
    """
    found = [
        likeness(float(np.dot(vectors[one], vectors[other])), overlap(texts[one], texts[other]))
        for one, other in _pairs(labels)
    ]
    mean = (math.fsum(found) + _USUAL_PAIRS * _USUAL) / (len(found) + _USUAL_PAIRS)
    return mean if any(label is not None for label in labels) else max(mean, _USUAL)


def expected_overlap(texts: Sequence[str], labels: Sequence[str | None]) -> float:
    """Return the mean lexical overlap of two seeds of one label, shrunk towards a prior when there are few pairs."""
    found = [overlap(texts[one], texts[other]) for one, other in _pairs(labels)]
    return (math.fsum(found) + _USUAL_PAIRS * _USUAL) / (len(found) + _USUAL_PAIRS)


def _pairs(labels: Sequence[str | None]) -> list[tuple[int, int]]:
    """Return the index pairs of texts with the same label; an evenly spaced subset when there are many."""
    rows: dict[str | None, list[int]] = {}
    for row, label in enumerate(labels):
        rows.setdefault(label, []).append(row)
    count = sum(math.comb(len(own), 2) for own in rows.values())
    step = max(1, -(-count // _MOST_PAIRS))
    return list(islice((pair for own in rows.values() for pair in combinations(own, 2)), 0, None, step))


def overlap(one: str, other: str) -> float:
    """Return the share of character trigrams that two texts have in common, from 0 to 1 (Dice 1945).

    The order of words, case and punctuation are ignored.
    """
    return overlaps(one, compared([other]))[0]


class Compared(NamedTuple):
    """Hold texts that many texts are compared with, and their trigrams."""

    texts: Sequence[str]
    each: Sequence[frozenset[str]]
    together: frozenset[str]


def compared(texts: Sequence[str]) -> Compared:
    """Return texts with their trigrams, for `overlaps`."""
    each = [_trigrams(text) for text in texts]
    return Compared(texts, each, frozenset[str]().union(*each))


def overlaps(one: str, others: Compared) -> list[float]:
    """Return the overlap of a text with each of the others."""
    first, found = _trigrams(one), []
    size, common = len(first), first & others.together  # few of the trigrams, so that the sets below are small
    for text, second in zip(others.texts, others.each, strict=True):
        total = size + len(second)
        found.append(2 * len(common & second) / total if total else float(one == text))
    return found


@lru_cache(_REMEMBERED)
def _trigrams(text: str) -> frozenset[str]:
    """Return the trigrams of each word with a space on either side: `ab` gives ` ab` and `ab `.

    Add pairs of neighbours in a script without spaces: `我的` gives ` 我 `, ` 的 ` and `我的`. Characters alone would find
    狗咬人 and 人咬狗 equal, and pairs alone would miss near-duplicates of short texts.
    """
    found = words(text)
    padded = [f" {word} " for word in found]
    grams = [word[at : at + _SIZE] for word in padded for at in range(len(word) - _SIZE + 1)]
    if not text.isascii():
        apart = [_UNSPACED.match(word) is not None for word in found]
        grams += [found[at] + found[at + 1] for at in range(len(found) - 1) if apart[at] and apart[at + 1]]
    return frozenset(grams)
