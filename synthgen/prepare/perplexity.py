"""Remove rows that a language model finds far less likely than the other rows, such as garbled or random text."""

import math
import sys
from array import array
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice

import numpy as np

from synthgen.engines.bundled import GENERATOR
from synthgen.engines.local.perplexity import Perplexity
from synthgen.errors import ConfigError
from synthgen.prepare.item import Item
from synthgen.prepare.log import StepLog
from synthgen.prepare.spool import Spool
from synthgen.prepare.step import Context, StepReason, StepSpec

_BATCH = 256
_FEW = 20
"""Fewer rows have no usual perplexity."""


@dataclass
class UnlikelyConfig:
    spread: float | None = 6.0
    """Remove rows whose perplexity is above the median by more than this many median deviations, on a logarithmic scale; null
    to use `most` alone."""
    most: float | None = None
    """Also remove rows with a perplexity above this; null for no limit."""
    tokens: int = 128
    """Tokens of a row that are read. More cost time."""
    model: str = GENERATOR
    """Causal language model: a bundled name, a local folder, or a model hub id. It should know the language of the rows."""

    def __post_init__(self) -> None:
        if self.spread is None and self.most is None:
            raise ConfigError("spread, most: both are null, so that the step would do nothing; set one of them")
        if self.spread is not None and self.spread <= 0:
            raise ConfigError(f"spread: must be above 0, or null, got {self.spread}")
        if self.most is not None and self.most <= 1:
            raise ConfigError(f"most: must be above 1, or null, got {self.most}")
        if self.tokens < 1:
            raise ConfigError(f"tokens: must be 1 or more, got {self.tokens}")


class Unlikely:
    """Remove rows by their perplexity. Rows are stored on disk until the usual one of all rows is known."""

    spec = StepSpec(
        "perplexity",
        "Removes rows that a language model finds far less likely than the other rows.",
        (StepReason("unlikely", "has a far higher perplexity than the other rows"),),
    )

    def __init__(self, cfg: UnlikelyConfig, context: Context) -> None:
        self._cfg, self._context = cfg, context
        self._perplexity = Perplexity(cfg.model, cfg.tokens, lambda words: print(words, file=sys.stderr))

    def __call__(self, rows: Iterable[Item], log: StepLog) -> Iterator[Item]:
        spool, found, source = Spool(self._context.work), array("d"), iter(rows)
        whole = self._context.fields.whole
        try:
            while batch := list(islice(source, _BATCH)):
                found.extend(self._perplexity([whole(item.data) for item in batch]))
                for item in batch:
                    spool.append(item)
            limit = self._limit(found, log)
            for item, value in zip(spool, found, strict=True):
                if value <= limit:
                    yield item
                else:
                    log.remove(item, "unlikely", whole(item.data), note=f"perplexity {value:,.0f}")
        finally:
            spool.close()

    def _limit(self, found: "array[float]", log: StepLog) -> float:
        """Return the largest perplexity that stays."""
        limit = self._cfg.most or math.inf
        if not found:
            return limit
        logs = np.log(np.asarray(found))
        middle = float(np.median(logs))
        if self._cfg.spread is not None and len(found) >= _FEW:
            deviation = max(float(np.median(np.abs(logs - middle))), 0.1)  # equal rows would make all others outliers
            limit = min(limit, math.exp(middle + self._cfg.spread * deviation))
        log.figures["median"] = round(math.exp(middle), 1)
        if math.isfinite(limit):
            log.figures["largest_that_stays"] = round(limit, 1)
        return limit
