"""Find rows that contradict one another: the same text with two labels."""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from synthgen.errors import ConfigError
from synthgen.filters.seen import Seen
from synthgen.prepare.item import Item
from synthgen.prepare.log import StepLog
from synthgen.prepare.spool import Spool
from synthgen.prepare.step import Context, StepReason, StepSpec
from synthgen.tasks.normal import comparable

_ACTIONS = ("remove", "majority", "report")


@dataclass
class ContradictionsConfig:
    action: str = "remove"
    """`remove` removes every row of the text. `majority` keeps the rows with the most frequent label of the text, and
    removes all rows where two labels are equally frequent. `report` keeps all rows and counts them."""

    def __post_init__(self) -> None:
        if self.action not in _ACTIONS:
            raise ConfigError(f"action: '{self.action}' is none of {', '.join(_ACTIONS)}")


class Contradictions:
    """Remove or count rows whose text stands in other rows with another label. Put it before `exact`."""

    spec = StepSpec(
        "contradictions",
        "Finds rows with the same text and different labels.",
        (StepReason("contradiction", "has a text that other rows have with another label"),),
    )

    def __init__(self, cfg: ContradictionsConfig, context: Context) -> None:
        self._cfg, self._context = cfg, context

    def __call__(self, rows: Iterable[Item], log: StepLog) -> Iterator[Item]:
        spool, seen, fields = Spool(self._context.work), Seen(), self._context.fields
        labels: dict[int, Counter[str]] = {}
        first_of: list[int] = []
        try:
            for position, item in enumerate(rows):
                spool.append(item)
                label = fields.of_label(item.data)
                text = comparable(fields.whole(item.data)) if label is not None else ""
                if not text:
                    first_of.append(-1)
                    continue
                first = seen.find(text)
                if first is None:
                    seen.add(text, position)
                    first = position
                first_of.append(first)
                labels.setdefault(first, Counter())[str(label)] += 1
            wrong = {first: _kept(counts) for first, counts in labels.items() if len(counts) > 1}
            for item, first in zip(spool, first_of, strict=True):
                if first not in wrong:
                    yield item
                    continue
                label, text = fields.of_label(item.data), fields.whole(item.data)
                if self._cfg.action == "report":
                    log.note(item, "contradiction", f"{text}\n[{label}]")
                    yield item
                elif self._cfg.action == "majority" and label == wrong[first]:
                    yield item
                else:
                    note = "labels: " + ", ".join(f"{name} {count}" for name, count in labels[first].most_common())
                    log.remove(item, "contradiction", text, self._other(spool, first_of, first, item), note=note)
        finally:
            spool.close()

    def _other(self, spool: Spool, first_of: list[int], first: int, item: Item) -> Item | None:
        """Return the first row with the same text and another label."""
        label = self._context.fields.of_label(item.data)
        for position in range(first, len(first_of)):
            if first_of[position] == first:
                other = spool[position]
                if self._context.fields.of_label(other.data) != label:
                    return other
        return None


def _kept(counts: Counter[str]) -> str | None:
    (label, most), (_, second) = counts.most_common(2)
    return label if most > second else None
