"""Balance rows over the values of a field: remove rows of frequent values, repeat rows of rare ones, or write quotas
for a run that generates the missing rows."""

import json
import random
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from sys import intern
from typing import Any

from synthgen.errors import ConfigError
from synthgen.prepare.item import Item
from synthgen.prepare.log import StepLog
from synthgen.prepare.spool import Spool
from synthgen.prepare.step import Context, StepReason, StepSpec
from synthgen.records import canonical

_TARGETS = ("smallest", "median", "largest")
QUOTAS = "quotas"
"""Name of the budget that `synthgen run --config-dir DIR budget=quotas` reads."""


@dataclass
class BalanceConfig:
    by: str = ""
    """Field whose values are balanced. Empty: the label field. Rows without a value stay as they are."""
    to: str | int = "smallest"
    """Rows of each value afterwards: those of the smallest, median or largest value, or a number."""
    copies: int = 5
    """Most times that a row is in the result, where rows must be repeated."""
    quotas: bool = False
    """Change no row, and write budget/quotas.yaml into DIR: the samples of each label that a run should generate, so that
    every value has as many rows as `to` says (`--write-quotas`)."""

    def __post_init__(self) -> None:
        if isinstance(self.to, str) and self.to not in _TARGETS:
            raise ConfigError(f"to: '{self.to}' is none of {', '.join(_TARGETS)}, and no number")
        if isinstance(self.to, int) and self.to < 1:
            raise ConfigError(f"to: must be 1 or more, got {self.to}")
        if self.copies < 1:
            raise ConfigError(f"copies: must be 1 or more, got {self.copies}")
        if self.quotas and self.to == "smallest":
            raise ConfigError(
                "quotas: no value has fewer rows than the smallest; set `to` to median, largest or a number"
            )


class Balance:
    """Give every value of a field the same number of rows. After the step `split`, only rows of the first split count."""

    spec = StepSpec(
        "balance",
        "Removes rows of frequent values and repeats rows of rare ones, or writes what a run should generate.",
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
                of.append(None if value is None else intern(_text(value)))
                first_split = _earlier(first_split, item.split)
            if first_split is not None:
                of = [value if item.split == first_split else None for item, value in zip(spool, of, strict=True)]
            counts = Counter(value for value in of if value is not None)
            log.figures["before"] = dict(sorted(counts.items()))
            if self._cfg.quotas:
                log.figures[QUOTAS] = self._write_quotas(counts)
                yield from spool
            else:
                yield from self._balanced(spool, of, log)
        finally:
            spool.close()

    def _balanced(self, spool: Spool, of: list[str | None], log: StepLog) -> Iterator[Item]:
        after = Counter[str]()
        for item, value, count in zip(spool, of, self._times(of), strict=True):
            after.update({value: count} if value is not None else {})
            if not count:
                log.remove(item, "over_represented", self._context.fields.whole(item.data), note=value)
            if count > 1:
                log.repeat(item, "repeated", self._context.fields.whole(item.data))
            yield from (item for _ in range(count))
        log.figures["after"] = dict(sorted(after.items()))

    def _write_quotas(self, counts: Mapping[str, int]) -> dict[str, int]:
        """Write the missing rows of each value as a run's budget, and return it; write nothing if no rows are missing."""
        target = self._target(list(counts.values())) if counts else 0
        quotas = {value: target - count for value, count in sorted(counts.items()) if count < target}
        if quotas:
            lines = [
                f"# Written by synthgen prepare: what each value lacks to have {target:,} rows.",
                f"target: {sum(quotas.values())}",
                "quotas:",
                *(f"  {json.dumps(value, ensure_ascii=False)}: {count}" for value, count in quotas.items()),
            ]
            file = quotas_file(self._context.out)
            file.parent.mkdir(exist_ok=True)
            file.write_text("\n".join(lines) + "\n", encoding="utf-8")
        return quotas

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
        target = self._target([len(found) for found in rows.values()])
        for _, found in sorted(rows.items()):
            whole, rest = divmod(min(target, self._cfg.copies * len(found)), len(found))
            more = set(rng.sample(found, rest))
            for row in found:
                times[row] = whole + (row in more)
        return times

    def _target(self, sizes: list[int]) -> int:
        """Return the rows that each value should have, from those that it has."""
        named = {"smallest": min(sizes), "median": round(median(sizes)), "largest": max(sizes)}
        return named[self._cfg.to] if isinstance(self._cfg.to, str) else self._cfg.to


def quotas_file(folder: Path) -> Path:
    """Return the place of the quotas in a folder that `synthgen run --config-dir` may name."""
    return folder / "budget" / f"{QUOTAS}.yaml"


def _text(value: Any) -> str:
    return value if isinstance(value, str) else canonical(value)


def _earlier(known: str | None, split: str | None) -> str | None:
    """Return the split to balance: `train` where there is one, else the first that was seen."""
    return split if known is None or split == "train" else known
