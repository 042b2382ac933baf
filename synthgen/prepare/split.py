"""Divide rows into splits, stratified by a field, so that no group and no near-duplicates are in two splits."""

import random
from array import array
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from re import fullmatch
from sys import intern

import numpy as np
import numpy.typing as npt

from synthgen.errors import ConfigError, InputError
from synthgen.prepare.collect import TEXT_SUFFIXES
from synthgen.prepare.item import Item
from synthgen.prepare.log import StepLog
from synthgen.prepare.minhash import Signatures
from synthgen.prepare.spool import Spool
from synthgen.prepare.step import Context, StepReason, StepSpec
from synthgen.records import canonical
from synthgen.tasks.documents import EXTRACTED
from synthgen.tasks.prepared import SOURCES, is_origin

_NONE = -1
"""Number of the group of a row without a group."""
DOCUMENT = "document"
"""Value of `group` that groups the rows of one document, or of one row of a table."""


@dataclass
class SplitConfig:
    shares: dict[str, float] = field(default_factory=lambda: {"train": 0.8, "validation": 0.1, "test": 0.1})
    """Each split and its share of the rows."""
    by: str = ""
    """Field whose values get the same shares in every split, such as the label. Empty: the label field."""
    group: str = ""
    """Field whose equal values stay in one split, such as an author; `document` for the parts of one text, Markdown, HTML,
    PDF or DOCX file, and for rows of the same line of a table."""
    near: float | None = 0.7
    """Keep rows with at least this similarity in one split (as in `near`); null does not compare them."""
    name: str = "split"
    """Field that the split is written to."""

    def __post_init__(self) -> None:
        if len(self.shares) < 2 or any(share <= 0 for share in self.shares.values()):
            raise ConfigError("shares: name two splits or more, each with a share above 0")
        if abs(sum(self.shares.values()) - 1) > 1e-6:
            raise ConfigError(f"shares: must add up to 1, got {sum(self.shares.values()):g}")
        for split in self.shares:
            if not fullmatch(r"[A-Za-z][\w-]{0,40}", split) or split in ("prepared", "removed"):
                raise ConfigError(f"shares: '{split}' cannot be the name of a file; use letters, digits, _ and -")
        if self.near is not None and not 0.3 <= self.near <= 1:
            raise ConfigError(f"near: must be from 0.3 to 1, or null, got {self.near}")


class Split:
    """Write the split of each row to a field, and the rows of each split to a file of its own."""

    spec = StepSpec("split", "Divides rows into splits; rows that belong together stay together.",
                    (StepReason("assigned", "got a split"),))  # fmt: skip

    def __init__(self, cfg: SplitConfig, context: Context) -> None:
        self._cfg, self._context = cfg, context

    def __call__(self, rows: Iterable[Item], log: StepLog) -> Iterator[Item]:
        cfg, context = self._cfg, self._context
        spool, signatures = Spool(context.work), None
        if cfg.near is not None:
            signatures = Signatures(context.work, context.fields, cfg.near)
        strata, groups = list[str](), array("q")
        numbers: dict[str, int] = {}
        try:
            for item in rows:
                if cfg.name in item.data:
                    place = f"{item.origin.file}:{item.origin.line}"
                    raise InputError(f"{place}: the row has a field '{cfg.name}' already; name another one with `name`")
                spool.append(item)
                strata.append(intern(canonical(item.data.get(cfg.by or context.fields.label))))
                group = self._group(item)
                groups.append(_NONE if group is None else numbers.setdefault(group, len(numbers)))
                if signatures is not None:
                    signatures.add(item)
            pairs = [(row, near) for row, near, _ in signatures.pairs(spool)] if signatures is not None else []
            chosen = self._choose(strata, _sets(groups, pairs))
            log.figures |= {"rows": dict(Counter(chosen)), **_crossing(chosen, groups, pairs)}
            for item, split in zip(spool, chosen, strict=True):
                yield replace(item, data={**item.data, cfg.name: split}, split=split)
        finally:
            spool.close()
            if signatures is not None:
                signatures.close()

    def _group(self, item: Item) -> str | None:
        if self._cfg.group == DOCUMENT:
            own = item.data.get(SOURCES[1]) or item.data.get(SOURCES[0])
            file = str(own["file"]) if isinstance(own, dict) and is_origin(own) else ""
            return file if Path(file).suffix.lower() in (*TEXT_SUFFIXES, *EXTRACTED) else canonical(own)
        value = item.data.get(self._cfg.group) if self._cfg.group else None
        return None if value is None else canonical(value)

    def _choose(self, strata: Sequence[str], sets: "_Sets") -> list[str]:
        """Give each set of rows to the split that lacks most of its strata; large sets first, equal ones at random.

        A split that has no room for a set gets it only if no split has, so that a large set does not fill a small split.
        """
        rng = random.Random(self._context.seed)
        total = Counter(strata)
        order = list(range(len(sets)))
        rng.shuffle(order)
        order.sort(key=sets.size, reverse=True)
        has = {split: Counter[str]() for split in self._cfg.shares}
        sizes = dict.fromkeys(self._cfg.shares, 0)
        chosen = [""] * len(strata)
        for rows in map(sets.rows, order):
            own = Counter(strata[row] for row in rows)

            def lacks(split: str, own: Counter[str] = own, size: int = len(rows)) -> tuple[bool, float, float, float]:
                share = self._cfg.shares[split]
                missing = sum(count * (share * total[name] - has[split][name]) for name, count in own.items())
                room = share * len(strata) - sizes[split]
                return size <= room + 0.5, round(missing / share, 6), round(room / share, 6), share

            split = max(self._cfg.shares, key=lacks)
            has[split].update(own)
            sizes[split] += len(rows)
            for row in rows:
                chosen[row] = split
        return chosen


class _Sets:
    """Hold the sets of rows that must stay together, in arrays: in memory a row takes 16 bytes."""

    def __init__(self, root_of: npt.NDArray[np.int64]) -> None:
        """Make a set of the rows with the same number in `root_of`. The set of the earliest row comes first."""
        _, firsts, kinds = np.unique(root_of, return_index=True, return_inverse=True)
        place = np.empty(len(firsts), dtype=np.int64)
        place[np.argsort(firsts)] = np.arange(len(firsts))
        number = place[kinds]
        self._rows = np.argsort(number, kind="stable")
        self._ends = np.cumsum(np.bincount(number))

    def __len__(self) -> int:
        return len(self._ends)

    def size(self, number: int) -> int:
        return int(self._ends[number] - (self._ends[number - 1] if number else 0))

    def rows(self, number: int) -> list[int]:
        found: list[int] = self._rows[self._ends[number] - self.size(number) : self._ends[number]].tolist()
        return found


def _sets(groups: Sequence[int], pairs: Iterable[tuple[int, int]]) -> _Sets:
    """Return the sets of rows that must stay together: by their group, and by chains of near-duplicates."""
    parent = list(range(len(groups)))

    def root(row: int) -> int:
        while parent[row] != row:
            parent[row] = parent[parent[row]]
            row = parent[row]
        return row

    first: dict[int, int] = {}
    for row, group in enumerate(groups):
        if group != _NONE:
            parent[root(row)] = root(first.setdefault(group, row))
    for one, other in pairs:
        parent[root(one)] = root(other)
    return _Sets(np.fromiter(map(root, range(len(groups))), dtype=np.int64, count=len(groups)))


def _crossing(chosen: Sequence[str], groups: Sequence[int], pairs: Iterable[tuple[int, int]]) -> dict[str, int]:
    """Count the groups and near-duplicate pairs that are in two of the finished splits. The count must be 0."""
    splits: dict[int, set[str]] = {}
    for split, group in zip(chosen, groups, strict=True):
        if group != _NONE:
            splits.setdefault(group, set()).add(split)
    crossing = sum(len(found) > 1 for found in splits.values())
    across = sum(chosen[one] != chosen[other] for one, other in pairs)
    assert crossing == across == 0, "rows that belong together were divided"
    return {"groups": len(splits), "groups_across_splits": crossing, "near_pairs_across_splits": across}
