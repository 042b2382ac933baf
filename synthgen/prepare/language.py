"""Identify the language of rows, and keep, remove or mark rows by it, by the rule of the declared check `language`."""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from synthgen.errors import ConfigError
from synthgen.filters.declared.language import enough_letters, known_languages, load_identifier, surely
from synthgen.prepare.item import Item
from synthgen.prepare.log import StepLog
from synthgen.prepare.step import Context, StepReason, StepSpec

_OTHERS = ("remove", "mark", "keep")
_USUAL = ("en", "zh", "es", "fr", "de", "it", "pt", "nl", "pl", "ru", "uk", "tr", "ar", "fa", "hi", "bn", "id", "vi", "th",
          "ja", "ko", "sv", "cs", "el", "he")  # fmt: skip
_READ = 240
"""Characters of a row that decide about its language; more change nothing and cost time."""
UNKNOWN = "unknown"


@dataclass
class LanguageFilterConfig:
    keep: list[str] = field(default_factory=list)
    """Languages that stay, as codes of two letters, such as [en, zh]. Empty: all."""
    others: str = "remove"
    """Treatment of rows in other languages: remove, mark or keep. `mark` adds the language to every row."""
    name: str = "language"
    """Field that `mark` writes."""
    among: list[str] = field(default_factory=lambda: list(_USUAL))
    """Languages to tell apart. Fewer languages are told apart with fewer errors."""

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


class LanguageFilter:
    """Count the languages of rows, and remove or mark rows in languages that should not stay.

    A row is removed only if its language is 100 times as likely as those that stay.
    """

    spec = StepSpec(
        "language",
        "Identifies the language of each row with py3langid.",
        (
            StepReason("other_language", "is in a language that is not kept"),
            StepReason("marked", "got its language as a field"),
        ),
    )

    def __init__(self, cfg: LanguageFilterConfig, context: Context) -> None:
        self._cfg, self._fields = cfg, context.fields
        self._identifier = load_identifier()
        if unknown := [code for code in cfg.among if code not in known_languages(self._identifier)]:
            raise ConfigError(
                f"among: py3langid knows no language '{unknown[0]}'; write a code of two letters, such as en"
            )
        self._identifier.set_languages(cfg.among)

    def __call__(self, rows: Iterable[Item], log: StepLog) -> Iterator[Item]:
        found = Counter[str]()
        for item in rows:
            text = self._fields.whole(item.data)
            code, stays = self._told(text[:_READ])
            found[code] += 1
            if not stays and self._cfg.others == "remove":
                log.remove(item, "other_language", text, note=code)
            elif self._cfg.others == "mark":
                log.changed["marked"] += 1
                yield item.with_data({**item.data, self._cfg.name: code})
            else:
                yield item
        log.figures["languages"] = dict(found.most_common())

    def _told(self, text: str) -> tuple[str, bool]:
        """Return the most likely language of a text, and True when it may be one of those that stay."""
        if not enough_letters(text):
            return UNKNOWN, True
        ranked: list[tuple[str, float]] = self._identifier.rank(text)
        code, share = ranked[0]
        own = next((probability for language, probability in ranked if language in self._cfg.keep), 1.0)
        return code, not surely(share, own)
