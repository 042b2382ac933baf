"""Run a chain over the seeds, texts or passages of a run, in memory, before the run begins (`run.prepare`)."""

import tempfile
from collections import Counter
from collections.abc import Iterable, Sequence
from io import BytesIO
from pathlib import Path
from typing import NamedTuple

from synthgen.errors import ConfigError
from synthgen.prepare.chain import make_steps
from synthgen.prepare.item import Item, Origin, RowFields
from synthgen.prepare.log import StepLog
from synthgen.prepare.settings import Settings
from synthgen.prepare.step import Context
from synthgen.records import Json

_REFUSED = ("split", "balance")


class Cleaned(NamedTuple):
    """Hold the rows that stay, each with its index in the input, and the counts of removed and changed rows."""

    rows: list[tuple[int, Json]]
    removed: Counter[str]
    changed: Counter[str]

    def sentence(self, given: int, what: str) -> str:
        """Return the counts as a sentence for the terminal. `what` names the rows, such as `seeds`."""
        counts = [f"{code} {count:,}" for code, count in (*self.removed.items(), *self.changed.items())]
        return f"run.prepare: {len(self.rows):,} of {given:,} {what} stay" + (
            f" ({', '.join(counts)})" if counts else ""
        )


def cleaned(
    rows: Sequence[Json], settings: Settings, text: Sequence[str], label: str | None, own_fields: bool = True
) -> Cleaned:
    """Return the rows that stay, with the fields that they had. `text` are the fields to compare them by.

    The key `text` of the settings comes first, unless the rows have no `own_fields`. Raise ConfigError for a step that makes no sense in a run, or whose result would differ after
    a resume.
    """
    for number, (name, cfg) in enumerate(settings.steps):
        if name in _REFUSED:
            raise ConfigError(
                f"run.prepare: {settings.place(number)}: rows of a run are not divided or repeated; leave this step out"
            )
        if getattr(cfg, "mode", "") == "pseudonymise" and not cfg.salt:
            raise ConfigError(
                f"run.prepare: {settings.place(number)}: set `salt`, so that a resume gets the same names"
            )
    with tempfile.TemporaryDirectory() as folder:
        bases = [settings.file.parent] if settings.file else []
        fields = RowFields((settings.text if own_fields else ()) or tuple(text), label or settings.label)
        context = Context(fields, Path(folder), settings.seed, Path(folder), bases)
        logs, sink = list[StepLog](), BytesIO()
        items: Iterable[Item] = [Item(dict(row), Origin("rows", place)) for place, row in enumerate(rows)]
        for (name, _), step in zip(settings.steps, make_steps(settings, context), strict=True):
            logs.append(StepLog(name, sink))
            items = step(items, logs[-1])
        kept = [
            (item.origin.line, {key: item.data[key] for key in rows[item.origin.line] if key in item.data})
            for item in items
        ]
    removed = sum((log.removed for log in logs), Counter[str]())
    changed = sum((log.changed for log in logs), Counter[str]())
    return Cleaned(kept, removed, changed)
