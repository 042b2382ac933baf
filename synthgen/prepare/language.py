"""Identify the language of rows with lingua, and keep, remove or mark rows by it."""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from synthgen.errors import ConfigError
from synthgen.prepare.item import Item
from synthgen.prepare.log import StepLog
from synthgen.prepare.step import Context, StepReason, StepSpec

_OTHERS = ("remove", "mark", "keep")
_USUAL = ("en", "zh", "es", "fr", "de", "it", "pt", "nl", "pl", "ru", "uk", "tr", "ar", "fa", "hi", "bn", "id", "vi", "th",
          "ja", "ko", "sv", "cs", "el", "he")  # fmt: skip
_BATCH = 1000
_READ = 240
"""Characters of a row that decide about its language; more change nothing and cost time."""
UNKNOWN = "unknown"


@dataclass
class LanguageConfig:
    keep: list[str] = field(default_factory=list)
    """Languages that stay, as codes of two letters, such as [en, zh]. Empty: all."""
    others: str = "remove"
    """What to do with rows in other languages: remove, mark or keep. `mark` adds the language to every row."""
    name: str = "language"
    """Field that `mark` writes."""
    among: list[str] = field(default_factory=lambda: list(_USUAL))
    """Languages to tell apart. Fewer languages are told apart faster and with fewer errors."""
    least_letters: int = 12
    """A row with fewer letters is of unknown language and stays. A Chinese character counts as three."""

    def __post_init__(self) -> None:
        if self.others not in _OTHERS:
            raise ConfigError(f"others: '{self.others}' is none of {', '.join(_OTHERS)}")
        if not self.keep and self.others == "remove":
            raise ConfigError("keep: name the languages that stay, such as [en, zh], or set `others: mark`")
        for code in self.keep:
            if code not in self.among:
                raise ConfigError(f"keep: '{code}' is not in `among`; add it there")
        if len(self.among) < 2:
            raise ConfigError("among: name two languages or more")


class Language:
    """Count the languages of rows, and remove or mark rows in languages that should not stay."""

    spec = StepSpec(
        "language",
        "Identifies the language of each row with lingua.",
        (
            StepReason("other_language", "is in a language that is not kept"),
            StepReason("marked", "got its language as a field"),
        ),
    )

    def __init__(self, cfg: LanguageConfig, context: Context) -> None:
        self._cfg, self._fields = cfg, context.fields
        self._detector = _detector(cfg.among)

    def __call__(self, rows: Iterable[Item], log: StepLog) -> Iterator[Item]:
        source, found = iter(rows), Counter[str]()
        while batch := list(islice(source, _BATCH)):
            texts = [self._fields.whole(item.data) for item in batch]
            for item, text, code in zip(batch, texts, self._codes(texts), strict=True):
                found[code] += 1
                wanted = not self._cfg.keep or code in (*self._cfg.keep, UNKNOWN)
                if not wanted and self._cfg.others == "remove":
                    log.remove(item, "other_language", text, note=code)
                elif self._cfg.others == "mark":
                    log.changed["marked"] += 1
                    yield item.with_data({**item.data, self._cfg.name: code})
                else:
                    yield item
        log.figures["languages"] = dict(found.most_common())

    def _codes(self, texts: list[str]) -> list[str]:
        long = [text[:_READ] for text in texts if _letters(text[:_READ]) >= self._cfg.least_letters]
        told = iter(self._detector.detect_languages_in_parallel_of(long))
        codes = []
        for text in texts:
            language = next(told) if _letters(text[:_READ]) >= self._cfg.least_letters else None
            codes.append(language.iso_code_639_1.name.lower() if language is not None else UNKNOWN)
        return codes


def _letters(text: str) -> int:
    return sum(1 if char < "\u2e80" else 3 for char in text if char.isalpha())


def _detector(codes: list[str]) -> Any:
    from lingua import IsoCode639_1, LanguageDetectorBuilder

    known = {str(each).rpartition(".")[2].lower(): each for each in map(_code, dir(IsoCode639_1)) if each is not None}
    for code in codes:
        if code not in known:
            raise ConfigError(f"among: lingua knows no language '{code}'; write a code of two letters, such as en")
    return LanguageDetectorBuilder.from_iso_codes_639_1(*(known[code] for code in codes)).build()


def _code(name: str) -> Any:
    from lingua import IsoCode639_1

    return getattr(IsoCode639_1, name) if len(name) == 2 and name.isupper() else None
