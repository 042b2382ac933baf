"""Check that texts are in one language. py3langid estimates the probability of each of 139 languages, offline.

A text is rejected only if another language is 100 times as likely. A text with few letters always passes, because it may
be a name, a number or a word that several languages share. docs/tasks.md has the error rates.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, ClassVar

from synthgen.filters.declared.base import Fault, Found, KeyProblem, Stage
from synthgen.filters.declared.fields import Paths, all_strings, string_steps
from synthgen.records import Json
from synthgen.tasks.task import Task

_TIMES = 100.0
"""Factor by which another language must be more likely than the required one."""
_LEAST = 20
"""Minimum number of bytes in UTF-8 of a text's letters: 20 Latin, 10 Cyrillic or 7 Chinese characters."""
_NOT_A_LANGUAGE = "zxx"
_OTHER_CODES = {"nb": "no", "fil": "tl"}
_ALIKE = ({"zh", "wuu", "yue"}, {"no", "nn"}, {"hr", "bs", "sr"}, {"id", "ms"})
"""Treat the languages of each set as one, because their written forms are too similar to distinguish."""


@dataclass
class LanguageConfig:
    field: Paths
    """Path or paths to the text, such as `text` or `turns[].text`."""
    language: str = ""
    """Language of the text (BCP 47), such as `de` or `zh-Hant`; by default the task's language."""


class Language:
    """Find texts of one field that are in another language."""

    kind: ClassVar[str] = "language"
    meaning: ClassVar[str] = (
        "Each text of `field` is in the task's language, or in `language`. Short texts always pass."
    )
    reasons: ClassVar[dict[str, str]] = {"other_language": "is in another language than the task asks for"}
    config: ClassVar[type[LanguageConfig]] = LanguageConfig
    scores: ClassVar[str] = ""
    stage: ClassVar[Stage] = "rules"

    def __init__(self, cfg: LanguageConfig, task: Task) -> None:
        self._steps = string_steps("field", cfg.field, task)
        self._wanted = cfg.language or task.language
        self._known = codes_of(self._wanted)

    def faults(self, data: Json) -> Iterator[Found]:
        for path, text in all_strings(data, self._steps):
            if found := other_than(self._known, text):
                problem = f"seems to be written in {found}, not in {self._wanted}"
                yield Fault("other_language", path, problem, {"language": found, "wanted": self._wanted})


def other_than(known: set[str], text: str) -> str | None:
    """Return the language of a text if it is almost certainly not one of `known`, else None."""
    if not enough_letters(text):
        return None
    shares: dict[str, float] = dict(_identifier().rank(text))
    shares.pop(_NOT_A_LANGUAGE, None)
    own = max(shares.pop(language) for language in known)
    likeliest = max(shares, key=lambda language: shares[language])
    return likeliest if surely(shares[likeliest], own) else None


def surely(other: float, own: float) -> bool:
    """Return True when a text is almost certainly in a language of probability `other`, and not in one of `own`."""
    return other > _TIMES * max(own, math.ulp(0.0))


def enough_letters(text: str) -> bool:
    """Return True when a text has enough letters for its language to be identified."""
    count = 0
    for char in text:
        if char.isalpha():
            count += len(char.encode(errors="replace"))
            if count >= _LEAST:
                return True
    return False


def codes_of(tag: str) -> set[str]:
    """Return py3langid's codes of a language and of those too similar to it. Raise KeyProblem when there is none."""
    from langcodes import Language as Tag
    from langcodes.tag_parser import LanguageTagError

    labels = known_languages(_identifier())
    try:
        code = Tag.get(tag)
    except LanguageTagError as error:
        raise KeyProblem("language", f"'{tag}' is not a language tag; write one such as en, de or zh-Hant") from error
    codes = [str(code.language), str(code.prefer_macrolanguage().language)]
    for language in (*codes, _OTHER_CODES.get(codes[0], codes[0])):
        if language in labels:
            return next((alike & labels for alike in _ALIKE if language in alike), {language})
    raise KeyProblem("language", f"'{tag}' is not a language that py3langid knows; leave this check out of task.checks")


def load_identifier() -> Any:
    """Load py3langid's model. This takes 0.6 s and 110 MB of memory."""
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)


def known_languages(identifier: Any) -> set[str]:
    """Return the codes of all languages that an identifier knows."""
    return set(identifier.labels) - {_NOT_A_LANGUAGE}


_identifier = lru_cache(1)(load_identifier)
"""Return the identifier of all languages, which is loaded once."""
