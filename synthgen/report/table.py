"""Compare several runs: one row of figures for each, from its summary, or from its ledger while it has none."""

import csv
import io
import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path

from synthgen.errors import InputError
from synthgen.ledger import Reader
from synthgen.records import Json
from synthgen.report import plain

_FIGURES: dict[str, Callable[[Json], object]] = {
    "target": lambda found: found["target"],
    "accepted": lambda found: found["counts"]["accepted"],
    "acceptance": lambda found: found["rate"]["acceptance"],
    "per_second": lambda found: found["rate"]["accepted_per_s"],
    "tokens": lambda found: found["tokens"]["per_accepted"],
    "cached": lambda found: found["tokens"]["cached_share"],
    "minutes": lambda found: found["seconds"]["total"] / 60,
    "seeds_only": lambda found: found["student"]["seeds_only"],
    "student": lambda found: found["student"]["synthetic"],
    "gain": lambda found: (found["student"] or {}).get("gain_over_described") or found["student"]["gain"],
}
COLUMNS = ("run", "stopped_by", *_FIGURES)
_SHARES = ("acceptance", "cached")


def rows(folders: Sequence[Path]) -> list[Json]:
    """Return one row for each run folder. A figure that is not known yet is None."""
    return [_row(folder) for folder in folders]


def _row(folder: Path) -> Json:
    path = folder / "summary.json"
    if path.is_file():
        found = json.loads(path.read_text(encoding="utf-8"))
        return {"run": str(folder), "stopped_by": found["stopped_by"]} | {
            name: _figure(read, found) for name, read in _FIGURES.items()
        }
    with Reader(folder / "ledger.sqlite") as reader:
        accepted = reader.one("SELECT COUNT(*) FROM samples WHERE origin = 'synthetic'")
        known = {"run": str(folder), "target": reader.meta("target"), "accepted": accepted}
    return dict.fromkeys(COLUMNS) | known


def _figure(read: Callable[[Json], object], found: Json) -> object:
    """Return a number; None where the run has none."""
    try:
        value = read(found)
    except (KeyError, TypeError):
        return None
    if isinstance(value, dict):  # a student's figures, by metric
        value = value.get("mean")
    return value if isinstance(value, int | float) else None


def ordered(found: list[Json], column: str) -> list[Json]:
    """Return the rows by a column, the smallest first; a minus before its name turns the order. Unknown ones come last.

    Raise InputError for a column that does not exist.
    """
    name, down = column.removeprefix("-"), column.startswith("-")
    if name not in COLUMNS:
        raise InputError(
            f"--sort: there is no column '{name}'; use one of {', '.join(COLUMNS)}, with a minus before it for the largest first"
        )
    known = [row for row in found if row[name] is not None]
    return sorted(known, key=lambda row: row[name], reverse=down) + [row for row in found if row[name] is None]


def as_csv(found: Sequence[Json]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(found)
    return text.getvalue()


def as_lines(found: Sequence[Json]) -> list[str]:
    """Return a table in plain text, as wide as its contents."""
    cells = [list(COLUMNS), *([_cell(name, row[name]) for name in COLUMNS] for row in found)]
    widths = [max(len(row[place]) for row in cells) for place in range(len(COLUMNS))]
    return [
        "  ".join(
            cell.ljust(width) if place < 2 else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in cells
    ]


def _cell(name: str, value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, str):
        return plain.one_line(value)
    assert isinstance(value, int | float)
    if name in _SHARES:
        return f"{value:.3f}"
    return str(value) if isinstance(value, int) or math.isnan(value) else f"{value:.4g}"
