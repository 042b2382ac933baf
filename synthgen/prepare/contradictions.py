"""Find rows that contradict one another: the same text with two labels."""

from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from synthgen.errors import ConfigError
from synthgen.filters.seen import Seen
from synthgen.prepare.item import Item
from synthgen.prepare.log import StepLog
from synthgen.prepare.spool import Spool
from synthgen.prepare.step import Context, StepReason, StepSpec
from synthgen.tasks.normal import comparable

_ACTIONS = ("remove", "majority", "report")
_NONE = -1
"""Text of a row without text or label, which contradicts nothing."""


@dataclass
class ContradictionsConfig:
    action: str = "remove"
    """`remove` removes every row of the text. `majority` keeps the rows with the most frequent label of the text, and
    removes all rows where two labels are equally frequent. `report` keeps all rows and counts them."""

    def __post_init__(self) -> None:
        if self.action not in _ACTIONS:
            raise ConfigError(f"action: '{self.action}' is none of {', '.join(_ACTIONS)}")


class Contradictions:
    """Remove or count rows whose text occurs in other rows with another label. Put this step before `exact`."""

    spec = StepSpec(
        "contradictions",
        "Finds rows with the same text and different labels.",
        (StepReason("contradiction", "has a text that other rows have with another label"),),
    )

    def __init__(self, cfg: ContradictionsConfig, context: Context) -> None:
        self._cfg, self._context = cfg, context

    def __call__(self, rows: Iterable[Item], log: StepLog) -> Iterator[Item]:
        spool, seen, fields = Spool(self._context.work), Seen(), self._context.fields
        names: dict[str, int] = {}
        text_of, label_of = array("q"), array("q")
        try:
            for position, item in enumerate(rows):
                spool.append(item)
                label = fields.of_label(item.data)
                text = comparable(fields.whole(item.data)) if label is not None else ""
                first = seen.find(text) if text else _NONE
                if first is None:
                    seen.add(text, position)
                    first = position
                text_of.append(first)
                label_of.append(names.setdefault(str(label), len(names)))
            found = _contradictions(text_of, label_of, list(names))
            for item, first in zip(spool, text_of, strict=True):
                labels = found.get(first)
                if labels is None:
                    yield item
                    continue
                label, text = str(fields.of_label(item.data)), fields.whole(item.data)
                if self._cfg.action == "report":
                    log.note(item, "contradiction", f"{text}\n[{label}]", labels.words)
                    yield item
                elif self._cfg.action == "majority" and label == labels.majority:
                    yield item
                else:
                    other = spool[min(place for name, (_, place) in labels.rows.items() if name != label)]
                    log.remove(item, "contradiction", text, other, note=labels.words)
        finally:
            spool.close()


class _Labels(NamedTuple):
    """Hold the labels of one text: for each label, the number of rows and the position of the first one."""

    rows: dict[str, tuple[int, int]]

    @property
    def majority(self) -> str | None:
        (label, (most, _)), (_, (second, _)) = self._ordered[:2]
        return label if most > second else None

    @property
    def words(self) -> str:
        return "labels: " + ", ".join(f"{name} {count}" for name, (count, _) in self._ordered)

    @property
    def _ordered(self) -> list[tuple[str, tuple[int, int]]]:
        return sorted(self.rows.items(), key=lambda each: (-each[1][0], each[1][1]))


def _contradictions(text_of: "array[int]", label_of: "array[int]", names: Sequence[str]) -> dict[int, _Labels]:
    """Return the labels of each text that has several. A text is named by the position of its first row."""
    pairs = np.stack([np.asarray(text_of, dtype=np.int64), np.asarray(label_of, dtype=np.int64)], axis=1)
    pairs, firsts, counts = np.unique(pairs, axis=0, return_index=True, return_counts=True)
    texts, sizes = np.unique(pairs[:, 0], return_counts=True)
    several = np.isin(pairs[:, 0], texts[(sizes > 1) & (texts != _NONE)])
    found: dict[int, _Labels] = {}
    for (text, label), first, count in zip(pairs[several].tolist(), firsts[several], counts[several], strict=True):
        found.setdefault(text, _Labels({})).rows[names[label]] = int(count), int(first)
    return found
