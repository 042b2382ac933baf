"""Read rows of JSON objects from files and datasets, each with its place in the file.

This package handles formats and limits; `synthgen.tasks.seeds` checks the rows against the task. A problem is added to
the problems of its file, and reading continues as far as possible.
"""

from collections.abc import Iterator

from synthgen.errors import InputError
from synthgen.tasks.rows.columnar import parquet_rows
from synthgen.tasks.rows.columns import Columns, any_columns
from synthgen.tasks.rows.csvfile import csv_rows
from synthgen.tasks.rows.hub import folder_rows, hub_rows, is_dataset_folder
from synthgen.tasks.rows.located import Place, Problems, Row
from synthgen.tasks.rows.source import HubDataset, Source, find_source
from synthgen.tasks.rows.stream import open_file
from synthgen.tasks.rows.textfiles import json_array, json_lines

__all__ = ["Columns", "HubDataset", "Place", "Problems", "Row", "Source", "any_columns", "find_source", "read_rows"]


def read_rows(source: Source, columns: Columns, problems: Problems, others: str = "") -> Iterator[Row]:
    """Yield every usable row of `source` in order, and add the faults of the other rows to `problems`.

    Raise InputError if nothing can be read. Its message about an unknown format ends with `others`.
    """
    if isinstance(source, HubDataset):
        return hub_rows(source, columns, problems)
    if is_dataset_folder(source):
        return folder_rows(source, columns, problems)
    open_file(
        source, problems.file_bytes
    ).close()  # report a pipe, a folder or a missing permission before an unknown suffix
    suffixes = [suffix.lower() for suffix in source.suffixes]
    packed = suffixes[-1:] == [".gz"]
    match suffixes[-2] if packed and len(suffixes) > 1 else "".join(suffixes[-1:]):
        case ".jsonl" | ".ndjson":
            return json_lines(source, problems)
        case ".json":
            return json_array(source, problems)
        case ".csv":
            return csv_rows(source, columns, problems)
        case ".tsv":
            return csv_rows(source, columns, problems, "\t")
        case ".parquet" if not packed:
            return parquet_rows(source, columns, problems)
    raise InputError(
        f"{source}: the end of its name says nothing that is read; name it .jsonl, .ndjson, .json, .csv or .tsv, with"
        f" or without .gz behind, or .parquet, by what it holds{others}"
    )
