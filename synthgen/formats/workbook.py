"""Write samples as Excel workbooks, one file a split.

Every text stays a text. A cell that begins like a formula is marked as text, as Excel does for a leading apostrophe.
"""

import io
import re
import zipfile
from collections.abc import Mapping, Sequence
from typing import Any

from synthgen.errors import InputError
from synthgen.formats.fields import ExportFields
from synthgen.formats.format import ExportRow, Format, RowError
from synthgen.records import Json
from synthgen.report.tables import harmless
from synthgen.safety.untrusted import clean
from synthgen.tasks.task import as_text

MOST_CHARACTERS = 32_767
MOST_ROWS = 1_048_575
"""Rows of a sheet below the header."""
_EXACT = 10**15
"""Excel keeps 15 digits of a number."""
_PROPERTIES = "docProps/core.xml"
_TIME = re.compile(rb"(<dcterms:(?:created|modified)[^>]*>)[^<]*(</)")


def _row(_: ExportFields, row: ExportRow) -> dict[str, Any]:
    return {name: _value(name, value) for name, value in row.data.items()}


def _value(name: str, value: Any) -> Any:
    if value is None or isinstance(value, bool | float):
        return value
    if isinstance(value, int):
        return value if abs(value) < _EXACT else str(value)
    text = clean(as_text(value))
    if len(text) > MOST_CHARACTERS:
        raise RowError(f"{name}: {len(text):,} characters; a cell of Excel holds {MOST_CHARACTERS:,}")
    return text


def _write(fields: ExportFields, splits: Mapping[str, Sequence[Json]]) -> dict[str, bytes]:
    found = {name for rows in splits.values() for row in rows for name in row}
    known = [name for name in fields.task.schema.get("properties", {}) if name in found]
    names = [*known, *sorted(found - set(known))]
    return {f"{name}.xlsx": _workbook(name, names, rows) for name, rows in splits.items()}


def _workbook(sheet: str, names: Sequence[str], rows: Sequence[Json]) -> bytes:
    from openpyxl import Workbook
    from openpyxl.cell import WriteOnlyCell

    if len(rows) > MOST_ROWS:
        raise InputError(f"--format xlsx: {len(rows):,} samples; a sheet of Excel holds {MOST_ROWS:,}; use csv")
    book = Workbook(write_only=True)
    page = book.create_sheet(sheet)

    def cell(value: Any) -> Any:
        made = WriteOnlyCell(page, value)
        if isinstance(value, str):
            made.data_type = "s"  # openpyxl takes a text that begins with = for a formula
            made.quotePrefix = harmless(value) != value
        return made

    page.append([cell(clean(name)) for name in names])
    for row in rows:
        page.append([cell(row.get(name)) for name in names])
    target = io.BytesIO()
    book.save(target)
    return _without_times(target.getvalue())


def _without_times(data: bytes) -> bytes:
    """Return the same archive without its creation time, so that the same samples give the same bytes."""
    target = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as made, zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as again:
        for name in made.namelist():
            data = (
                _TIME.sub(rb"\g<1>2000-01-01T00:00:00Z\g<2>", made.read(name))
                if name == _PROPERTIES
                else made.read(name)
            )
            again.writestr(zipfile.ZipInfo(name), data, zipfile.ZIP_DEFLATED)
    return target.getvalue()


XLSX = Format(
    "Excel workbook, a sheet for each split",
    "Excel, LibreOffice, openpyxl, pandas",
    needs=((),),
    convert=_row,
    write=_write,
    files="{split}.xlsx",
    load='import pandas\n\ntable = pandas.read_excel("{file}")',
    note="Every text is a text cell, also where it begins like a formula. Integers of more than 15 digits, lists and "
    "objects are texts. Invisible characters are replaced by their names.",
)
