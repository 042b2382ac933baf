"""Remove rows whose text equals an earlier row's, in the form in which synthgen compares all texts."""

from array import array
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from synthgen.errors import ConfigError
from synthgen.filters.seen import Seen
from synthgen.prepare.best import KEEP, Quality
from synthgen.prepare.item import Item
from synthgen.prepare.log import StepLog
from synthgen.prepare.spool import Spool
from synthgen.prepare.step import Context, StepReason, StepSpec
from synthgen.tasks.normal import comparable


@dataclass
class ExactConfig:
    keep: str = "first"
    """Row to keep of several equal ones: the first one, or the best one."""
    score: str = ""
    """Field with the quality of a row, a number, for `keep: best`. Empty: the longest row is best."""
    labels: bool = False
    """Compare the label too, so that equal texts with different labels stay."""

    def __post_init__(self) -> None:
        if self.keep not in KEEP:
            raise ConfigError(f"keep: '{self.keep}' is none of {', '.join(KEEP)}")


class Exact:
    """Remove every row whose text equals another row's in lower case, without punctuation and in one script form.

    A row without any text is passed on.
    """

    spec = StepSpec(
        "exact",
        "Removes rows whose text equals another row's, whatever their case, punctuation, width and script form.",
        (StepReason("duplicate", "has the same text as another row"),),
    )

    def __init__(self, cfg: ExactConfig, context: Context) -> None:
        self._cfg, self._context = cfg, context

    def __call__(self, rows: Iterable[Item], log: StepLog) -> Iterator[Item]:
        spool = Spool(self._context.work)
        try:
            yield from self._best(rows, log, spool) if self._cfg.keep == "best" else self._first(rows, log, spool)
        finally:
            spool.close()

    def _first(self, rows: Iterable[Item], log: StepLog, spool: Spool) -> Iterator[Item]:
        """Remove all but the first of equal rows. Rows that stay go to the spool, because they may become neighbours."""
        seen = Seen()
        for item in rows:
            key = self._key(item)
            if key is None or (first := seen.find(key)) is None:
                if key is not None:
                    seen.add(key, len(spool))
                spool.append(item)
                yield item
            else:
                self._remove(item, spool.read_back(first), log)

    def _best(self, rows: Iterable[Item], log: StepLog, spool: Spool) -> Iterator[Item]:
        seen, quality = Seen(), Quality(self._cfg.score, self._context.fields)
        group_of, scores = array("q"), array("d")
        for position, item in enumerate(rows):
            spool.append(item)
            key = self._key(item)
            first = seen.find(key) if key is not None else None
            if first is None:
                first = position
                if key is not None:
                    seen.add(key, position)
            group_of.append(first)
            scores.append(quality(item))
        groups = np.asarray(group_of)
        order = np.lexsort((-np.asarray(scores), groups))  # stable: of equally good rows the first one comes first
        best = order[np.flatnonzero(np.diff(groups[order], prepend=-1))]
        chosen = np.empty(len(groups), dtype=np.int64)
        chosen[groups[best]] = best
        chosen = chosen[groups]
        for position, item in enumerate(spool):
            if chosen[position] == position:
                yield item
            else:
                self._remove(item, spool[int(chosen[position])], log)

    def _remove(self, item: Item, neighbour: Item, log: StepLog) -> None:
        whole = self._context.fields.whole
        log.remove(item, "duplicate", whole(item.data), neighbour, whole(neighbour.data))

    def _key(self, item: Item) -> str | None:
        text = comparable(self._context.fields.whole(item.data))
        if not text:
            return None
        return f"{text}\0{self._context.fields.of_label(item.data)}" if self._cfg.labels else text
