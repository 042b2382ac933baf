"""Remove outliers: rows that are too short or too long, repeat themselves, contain their label, or have an unusual length."""

import math
from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from synthgen.errors import ConfigError
from synthgen.filters.repetition import repetition
from synthgen.prepare.item import Item
from synthgen.prepare.log import StepLog
from synthgen.prepare.spool import Spool
from synthgen.prepare.step import Context, StepReason, StepSpec
from synthgen.tasks.normal import normalise, stands_in

_FEW = 20
"""Fewer rows have no usual length."""


@dataclass
class OutliersConfig:
    min_chars: int = 2
    """Fewest letters and digits of a row's text."""
    max_chars: int | None = None
    """Most characters of a row's text; null for no limit."""
    spread: float | None = 8.0
    """Remove rows whose length differs from the median by more than this many median deviations, on a logarithmic scale;
    null to keep them."""
    max_repetition: float | None = 0.5
    """Largest share of a text that may repeat itself (as in filters.max_repetition); null to keep repetitive texts."""
    label_leaks: bool = False
    """Remove rows whose text contains their own label as a word."""

    def __post_init__(self) -> None:
        if self.min_chars < 0 or (self.max_chars is not None and self.max_chars < self.min_chars):
            raise ConfigError("min_chars, max_chars: must be 0 or more, and max_chars at least min_chars")
        if self.max_repetition is not None and not 0 < self.max_repetition <= 1:
            raise ConfigError(f"max_repetition: must be above 0 and at most 1, or null, got {self.max_repetition}")
        if self.spread is not None and self.spread <= 0:
            raise ConfigError(f"spread: must be above 0, or null, got {self.spread}")


class Outliers:
    """Remove rows that break a rule. Rows are stored on disk until the usual length of all of them is known."""

    spec = StepSpec(
        "outliers",
        "Removes rows that are too short or too long, repeat themselves, or name their own label.",
        (
            StepReason("short", "has too few letters and digits"),
            StepReason("long", "has too many characters"),
            StepReason("unusual_length", "is far shorter or longer than the other rows"),
            StepReason("repetition", "repeats itself"),
            StepReason("label_leak", "names its own label in its text"),
        ),
    )

    def __init__(self, cfg: OutliersConfig, context: Context) -> None:
        self._cfg, self._context = cfg, context

    def __call__(self, rows: Iterable[Item], log: StepLog) -> Iterator[Item]:
        usual = self._by_rules(rows, log)
        if self._cfg.spread is None:
            yield from usual
            return
        spool, lengths = Spool(self._context.work), array("d")
        try:
            for item in usual:
                spool.append(item)
                lengths.append(math.log(1 + len(self._context.fields.whole(item.data))))
            low, high = _bounds(lengths, self._cfg.spread)
            for item, length in zip(spool, lengths, strict=True):
                if low <= length <= high:
                    yield item
                else:
                    text = self._context.fields.whole(item.data)
                    log.remove(item, "unusual_length", text, note=f"{len(text):,} characters")
            if len(lengths) >= _FEW:
                log.figures["usual_characters"] = (
                    f"{max(0, round(math.exp(low) - 1)):,} to {round(math.exp(high) - 1):,}"
                )
        finally:
            spool.close()

    def _by_rules(self, rows: Iterable[Item], log: StepLog) -> Iterator[Item]:
        for item in rows:
            text = self._context.fields.whole(item.data)
            if (reason := self._reason(item, text)) is None:
                yield item
            else:
                log.remove(item, reason[0], text, note=reason[1])

    def _reason(self, item: Item, text: str) -> tuple[str, str] | None:
        plain, cfg = normalise(text), self._cfg
        if (letters := len(plain) - plain.count(" ")) < cfg.min_chars:
            return "short", f"{letters} letters and digits"
        if cfg.max_chars is not None and len(text) > cfg.max_chars:
            return "long", f"{len(text):,} characters"
        if cfg.max_repetition is not None and (share := repetition(plain)) > cfg.max_repetition:
            return "repetition", f"share {share:.2f}"
        label = self._context.fields.of_label(item.data) if cfg.label_leaks else None
        if label and (word := normalise(label)) and stands_in(word, plain):
            return "label_leak", label
        return None


def _bounds(lengths: Sequence[float], spread: float) -> tuple[float, float]:
    if len(lengths) < _FEW:
        return -math.inf, math.inf
    middle = float(np.median(lengths))
    deviation = float(np.median(np.abs(np.asarray(lengths) - middle)))
    reach = spread * max(deviation, 0.1)  # equal lengths would make every other length an outlier
    return middle - reach, middle + reach
