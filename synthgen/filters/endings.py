"""Finds texts that end in the middle: behind a mark or word that needs another one, or within a word.

Knows the text, the seeds and word frequencies of the task's language, and nothing else of a run, so that a text gets the same
answer whenever it comes. A text that is cut off where it could have ended is not found.
"""

import re
from collections.abc import Iterable, Sequence
from math import log10

from synthgen.filters.open_words import CHINESE, CLIPPED, CLOSED, OPEN_MARK, POSSESSIVE, SMILEY, STRANDED, strands
from synthgen.filters.words import LANGUAGES, Words

_TAIL = 240
"""Characters at a text's end that are looked at."""
_WORD = re.compile(r"[^\W_]+(?:['’][^\W\d_]+)*")
_LAST_WORD = re.compile(r"[^\W_]+(?:['’][^\W\d_]+)*$")
_STOPPED = re.compile(r"""[.!?。！？…।؟]["'”’»)\]」』）]*$""")
_STOPS = " .!?。！？…\"'”’»)]"
_LAST_HUMP = re.compile(r"[A-Z]?[a-z]+$")
_OPENED_QUOTE = re.compile(r"(?:^|[\s(\[])['‘]")
_APART = frozenset(' \t\n(["“')
"""What a word of prose may stand behind; a part of an address or of code stands behind other marks."""

_BAR = 0.8
"""log10 of the odds, cut off to whole, from which a text counts as cut off."""
_CAPITAL = 0.2
"""Taken off for a capital: a name is likelier than the frequencies of words say."""
_MOST_STYLE = 0.7
"""The most that the seeds' full stops add. Alone it is not enough: a generator may leave them out of whole texts."""
_UNKNOWN = -9.0


class Endings:
    """Judge how texts of one field end. `seeds` are texts of that field, `known` are other texts of the task.

    What a seed ends with is a whole ending. Parts of words are looked for only if the seeds' own last words pass.
    """

    def __init__(self, language: str, seeds: Sequence[str], known: Iterable[str] = ()) -> None:
        base = language.lower().partition("-")[0]
        seeds = [text.strip() for text in seeds if text.strip()]
        self._closed = CLOSED.get(base, frozenset())
        self._stranded = STRANDED.get(base, frozenset())
        ends = [words for text in seeds if (words := _words(text[-_TAIL:]))]
        self._last_words = {words[-1] for words in ends} | CLIPPED
        self._last_pairs = {tuple(words[-2:]) for words in ends}
        self._last_marks = {text[-1] for text in seeds}
        stopped = sum(bool(_STOPPED.search(text)) for text in seeds)
        self._style = min(_MOST_STYLE, log10((len(seeds) + 2) / (len(seeds) - stopped + 1)))
        self._frequencies = None
        if base in LANGUAGES and _passes(Words(base), seeds):
            self._frequencies = Words(base, (word for text in [*seeds, *known] for word in _words(text)))

    def open_end(self, text: str) -> str | None:
        """Return the mark, the word or the part of a word in which `text` is cut off; None for a whole text."""
        tail = text.rstrip()[-_TAIL:]
        if not tail or _STOPPED.search(tail):
            return None
        if found := _LAST_WORD.search(tail):
            return found.group() if self._open_word(tail, found) else None
        return tail[-1] if self._open_mark(tail) else None

    def _open_mark(self, tail: str) -> bool:
        mark, before = tail[-1], tail[:-1]
        if mark in self._last_marks or SMILEY.search(tail):
            return False
        if mark in "'’" and before[-1:].isalpha():  # a plural's apostrophe, unless it closes a quotation
            return not _OPENED_QUOTE.search(before)
        return bool(OPEN_MARK.search(tail))

    def _open_word(self, tail: str, found: re.Match[str]) -> bool:
        words = _words(tail)
        word = words[-1]
        if tuple(words[-2:]) in self._last_pairs:
            return False
        if POSSESSIVE.search(tail) or CHINESE.search(tail):
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
        return _odds(self._frequencies, tail, found) + self._style > _BAR


def _passes(frequencies: Words, seeds: Sequence[str]) -> bool:
    """Return True unless several seeds also look cut off: code or names, or another language than the task's."""
    tails = [seed[-_TAIL:].rstrip(_STOPS) for seed in seeds]
    ends = [(tail, found) for tail in tails if (found := _LAST_WORD.search(tail))]
    return sum(_odds(frequencies, tail, found) > _BAR for tail, found in ends) <= 1 + len(seeds) // 20


def _odds(frequencies: Words, tail: str, found: re.Match[str]) -> float:
    """Return log10 of the odds that a text's last word is cut off; _UNKNOWN where its letters cannot tell."""
    word = found.group()
    if not found.start() or tail[found.start() - 1] not in _APART or not word.isalpha():
        return _UNKNOWN
    if word.islower():
        return frequencies.fragment(word)
    if word.istitle() or (word.isupper() and tail.isupper()):
        return frequencies.fragment(word.lower()) - _CAPITAL
    hump = None if word.isupper() else _LAST_HUMP.search(word)  # of an identifier such as rowMapper
    return frequencies.fragment(hump.group().lower()) if hump else _UNKNOWN


def _words(text: str) -> list[str]:
    return [_plain(word) for word in _WORD.findall(text)]


def _plain(word: str) -> str:
    return word.lower().replace("’", "'")
