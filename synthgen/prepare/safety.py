"""Flag or remove harmful rows: words of word lists, phrases of prompt injection, and a guard model's judgement."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from synthgen.errors import ConfigError
from synthgen.prepare.guard import Guard, engine_of
from synthgen.prepare.item import Item, strings
from synthgen.prepare.log import StepLog
from synthgen.prepare.step import Context, StepReason, StepSpec
from synthgen.safety.harm import CATEGORIES, LANGUAGES, SEVERITIES, InjectionFinder, WordFinder
from synthgen.tasks.typed import nearest

WORDS, INJECTION, ALL = "word_list", "injection", "all"
_CODES = (WORDS, INJECTION, *CATEGORIES)
_BATCH = 64


@dataclass
class SafetyConfig:
    words: list[str] = field(default_factory=lambda: ["en", "zh"])
    """Languages whose word lists are used, as codes of two letters. Empty: none."""
    injection: str = "high"
    """Least severity of a phrase of prompt injection that counts: low, medium, high or critical; none looks for none."""
    guard: dict[str, Any] = field(default_factory=dict)
    """Engine of the guard model, such as {kind: openai, urls: [http://127.0.0.1:8000/v1], model: NAME}, or
    {kind: transformers, name: PATH}, with further keys of `engine`. Empty: none is asked."""
    categories: list[str] = field(default_factory=lambda: list(CATEGORIES))
    """Categories that the guard is asked about. Each costs one question a row."""
    threshold: float = 0.5
    """Least probability that a category applies."""
    thresholds: dict[str, float] = field(default_factory=dict)
    """Thresholds of single categories, such as {S10: 0.8}."""
    remove: list[str] = field(default_factory=list)
    """Categories, or `word_list`, `injection` or `all`, for which rows are removed. Other rows are listed in flagged.jsonl."""

    def __post_init__(self) -> None:
        for code in self.words:
            if code not in LANGUAGES:
                raise ConfigError(f"words: there is no word list for '{code}'; choose from {', '.join(LANGUAGES)}")
        if self.injection not in (*SEVERITIES, "none"):
            raise ConfigError(f"injection: '{self.injection}' is none of {', '.join(SEVERITIES)}, none")
        for key, codes in (("categories", self.categories), ("thresholds", self.thresholds)):
            if other := next((code for code in codes if code not in CATEGORIES), None):
                raise ConfigError(f"{key}: there is no category '{other}'{nearest(other, CATEGORIES)}")
        if other := next((code for code in self.remove if code not in (*_CODES, ALL)), None):
            raise ConfigError(f"remove: there is no category '{other}'{nearest(other, (*_CODES, ALL))}")
        for name, value in {"threshold": self.threshold, **self.thresholds}.items():
            if not 0 < value <= 1:
                raise ConfigError(f"{name}: must be above 0 and at most 1, got {value}")
        if self.thresholds and not self.guard:
            raise ConfigError("thresholds: only a guard model gives probabilities; describe it with `guard`")
        if self.guard:
            engine_of(self.guard)


class Safety:
    """Flag or remove rows. The report shows neither the words that were found nor the texts."""

    spec = StepSpec(
        "safety",
        "Finds words of word lists, phrases of prompt injection and, with a guard model, categories of harm.",
        (
            StepReason(WORDS, "holds a word of a word list"),
            StepReason(INJECTION, "holds a phrase that gives orders to a model"),
            *(StepReason(code, f"is judged as {words.partition(':')[0]}") for code, words in CATEGORIES.items()),
        ),
    )

    def __init__(self, cfg: SafetyConfig, context: Context) -> None:
        self._cfg, self._context = cfg, context
        self._words = WordFinder(cfg.words) if cfg.words else None
        self._injection = InjectionFinder(cfg.injection) if cfg.injection != "none" else None

    def __call__(self, rows: Iterable[Item], log: StepLog) -> Iterator[Item]:
        cfg, source, unread = self._cfg, iter(rows), 0
        guard = Guard(cfg.guard, cfg.categories, self._context.work, self._context.seed) if cfg.guard else None
        try:
            while batch := list(islice(source, _BATCH if guard else 1)):
                texts = ["\n".join(strings([item.data[name] for name in self._names(item)])) for item in batch]
                judged: list[dict[str, float]] = guard(texts) if guard else [{} for _ in batch]
                for item, text, found in zip(batch, texts, judged, strict=True):
                    unread += len(cfg.categories) - len(found) if guard else 0
                    yield from self._passed(item, text, self._reasons(text, found), log)
            if guard:
                log.figures["questions_without_an_answer"] = unread
        finally:
            if guard:
                guard.close()

    def _names(self, item: Item) -> list[str]:
        return self._context.fields.readable(item.data)

    def _reasons(self, text: str, judged: dict[str, float]) -> dict[str, str]:
        """Return each code that applies to a text, with a note about it."""
        found: dict[str, str] = {}
        if self._words and (words := self._words(text)):
            found[WORDS] = f"{len(words)} {'word' if len(words) == 1 else 'words'}: {', '.join(map(_hidden, words))}"
        if self._injection and (hit := self._injection(text)):
            found[INJECTION] = f"{hit.kind}: {hit.text[:80]}"
        for code, share in judged.items():
            if share >= self._cfg.thresholds.get(code, self._cfg.threshold):
                found[code] = f"probability {share:.2f}"
        return found

    def _passed(self, item: Item, text: str, found: dict[str, str], log: StepLog) -> Iterator[Item]:
        removing = [code for code in found if ALL in self._cfg.remove or code in self._cfg.remove]
        shown = f"({len(text):,} characters, not shown)"
        if removing:
            log.remove(item, removing[0], shown, note="; ".join(f"{code}: {words}" for code, words in found.items()))
            return
        for code, note in found.items():
            log.note(item, code, shown, note)
        yield item


def _hidden(word: str) -> str:
    """Return a word with all letters but the first one hidden."""
    return word[:1] + "*" * (len(word) - 1)
