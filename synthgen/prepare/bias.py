"""Report how rows are spread over declared attributes and over words about women and men, for each label.

`synthgen evaluate RUN --bias` measures whether a student's answers depend on such words.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import numpy as np

from synthgen.prepare.item import Item
from synthgen.prepare.log import StepLog
from synthgen.prepare.step import Context, StepSpec
from synthgen.records import canonical
from synthgen.safety.swaps import about

_SHOWN = 40
"""Most counts of one attribute in the figures, the most frequent first."""


@dataclass
class BiasConfig:
    by: list[str] = field(default_factory=list)
    """Fields whose balance is reported, such as [gender, region], each for every label."""
    people: bool = True
    """Report how many rows of each label have words about women, men, both or neither (English and Chinese)."""


class Bias:
    """Pass on every row, and count. `association` is Cramér's V of an attribute and the label, from 0 to 1."""

    spec = StepSpec("bias", "Reports how rows and labels are spread over attributes, and over words about people.", ())

    def __init__(self, cfg: BiasConfig, context: Context) -> None:
        self._cfg, self._fields = cfg, context.fields

    def __call__(self, rows: Iterable[Item], log: StepLog) -> Iterator[Item]:
        counts: dict[str, Counter[tuple[str, str]]] = {name: Counter() for name in self._cfg.by}
        if self._cfg.people:
            counts["words_about"] = Counter()
        for item in rows:
            label = self._fields.of_label(item.data) or "no label"
            for name in self._cfg.by:
                value = item.data.get(name)
                counts[name][value if isinstance(value, str) else canonical(value), label] += 1
            if self._cfg.people:
                counts["words_about"][about(self._fields.whole(item.data)), label] += 1
            yield item
        for name, found in counts.items():
            values = Counter[str]()
            for (value, _), count in found.items():
                values[value] += count
            log.figures[name] = dict(values.most_common(_SHOWN))
            log.figures[f"{name}_by_label"] = {
                f"{value} / {label}": count for (value, label), count in found.most_common(_SHOWN)
            }
            if (strength := _association(found)) is not None:
                log.figures[f"{name}_association"] = round(strength, 3)


def _association(counts: Counter[tuple[str, str]]) -> float | None:
    """Return Cramér's V of a table of counts; None for a table with one row or one column."""
    values, labels = (sorted({pair[side] for pair in counts}) for side in (0, 1))
    if len(values) < 2 or len(labels) < 2:
        return None
    table = np.asarray([[counts[value, label] for label in labels] for value in values], dtype=np.float64)
    expected = table.sum(1, keepdims=True) * table.sum(0, keepdims=True) / table.sum()
    chi_squared = float(((table - expected) ** 2 / expected).sum())
    return float(np.sqrt(chi_squared / (table.sum() * (min(table.shape) - 1))))
