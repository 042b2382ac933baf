"""Find words of word lists in texts, also where letters are replaced, repeated or separated.

glin-profanity has the lists, and normalises disguised spellings. For words that contain other characters than letters,
a prefix tree replaces its search and finds the same words several times faster.
"""

import re
from collections.abc import Mapping, Sequence

from synthgen.safety.harm.tree import WordTree

LANGUAGES: Mapping[str, str] = {
    "ar": "arabic", "zh": "chinese", "cs": "czech", "da": "danish", "nl": "dutch", "en": "english", "eo": "esperanto",
    "fi": "finnish", "fr": "french", "de": "german", "hi": "hindi", "hu": "hungarian", "it": "italian", "ja": "japanese",
    "ko": "korean", "no": "norwegian", "fa": "persian", "pl": "polish", "pt": "portuguese", "ru": "russian",
    "es": "spanish", "sv": "swedish", "th": "thai", "tr": "turkish",
}  # fmt: skip
"""Codes of the languages that have a list, and the names of the lists in glin-profanity."""

_DIGITS = 60
_MANY_DIGITS = re.compile(rf"\d(?:\s*\d){{{_DIGITS},}}")
"""A run of digits, also separated ones, that is longer than any word that it could stand for. The package's time grows
with the square of its length."""


class WordFinder:
    """Find the words of the lists of `languages`, given by codes in LANGUAGES."""

    def __init__(self, languages: Sequence[str]) -> None:
        from glin_profanity import Filter

        self._filter = Filter({"languages": [LANGUAGES[code] for code in languages], "detect_leetspeak": True})
        scanner = self._filter._scanner  # the package has no way to set the search
        scanner._rest_any = WordTree(scanner._rest, _edges)

    def __call__(self, text: str) -> list[str]:
        """Return the words of the lists that are in a text, each once, in the order of the alphabet."""
        text = _MANY_DIGITS.sub(lambda digits: digits.group()[:_DIGITS], text)
        return sorted(set(self._filter.check_profanity(text).get("profane_words") or ()))


def _edges(word: str) -> tuple[str, str]:
    """Return the patterns that glin-profanity puts before and behind a word, so that it is a word and no part of one."""
    from glin_profanity.filters.word_matcher import word_pattern

    before, _, behind = word_pattern(word).partition(f"(?ai:{re.escape(word)})")
    return before, behind
