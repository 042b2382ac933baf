"""Find texts that end in the middle: after a mark or word that must be followed by another, or within a word.

The result depends on the text, the seeds and word frequencies of the task's language, and on nothing else in a run, so
that a text always gets the same result. A text that is cut off where it could have ended is not found.
"""

import re
from collections.abc import Iterable, Sequence
from math import log10

from synthgen.filters.open_words import (
    CLIPPED,
    CLOSED,
    OPEN_MARK,
    PAIRED_MARKS,
    PARTICLES,
    POSSESSIVE,
    SMILEY,
    STRANDED,
    UNSPACED_WORD,
    strands,
)
from synthgen.filters.words import LANGUAGES, WordFrequencies
from synthgen.tasks.normal import folded

_TAIL = 240
"""Examine only this many characters at the end of a text."""
_LONGEST = 6
"""Characters of the longest word in UNSPACED_WORD, and one before it."""
_WORD = re.compile(r"[^\W_]+(?:['’][^\W\d_]+)*")
_LAST_WORD = re.compile(r"[^\W_]+(?:['’][^\W\d_]+)*$")
_STOPPED = re.compile(r"""[.!?。！？…।؟]["'”’»)\]」』）]*$""")
_STOPS = " .!?。！？…\"'”’»)]"
_LAST_HUMP = re.compile(r"[A-Z]?[a-z]+$")
_OPENED_QUOTE = re.compile(r"(?:^|[\s(\[])['‘]")
_APART = frozenset(' \t\n(["“')
"""Characters that may precede a word of prose. Parts of addresses and code follow other characters."""

_BAR = 0.8
"""Treat a text as cut off when log10 of the odds, cut off to whole, is above this."""
_CAPITAL = 0.2
"""Subtract this for a capitalised word, because names are more common than word frequencies say."""
_MOST_STYLE = 0.7
"""Upper bound of the amount that is added when the seeds end with full stops. It is below _BAR, because a generator may
leave full stops out of whole texts. Nothing is added for common words, which end many whole texts."""
_UNKNOWN = -9.0


class Endings:
    """Judge how texts of one field end. `seeds` are texts of that field; `known` are other texts of the task.

    An ending that a seed has counts as whole. Partial words are searched for only if the last words of the seeds pass
    the same test.
    """

    def __init__(self, language: str, seeds: Sequence[str], known: Iterable[str] = ()) -> None:
        base = language.lower().partition("-")[0]
        seeds = [text.strip() for text in seeds if text.strip()]
        self._english = base == "en"
        self._closed = CLOSED.get(base, frozenset())
        self._stranded = STRANDED.get(base, frozenset())
        ends = [words for text in seeds if (words := _words(text[-_TAIL:]))]
        self._last_words = {words[-1] for words in ends} | CLIPPED | PARTICLES.get(base, frozenset())
        self._last_pairs = {tuple(words[-2:]) for words in ends}
        self._last_marks = {text[-1] for text in seeds}
        self._closes = not any(map(_unclosed, seeds))
        stopped = sum(bool(_STOPPED.search(text)) for text in seeds)
        self._style = min(_MOST_STYLE, log10((len(seeds) + 2) / (len(seeds) - stopped + 1)))
        self._frequencies = None
        if base in LANGUAGES and _passes(WordFrequencies(base), seeds):
            self._frequencies = WordFrequencies(base, (word for text in [*seeds, *known] for word in _words(text)))

    def open_end(self, text: str) -> str | None:
        """Return the mark, word or partial word at which `text` is cut off; None for a whole text."""
        tail = text.rstrip()[-_TAIL:]
        if not tail or _STOPPED.search(tail):
            return None
        if self._closes and (mark := _unclosed(tail)):
            return mark
        if found := _last_word(tail):
            return found.group() if self._open_word(tail, found) else None
        return tail[-1] if self._open_mark(tail) else None

    def _open_mark(self, tail: str) -> bool:
        mark, before = tail[-1], tail[:-1]
        if mark in self._last_marks or SMILEY.search(tail):
            return False
        if mark in "'’" and before[-1:].isalpha():  # a plural possessive, or the end of a quotation
            return not _OPENED_QUOTE.search(before)
        return bool(OPEN_MARK.search(tail))

    def _open_word(self, tail: str, found: re.Match[str]) -> bool:
        words = _words(tail)
        word = words[-1]
        if tuple(words[-2:]) in self._last_pairs:
            return False
        if self._english and POSSESSIVE.search(tail, max(0, tail.rfind(" "))):
            return True
        open_word = None if tail.isascii() else UNSPACED_WORD.search(folded(tail[-_LONGEST:]))
        if open_word is not None and (len(open_word.group()) > 1 or tail[-1] not in self._last_marks):
            return True
        named = found.group()[0].isupper() and (len(word) == 1 or word in ("may", "will")) and word != "i"
        shouted = len(word) > 1 and found.group().isupper() and not tail.isupper()
        if not named and not shouted:
            if word in self._closed:
                return True
            if word in self._stranded:
                return not strands(words)
        if self._frequencies is None or word in self._last_words:
            return False
        style = 0.0 if self._frequencies.common(word) else self._style
        return _odds(self._frequencies, tail, found) + style > _BAR


def _passes(frequencies: WordFrequencies, seeds: Sequence[str]) -> bool:
    """Return False when several seeds look cut off: they are code or names, or not in the task's language."""
    tails = [seed[-_TAIL:].rstrip(_STOPS) for seed in seeds]
    ends = [(tail, found) for tail in tails if (found := _last_word(tail))]
    return sum(_odds(frequencies, tail, found) > _BAR for tail, found in ends) <= 1 + len(seeds) // 20


def _odds(frequencies: WordFrequencies, tail: str, found: re.Match[str]) -> float:
    """Return log10 of the odds that the last word of a text is cut off; _UNKNOWN when its letters cannot show it."""
    word = found.group()
    if not found.start() or tail[found.start() - 1] not in _APART or not word.isalpha():
        return _UNKNOWN
    if word.islower():
        return frequencies.fragment(word)
    if word.istitle() or (word.isupper() and tail.isupper()):
        return frequencies.fragment(word.lower()) - _CAPITAL
    hump = None if word.isupper() else _LAST_HUMP.search(word)  # of an identifier such as rowMapper
    return frequencies.fragment(hump.group().lower()) if hump else _UNKNOWN


def _last_word(tail: str) -> re.Match[str] | None:
    """Return the word that ends the text. Begin after the last space, because a search from the start is slow."""
    return _LAST_WORD.search(tail, tail.rfind(" ") + 1)


def _unclosed(tail: str) -> str | None:
    """Return a Chinese or Japanese bracket or quotation mark that is opened and not closed; None if there is none.

    People also write “ for both marks of a quotation, so an even number of them is whole.
    """
    if tail.isascii():
        return None
    for opening, closing in PAIRED_MARKS:
        opened, closed = tail.count(opening), tail.count(closing)
        if opened > closed and (opening != "“" or (opened + closed) % 2):
            return opening
    return None


def _words(text: str) -> list[str]:
    return [word.lower().replace("’", "'") for word in _WORD.findall(text)]
