"""Remove near-duplicate rows, found with MinHash."""

from array import array
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from synthgen.errors import ConfigError
from synthgen.prepare.best import KEEP, Quality
from synthgen.prepare.item import Item
from synthgen.prepare.log import StepLog
from synthgen.prepare.minhash import Signatures
from synthgen.prepare.spool import Spool
from synthgen.prepare.step import Context, StepReason, StepSpec


@dataclass
class NearConfig:
    threshold: float = 0.8
    """Least Jaccard similarity of two near-duplicates, over substrings of five letters. One changed word in a sentence of
    ten words gives 0.7."""
    keep: str = "first"
    """Near-duplicate to keep: the first one, or the best one."""
    score: str = ""
    """Field with the quality of a row, a number, for `keep: best`. Empty: the longest row is best."""

    def __post_init__(self) -> None:
        if not 0.3 <= self.threshold <= 1:
            raise ConfigError(f"threshold: must be from 0.3 to 1, got {self.threshold}")
        if self.keep not in KEEP:
            raise ConfigError(f"keep: '{self.keep}' is none of {', '.join(KEEP)}")


class Near:
    """Remove near-duplicates. A row is removed only if a near-duplicate of it stays."""

    spec = StepSpec(
        "near",
        "Removes rows that share most of their substrings with another row (MinHash).",
        (StepReason("near_duplicate", "has nearly the same words as another row"),),
    )

    def __init__(self, cfg: NearConfig, context: Context) -> None:
        self._cfg, self._context = cfg, context

    def __call__(self, rows: Iterable[Item], log: StepLog) -> Iterator[Item]:
        context, best = self._context, self._cfg.keep == "best"
        spool, quality = Spool(context.work), Quality(self._cfg.score, context.fields)
        signatures = Signatures(context.work, context.fields, self._cfg.threshold)
        scores = array("d")
        try:
            for item in rows:
                spool.append(item)
                signatures.add(item)
                if best:
                    scores.append(-quality(item))
            order = np.asarray(scores) if best else None
            likest = self._removed(signatures.pairs(spool, order), len(spool), order)
            for position, item in enumerate(spool):
                if position not in likest:
                    yield item
                    continue
                neighbour, share = likest[position]
                other, whole = spool[neighbour], context.fields.whole
                note = f"similarity {share:.2f}"
                log.remove(item, "near_duplicate", whole(item.data), other, whole(other.data), note=note)
        finally:
            spool.close()
            signatures.close()

    @staticmethod
    def _removed(
        pairs: Iterable[tuple[int, int, float]],
        count: int,
        order: "np.ndarray[tuple[int], np.dtype[np.float64]] | None",
    ) -> dict[int, tuple[int, float]]:
        """Return the rows to remove, each with the neighbour that stays and their similarity."""
        near: dict[int, list[tuple[int, float]]] = {}
        for row, neighbour, share in pairs:
            near.setdefault(row, []).append((neighbour, share))
        turns = np.arange(count) if order is None else np.argsort(order, kind="stable")
        removed: dict[int, tuple[int, float]] = {}
        for row in turns.tolist():
            staying = [each for each in near.get(row, ()) if each[0] not in removed]
            if staying:
                removed[row] = max(staying, key=lambda each: each[1])
        return removed
