"""Balance rows over the values of a field: remove rows of frequent values, or repeat rows of rare ones."""

import random
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from statistics import median
from sys import intern

from synthgen.errors import ConfigError
from synthgen.prepare.item import Item
from synthgen.prepare.log import StepLog
from synthgen.prepare.spool import Spool
from synthgen.prepare.step import Context, StepReason, StepSpec
from synthgen.records import canonical

_TARGETS = ("smallest", "median", "largest")


@dataclass
class BalanceConfig:
    by: str = ""
    """Field whose values are balanced. Empty: the label field. Rows without a value stay as they are."""
    to: str | int = "smallest"
    """Rows of each value afterwards: those of the smallest, median or largest value, or a number."""
    copies: int = 5
    """Most times that a row is in the result, where rows must be repeated."""

    def __post_init__(self) -> None:
        if isinstance(self.to, str) and self.to not in _TARGETS:
            raise ConfigError(f"to: '{self.to}' is none of {', '.join(_TARGETS)}, and no number")
        if isinstance(self.to, int) and self.to < 1:
            raise ConfigError(f"to: must be 1 or more, got {self.to}")
        if self.copies < 1:
            raise ConfigError(f"copies: must be 1 or more, got {self.copies}")


class Balance:
    """Bring every value of a field to the same number of rows. Behind `split`, only rows of the first split change."""

    spec = StepSpec(
        "balance",
        "Removes rows of frequent values, and repeats rows of rare ones.",
        (
            StepReason("over_represented", "has a value that has more rows than wanted"),
            StepReason("repeated", "was repeated, because its value has fewer rows than wanted"),
        ),
    )

    def __init__(self, cfg: BalanceConfig, context: Context) -> None:
        self._cfg, self._context = cfg, context

    def __call__(self, rows: Iterable[Item], log: StepLog) -> Iterator[Item]:
        spool, of = Spool(self._context.work), list[str | None]()
        first_split: str | None = None
        try:
            for item in rows:
                spool.append(item)
                value = item.data.get(self._cfg.by or self._context.fields.label)
                of.append(None if value is None else intern(canonical(value)))
                first_split = _earlier(first_split, item.split)
            if first_split is not None:
                of = [value if item.split == first_split else None for item, value in zip(spool, of, strict=True)]
            times = self._times(of)
            log.figures["before"] = dict(sorted(Counter(value for value in of if value is not None).items()))
            after = Counter[str]()
            for item, value, count in zip(spool, of, times, strict=True):
                after.update({value: count} if value is not None else {})
                if not count:
                    log.remove(item, "over_represented", self._context.fields.whole(item.data), note=value)
                if count > 1:
                    log.repeat(item, "repeated", self._context.fields.whole(item.data))
                yield from (item for _ in range(count))
            log.figures["after"] = dict(sorted(after.items()))
        finally:
            spool.close()

    def _times(self, of: list[str | None]) -> list[int]:
        """Return how often each row is in the result."""
        rng = random.Random(self._context.seed)
        rows: dict[str, list[int]] = {}
        for row, value in enumerate(of):
            if value is not None:
                rows.setdefault(value, []).append(row)
        times = [1] * len(of)
        if not rows:
            return times
        sizes = [len(found) for found in rows.values()]
        named = {"smallest": min(sizes), "median": round(median(sizes)), "largest": max(sizes)}
        target = named[self._cfg.to] if isinstance(self._cfg.to, str) else self._cfg.to
        for _, found in sorted(rows.items()):
            whole, rest = divmod(min(target, self._cfg.copies * len(found)), len(found))
            more = set(rng.sample(found, rest))
            for row in found:
                times[row] = whole + (row in more)
        return times


def _earlier(known: str | None, split: str | None) -> str | None:
    """Return the split to balance: `train` where there is one, else the first that was seen."""
    return split if known is None or split == "train" else known
