"""Measure how much a text repeats itself, in any script."""

import re
from itertools import accumulate, pairwise

from synthgen.tasks.scripts import UNSPACED, words_in

_UNSPACED = re.compile(f"[{UNSPACED}]")
_TOKEN = re.compile(f"[{UNSPACED}]|[^\\s{UNSPACED}]+")
_RUNS = re.compile(r"(.{1,4}?)\1{3,}")
_ANY_RUN = re.compile(r"(.{1,4})\1{3}")
"""Match where `_RUNS` matches, in less time: most texts have no run."""
_LAUGHTER = re.compile(r"(?<!\w)5+(?!\w)|(?<![a-z])w+(?![a-z])|([哈呵嘿嘻嘎笑草\u110f\u1112])\1+")
"""Match a run of laughter in Thai, Japanese, Chinese and Korean, which most texts of these languages may hold."""
_LAUGHS = 8
"""Most characters of laughter that do not count as a run."""


def repetition(plain: str) -> float:
    """Return the degree to which a normalised text repeats itself, from 0 to 1.

    This is the larger of two shares: word pairs that repeat an earlier pair, and characters in runs of the same
    character or short group ("hahahaha", "的的的的"). In scripts without spaces, as many characters as are two words count
    as a pair: four Chinese ones. Short laughter, such as "哈哈哈哈", is no repetition.
    """
    pairs = _pairs(plain)
    repeated_pairs = 1 - len(set(pairs)) / len(pairs) if len(pairs) > 1 else 0.0
    if not _ANY_RUN.search(plain):
        return repeated_pairs
    runs = sum(len(run.group()) for run in _RUNS.finditer(_LAUGHTER.sub(_kept, plain)))
    return max(repeated_pairs, runs / len(plain))


def _kept(laughter: re.Match[str]) -> str:
    return laughter.group() if len(laughter.group()) > _LAUGHS else ""


def _pairs(plain: str) -> list[tuple[str, ...]]:
    """Return the word pairs of a normalised text; in scripts without spaces, the runs of characters that make two words."""
    if plain.isascii() or _UNSPACED.search(plain) is None:
        return list(pairwise(plain.split()))
    tokens = _TOKEN.findall(plain)
    reach = [0.0, *accumulate(words_in(token[0]) for token in tokens)]
    found, end = list[tuple[str, ...]](), 0
    for start in range(len(tokens)):
        while end < len(tokens) and reach[end] - reach[start] < 2 - 1e-9:
            end += 1
        if reach[end] - reach[start] < 2 - 1e-9:
            break
        found.append(tuple(tokens[start:end]))
    return found
