"""Export the samples of a run, or the rows of files of a task, in any format."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from synthgen.errors import InputError
from synthgen.formats.fields import ExportFields, fields_of
from synthgen.formats.format import ExportRow, Format, RowError
from synthgen.formats.kinds import KINDS, check_fits
from synthgen.ledger import durable
from synthgen.ledger.durable import exporting, with_manifest, write_folder
from synthgen.records import Json
from synthgen.report.card import Card, dataset_card
from synthgen.report.dataset import refuse_foreign, run_samples
from synthgen.report.features import features, written_as
from synthgen.report.figures import summarise
from synthgen.report.tables import utf8
from synthgen.selection.config import SelectConfig

_SHOWN = 10


@dataclass(frozen=True)
class RunExport:
    """Hold the settings of an export of a run."""

    validation_share: float
    seed: int
    parts: Mapping[str, Any]
    """The task's key `export`."""
    select: SelectConfig | None = None
    skip: bool = False
    """Leave out the samples that the format cannot hold, instead of refusing the export."""


@dataclass
class Made:
    """Hold the records of each split, and the samples that were left out, as `split row: reason`."""

    records: dict[str, list[Any]]
    left_out: list[str] = field(default_factory=list)


def export_run(folder: Path, form: str, place: Path, cfg: RunExport) -> list[str]:
    """Write the samples of a run to the folder `place`, and return lines about the samples that were left out.

    Raise ConfigError for a format that does not fit the task, and InputError for samples that it cannot hold.
    """
    found = run_samples(folder, cfg.validation_share, cfg.seed, cfg.select)
    fields = fields_of(found.task, cfg.parts)
    rows = {
        name: [ExportRow(number, sample.id, data) for number, (sample, data) in enumerate(chosen, start=1)]
        for name, chosen in found.splits.items()
    }
    made = convert(form, fields, rows, cfg.skip)
    files = written(form, fields, made)
    kind = KINDS[form]
    columns = _columns(made, kind)
    card = Card(
        task=found.task,
        summary=summarise(folder, cfg.select),
        settings=found.settings,
        columns=columns,
        large=[],
        form=form,
        splits={name: (len(flat(each)), _bytes(kind, name, files)) for name, each in made.records.items() if each},
        real=found.real,
        data_hash=durable.sha256(b"\0".join(files.values())),
        example=_example(made, rows),
        seed_licences=found.licences,
        files=kind.files,
        load=_load(kind),
        note=_note(kind, made),
        is_table=kind.is_table,
    )
    with exporting(place, f"synthgen export {folder} --format {form} --out {place}"):
        put(place, {**files, "README.md": utf8(dataset_card(card))})
    return made.left_out


def put(place: Path, files: Mapping[str, bytes]) -> None:
    """Write the files and their manifest to a folder that is new, empty or an earlier export."""
    refuse_foreign(place)
    place.parent.mkdir(parents=True, exist_ok=True)
    write_folder(place, with_manifest(files))


def convert(form: str, fields: ExportFields, rows: Mapping[str, Sequence[ExportRow]], skip: bool) -> Made:
    """Return the records of a format. Raise InputError that names the samples it cannot hold, unless `skip`."""
    check_fits(form, fields)
    kind = KINDS[form]
    made = Made({name: [] for name in rows})
    for name, listed in rows.items():
        for row in listed:
            try:
                made.records[name].append(kind.convert(fields, row))
            except RowError as error:
                made.left_out.append(f"{name} row {row.number}: {error}")
    if made.left_out and not skip:
        count = len(made.left_out)
        held = f"{count} sample{'s' if count > 1 else ''}"
        first_line = f"--format {form} cannot hold {held}; leave them out with --skip, or use another format:"
        raise InputError("\n".join([first_line, *first(made.left_out)]))
    if not made.records.get("train") and not any(made.records.values()):
        raise InputError("\n".join([f"--format {form}: it can hold none of the samples:", *first(made.left_out)]))
    return made


def first(lines: Sequence[str]) -> list[str]:
    """Return the first lines, and one about the others."""
    more = [f"... and {len(lines) - _SHOWN} more"] if len(lines) > _SHOWN else []
    return [*lines[:_SHOWN], *more]


def written(form: str, fields: ExportFields, made: Made) -> dict[str, bytes]:
    """Return the files of a format."""
    return KINDS[form].write(fields, made.records)


def _columns(made: Made, kind: Format) -> dict[str, Any] | None:
    if not kind.is_table:
        return None
    told = features([row for records in made.records.values() for row in flat(records)], [])
    return None if told is None else written_as(told, "jsonl")


def flat(records: Sequence[Any]) -> list[Any]:
    """Return the rows of a file. A record is a row, or a list of rows."""
    return [row for one in records for row in (one if isinstance(one, list) else [one])]


def _bytes(kind: Format, split: str, files: Mapping[str, bytes]) -> int:
    start = kind.files.replace("{split}", split)
    return sum(len(data) for name, data in files.items() if name.startswith(start))


def _example(made: Made, rows: Mapping[str, Sequence[ExportRow]]) -> Json:
    """Return the first record where it is a JSON object, else the first sample."""
    record = next(row for records in made.records.values() for row in flat(records))
    if isinstance(record, dict):
        return record
    return next(row.data for listed in rows.values() for row in listed)


def _load(kind: Format) -> str:
    file = kind.files.replace("{split}", "train")
    return kind.load.replace("{out}", "path/to/dataset").replace("{file}", f"path/to/dataset/{file}")


def _note(kind: Format, made: Made) -> str:
    left = f"{len(made.left_out)} samples are left out, because this format cannot hold them." if made.left_out else ""
    return " ".join(part for part in (kind.note, left) if part)
