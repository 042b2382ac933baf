"""Count the rows that a step changes and removes, keep ten examples, and write removed and flagged rows to files."""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from time import monotonic
from typing import IO, Any

from synthgen.prepare.item import Item, Origin
from synthgen.records import Json, to_json

EXAMPLES = 10
"""Most examples that the report shows of one step."""


@dataclass
class LoggedRow:
    """Hold one row that a step removed or changed, as the report shows it."""

    reason: str
    origin: Origin
    before: str
    after: str | None = None
    """The text after the change; None for a removed row."""
    neighbour: Origin | None = None
    near: str | None = None
    """The text of the neighbour."""
    note: str | None = None


@dataclass
class StepLog:
    """Collect the counts and examples of one step.

    `file` gets one line of JSON for each removed row, `flagged` one for each row that stays although the step found
    something in it.
    """

    name: str
    file: IO[bytes]
    rows_in: int = 0
    rows_out: int = 0
    seconds: float = 0.0
    removed: Counter[str] = field(default_factory=Counter)
    changed: Counter[str] = field(default_factory=Counter)
    figures: Json = field(default_factory=dict)
    """Further figures for the summary, by name."""
    flagged: IO[bytes] | None = None
    _examples: dict[str, list[LoggedRow]] = field(default_factory=dict)

    def remove(
        self,
        item: Item,
        reason: str,
        text: str,
        neighbour: Item | None = None,
        near: str | None = None,
        place: Origin | None = None,
        note: str | None = None,
    ) -> None:
        """Record that the step removed a row. `text` and `near` are the texts of the row and of its neighbour.

        `place` is the neighbour's origin where the neighbour is in another file.
        """
        self.removed[reason] += 1
        where = neighbour.origin if neighbour is not None else place
        line = {
            "step": self.name,
            "reason": reason,
            "source": item.origin.json,
            "neighbour": where.json if where else None,
        }
        if note is not None:
            line["note"] = note
        self.file.write(f"{to_json({**line, 'row': item.data})}\n".encode())
        self._example(LoggedRow(reason, item.origin, text, None, where, near, note))

    def change(self, item: Item, reason: str, before: str, after: str) -> None:
        """Record that the step changed a row, with the text before and after the change."""
        self.changed[reason] += 1
        self._example(LoggedRow(reason, item.origin, before, after))

    def note(self, item: Item, reason: str, text: str, note: str | None = None) -> None:
        """Record that the step found something in a row, which it passes on unchanged. `text` is in the report only."""
        self.changed[reason] += 1
        if self.flagged is not None:
            line = {"step": self.name, "reason": reason, "source": item.origin.json}
            self.flagged.write(f"{to_json(line | ({'note': note} if note else {}))}\n".encode())
        self._example(LoggedRow(reason, item.origin, text, note=f"unchanged; {note}" if note else "unchanged"))

    def repeat(self, item: Item, reason: str, text: str) -> None:
        """Record that the step repeats a row."""
        self.changed[reason] += 1
        self._example(LoggedRow(reason, item.origin, text, note="unchanged"))

    @property
    def examples(self) -> list[LoggedRow]:
        """Return up to ten examples: one of each reason, then a second one of each, and so on.

        A row that was changed for several reasons is one example, with all of them.
        """
        rows: dict[tuple[Any, ...], LoggedRow] = {}
        for turn in range(EXAMPLES):
            for each in self._examples.values():
                if turn < len(each):
                    one = each[turn]
                    key = (one.origin, one.before, one.after, one.neighbour, one.note)
                    known = rows.get(key)
                    rows[key] = replace(known, reason=f"{known.reason}, {one.reason}") if known else one
        return list(rows.values())[:EXAMPLES]

    def measured_in(self, rows: Iterable[Item]) -> Iterator[Item]:
        """Pass on the rows that the step reads, and count them. The time to make them is not the step's own."""
        source = iter(rows)
        while True:
            start = monotonic()
            item = next(source, None)
            self.seconds -= monotonic() - start
            if item is None:
                return
            self.rows_in += 1
            yield item

    def measured_out(self, rows: Iterable[Item]) -> Iterator[Item]:
        """Pass on the rows that the step returns, and count them and the time."""
        source = iter(rows)
        while True:
            start = monotonic()
            item = next(source, None)
            self.seconds += monotonic() - start
            if item is None:
                return
            self.rows_out += 1
            yield item

    @property
    def summary(self) -> Json:
        counts = {
            "in": self.rows_in,
            "out": self.rows_out,
            "removed": dict(self.removed),
            "changed": dict(self.changed),
        }
        return {**counts, **self.figures, "seconds": round(self.seconds, 3)}

    def _example(self, example: LoggedRow) -> None:
        kept = self._examples.setdefault(example.reason, [])
        if len(kept) < EXAMPLES:
            kept.append(example)
