"""Compare several runs: one row of figures for each, from its summary, or from its ledger while it has none.

Runs whose configs differ in few keys, such as those of a sweep, have a column for each of these.
"""

import csv
import io
import json
import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml  # type: ignore[import-untyped]

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
_OWN = ("run.name", "run.dir", "adapt.dir")
"""Keys whose values every run has to itself."""
_MOST_KEYS = 8


def rows(folders: Sequence[Path]) -> list[Json]:
    """Return one row for each run folder. A figure that is not known yet is None.

    After its first column a row has the values of the config in which the runs differ, if they differ in few keys.
    """
    values = _differing([_config(folder) for folder in folders])
    return [
        {"run": str(folder), **given, **{name: value for name, value in _row(folder).items() if name != "run"}}
        for folder, given in zip(folders, values, strict=True)
    ]


def _config(folder: Path) -> Json | None:
    """Return the keys of a run's config with their values, or None where the folder has no config."""
    path = folder / "config.yaml"
    if not path.is_file():
        return None
    return dict(_flat(yaml.safe_load(path.read_text(encoding="utf-8")), ""))


def _flat(value: Any, key: str) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict) and value:
        for name, inner in value.items():
            yield from _flat(inner, f"{key}.{name}" if key else str(name))
    else:
        yield key, value if isinstance(value, int | float | str | None) else json.dumps(value, ensure_ascii=False)


def _differing(configs: Sequence[Json | None]) -> list[Json]:
    """Return for each config the keys in which the configs differ, with its values; nothing if they are many."""
    known = [config for config in configs if config is not None]
    keys = list(dict.fromkeys(key for config in known for key in config if key not in _OWN))
    keys = [key for key in keys if any(config.get(key) != known[0].get(key) for config in known[1:])]
    if len(keys) > _MOST_KEYS:
        keys = []
    return [{key: config and config.get(key) for key in keys} for config in configs]


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
    if name not in found[0]:
        raise InputError(
            f"--sort: there is no column '{name}'; use one of {', '.join(found[0])}, with a minus before it for the largest first"
        )
    known = [row for row in found if row[name] is not None]
    known.sort(key=lambda row: (isinstance(row[name], str), row[name]), reverse=down)
    return known + [row for row in found if row[name] is None]


def as_csv(found: Sequence[Json]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, list(found[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(found)
    return text.getvalue()


def as_lines(found: Sequence[Json]) -> list[str]:
    """Return a table in plain text, as wide as its contents."""
    names = list(found[0])
    cells = [names, *([_cell(name, row[name]) for name in names] for row in found)]
    widths = [max(len(row[place]) for row in cells) for place in range(len(names))]
    return [
        "  ".join(
            cell.rjust(width) if name in _FIGURES else cell.ljust(width)
            for name, cell, width in zip(names, row, widths, strict=True)
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
