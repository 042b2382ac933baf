"""Estimate from word frequencies how likely a string is a partial word rather than a whole one.

The frequencies come from wordfreq. They are loaded once per process and language, which takes 0.5 s and about 30 MB for
English.
"""

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable
from functools import lru_cache
from itertools import accumulate
from math import inf, log10

LANGUAGES = frozenset("bg ca cs da de el en es fi fr hu id it nb nl pl pt ro ru sv tr uk".split())  # noqa: SIM905
"""Languages whose frequencies distinguish partial words from whole ones. The others have no spaces between words, or were
not tried."""

_RAREST = 3e-8
_UNSEEN = 1e-8
"""Assume this frequency for a word that is not in the list."""
_COMMON = {3: 1e-4, 4: 1e-4, 5: 1e-5}
"""Map the length of a German word to the frequency from which it is hardly ever a part of another word that was cut off.
The last entry is for all longer words."""
_COMMON_WORD = 1e-4
"""Count a word of at least this frequency as common: about the 1,000 most common words of English."""
_OWN_WEIGHT = 0.1
_OWN_WORDS = 200
"""Add _OWN_WEIGHT / n to the frequency of a word for each occurrence in the seeds. n is the number of words in the seeds,
and at least _OWN_WORDS."""
_WORD_LENGTH = 5.5
"""Mean number of characters in a word with its space: the chance that a cut falls at a given place of a word is 1 over
this."""
_ENDS = 0.3
"""Rate at which a word of ordinary meaning ends a text, as a share of its frequency."""

_REMEMBERED = 4_096  # texts of one task often end in the same words
_INFLECTIONS = ("s", "d", "ed", "ing")
_GERMAN_INFLECTIONS = ("e", "en", "er", "es", "em", "n", "s", "t", "st", "te", "ten", "in")
"""Endings without which a word is still a word."""


@lru_cache(4)
def _frequencies(language: str) -> tuple[list[str], list[float]]:
    """Return the sorted words of a language, and the cumulative sums of their frequencies, beginning with 0."""
    import wordfreq

    found: dict[str, float] = {}
    for centibels, words in enumerate(wordfreq.get_frequency_list(language, "best")):
        frequency = wordfreq.cB_to_freq(-centibels)
        if frequency < _RAREST:
            break
        found.update((word, frequency) for word in words if word.isalpha())
    ordered = sorted(found)
    return ordered, [0.0, *accumulate(found[word] for word in ordered)]


class WordFrequencies:
    """Hold the word frequencies of a language and of a run's own texts, in lower case."""

    def __init__(self, language: str, own: Iterable[str] = ()) -> None:
        self._words, self._sums = _frequencies(language)
        self._compounds = language == "de"
        self._endings = _GERMAN_INFLECTIONS if language == "de" else _INFLECTIONS
        counts = Counter(own)
        weight = _OWN_WEIGHT / max(_OWN_WORDS, counts.total())
        self._own = {word: count * weight for word, count in counts.items()}
        self._own_longer: Counter[str] = Counter()
        for word, frequency in self._own.items():
            for end in range(1, len(word)):
                self._own_longer[word[:end]] += frequency  # type: ignore[assignment]
        self.fragment = lru_cache(_REMEMBERED)(self._fragment)
        """Return log10 of the ratio: probability of a word at the end of a cut-off text over that of a whole text."""

    def common(self, word: str) -> bool:
        """Return True for a word that is common in the language, or in the run's own texts."""
        return self._frequency(word) >= _COMMON_WORD

    def _fragment(self, word: str) -> float:
        frequency = self._frequency(word)
        first = bisect_left(self._words, word)
        after = bisect_left(self._words, word + "\U0010ffff", first)
        first += first < len(self._words) and self._words[first] == word
        longer = self._sums[after] - self._sums[first] + self._own_longer[word]
        if frequency > 1e-6:
            longer = max(0.0, longer - sum(self._frequency(word + ending) for ending in self._endings))
        if not longer:
            return -log10(_WORD_LENGTH * _ENDS)
        whole = self._compounds and frequency > _COMMON.get(min(len(word), 5), 1.0)  # begins compounds: Steuerberater
        most = 0.0 if whole else inf
        frequency = max(frequency, _UNSEEN)
        return min(most, log10((longer + frequency) / (frequency * _WORD_LENGTH * _ENDS)))

    def _frequency(self, word: str) -> float:
        place = bisect_left(self._words, word)
        listed = place < len(self._words) and self._words[place] == word
        return (self._sums[place + 1] - self._sums[place] if listed else 0.0) + self._own.get(word, 0.0)
