"""Write samples as a folder that `datasets.load_from_disk` opens: a DatasetDict of Arrow files."""

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from synthgen.errors import ConfigError
from synthgen.formats.fields import ExportFields
from synthgen.formats.format import ExportRow, Format
from synthgen.ledger.durable import sha256
from synthgen.records import Json
from synthgen.report.features import features, written_as
from synthgen.report.tables import as_table


def _row(_: ExportFields, row: ExportRow) -> Json:
    return row.data


def _write(fields: ExportFields, splits: Mapping[str, Sequence[Json]]) -> dict[str, bytes]:
    import datasets

    names = list(fields.task.schema.get("properties", {}))
    columns = features([row for rows in splits.values() for row in rows], names)
    if columns is None:
        raise ConfigError("--format datasets: a field holds values of more than one type; use --format jsonl")
    columns = written_as(columns, "parquet")
    parts = {}
    for name, rows in splits.items():
        if rows:
            table = as_table(rows, columns)
            mark = sha256(repr((name, table.schema, rows)).encode("utf-8", "replace"))[:16]
            parts[name] = datasets.Dataset(table, fingerprint=mark, split=datasets.NamedSplit(name))
    shown = datasets.are_progress_bars_disabled()
    datasets.disable_progress_bars()
    try:
        with tempfile.TemporaryDirectory(prefix="synthgen-") as scratch:
            folder = Path(scratch)
            datasets.DatasetDict(parts).save_to_disk(str(folder))
            return {
                path.relative_to(folder).as_posix(): path.read_bytes()
                for path in sorted(folder.rglob("*"))
                if path.is_file()
            }
    finally:
        if not shown:
            datasets.enable_progress_bars()


DATASETS = Format(
    "Folder of Hugging Face `datasets`: Arrow files of a DatasetDict",
    "`datasets.load_from_disk`",
    needs=((),),
    convert=_row,
    write=_write,
    files="{split}/",
    load='from datasets import load_from_disk\n\ndataset = load_from_disk("{out}")',
    note="Integers past 64 bits are texts.",
)
