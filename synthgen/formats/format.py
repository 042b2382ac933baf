"""Define an export format, and how a sample that a format cannot hold is reported."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from synthgen.formats.fields import ExportFields
from synthgen.records import Json


class ExportRow(NamedTuple):
    """Hold one sample of a split: its number, counted from 1, its id and its fields."""

    number: int
    id: str
    data: Json


class RowError(Exception):
    """Report a sample that a format cannot hold. The message names the field and the reason."""


Converter = Callable[[ExportFields, ExportRow], Any]
"""Turns a sample into a record of the format. Raises RowError."""
Writer = Callable[[ExportFields, Mapping[str, Sequence[Any]]], dict[str, bytes]]
"""Turns the records of each split into files."""


class Format(NamedTuple):
    """Describe a format: its content, its reader, the parts of a sample that it needs, and how it is written."""

    meaning: str
    reader: str
    """Tool or library that reads it."""
    needs: tuple[tuple[str, ...], ...]
    """Alternatives: the format fits a task that has all parts of one of them."""
    convert: Converter
    write: Writer
    files: str
    """Name of a split's file, with {split} for the split."""
    load: str
    """Python lines that read the export, with {out} for its folder and {file} for the file of the train split."""
    note: str = ""
    """A paragraph for the README: what differs from the samples."""
    is_table: bool = False
    """True where `datasets.load_dataset` reads the files, so that the README declares splits and features."""

    def fits(self, fields: ExportFields) -> bool:
        return any(fields.has(*parts) for parts in self.needs)


LOAD = 'from datasets import load_dataset\n\ndataset = load_dataset("{out}")'
