"""Read the rows of all input files one by one, map their fields, and note where each row came from.

`synthgen.tasks.rows` reads tables and JSON, `synthgen.tasks.documents` PDF and DOCX, `synthgen.prepare.html` web pages and
`synthgen.prepare.sql` databases. Text files and documents become rows with one field, `text`.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from synthgen.errors import InputError
from synthgen.prepare.html import HTML, main_text
from synthgen.prepare.item import Item, Origin
from synthgen.prepare.mapping import Mapped
from synthgen.prepare.sql import Query, SqlRows
from synthgen.records import Json
from synthgen.tasks.documents import EXTRACTED, extract
from synthgen.tasks.prepared import LICENCE, SOURCES, is_origin
from synthgen.tasks.rows import Problems, Source, any_columns, find_source, read_rows
from synthgen.tasks.rows import limits as row_limits
from synthgen.tasks.rows.stream import decoded, lines, open_file

TEXT_SUFFIXES = (".txt", ".text", ".md", ".markdown")
UNITS = ("document", "paragraph", "line")
PAGES = ("main", "all")


@dataclass(frozen=True)
class CollectConfig:
    map: Mapping[str, str] = field(default_factory=dict)
    """Fields to add or to replace: a field's new name, and a Jinja expression over the row's fields."""
    drop: Sequence[str] = ()
    """Fields to leave out, after `map`."""
    documents: str = "document"
    """Part of a text file or document that becomes a row: document, paragraph (empty lines separate them) or line."""
    html: str = "main"
    """Text of a web page that is read: `main` leaves out menus, banners and footers (trafilatura), `all` keeps them."""
    licence: str | Mapping[str, str] = ""
    """Licence of the rows that have no field `license`: one for all files, or one for each file name."""


class Input(NamedTuple):
    """Hold the name of an input as the user wrote it, and where it is."""

    name: str
    source: Source | SqlRows


def sources(
    files: Sequence[str], option: str = "FILES", sql: Sequence[Query] = (), bases: Sequence[Path] = ()
) -> list[Input]:
    """Return the inputs that the user names with `option`, and the queries.

    Raise InputError for a file that does not exist, and for a database URL that cannot be used.
    """
    named = [Input(name, find_source(name, [], option)) for name in files]
    return [*named, *(Input(str(query), SqlRows(query, bases)) for query in sql)]


def collect(files: Sequence[Input], cfg: CollectConfig) -> Iterator[Item]:
    """Yield every row of all files, in order, with its source and licence.

    Raise InputError for a file that cannot be read, with the places of its faults.
    """
    mapped = Mapped(cfg.map, cfg.drop)
    for name, source in files:
        licence = _licence(cfg.licence, name)
        for data, line in _rows(source, cfg):
            origin = Origin(name, line)
            row = mapped(data, origin)
            _note(row, origin, licence)
            yield Item(row, origin)


def _rows(source: Source | SqlRows, cfg: CollectConfig) -> Iterator[tuple[Json, int]]:
    if isinstance(source, SqlRows):
        yield from source
        return
    unit = cfg.documents
    problems = Problems(source, "input", streamed=True)
    suffix = source.suffix.lower() if isinstance(source, Path) else ""
    if isinstance(source, Path) and suffix in TEXT_SUFFIXES:
        yield from _texts(_lines(source, problems), unit, problems)
    elif isinstance(source, Path) and suffix in EXTRACTED:
        open_file(source, problems.file_bytes).close()  # report a pipe, a folder or a missing permission
        main = cfg.html == "main" and suffix in HTML
        ((_, text),) = [("", main_text(source))] if main else extract(source)
        if not text.strip():
            yield {"text": ""}, 1  # so that a scanned page is in the counts, and a step can remove it with its reason
        yield from _texts(enumerate(text.splitlines(keepends=True), start=1), unit, problems)
    else:
        for row in read_rows(source, any_columns(), problems, "; FILES may also be text, Markdown, HTML, PDF and DOCX"):
            problems.raise_any()
            yield row.data, int(row.place[0])
    problems.raise_any()


def _lines(path: Path, problems: Problems) -> Iterator[tuple[int, str]]:
    for number, raw in lines(path, problems):
        line = decoded(raw, number, problems)
        problems.raise_any()
        assert line is not None  # `raise_any` reported the fault
        yield number, line


def _texts(numbered: Iterable[tuple[int, str]], unit: str, problems: Problems) -> Iterator[tuple[Json, int]]:
    """Yield a row for each document, paragraph or line that is not blank, with the number of its first line."""
    kept: list[str] = []
    start = size = 0
    for number, line in numbered:
        if unit == "line" or (unit == "paragraph" and not line.strip()):
            kept += [line] if unit == "line" else []
            if (text := "".join(kept).strip("\r\n")).strip():
                yield {"text": text}, start or number
            kept, start, size = [], 0, 0
            continue
        if start or line.strip():
            start = start or number
            kept.append(line)
            size += len(line)
        if size > row_limits.ROW_BYTES:
            cause = (
                f"the {unit} is longer than {row_limits.ROW_BYTES:,} characters; set `documents: line` or `paragraph`"
            )
            problems.stop((start, 1), cause)
    if text := "".join(kept).strip():
        yield {"text": text}, start


def _licence(licence: str | Mapping[str, str], name: str) -> str:
    return licence if isinstance(licence, str) else licence.get(name, licence.get(Path(name).name, ""))


def _note(row: Json, origin: Origin, licence: str) -> None:
    """Add the source and the licence. A row that an earlier preparation wrote keeps its first source."""
    name, other = SOURCES
    if not is_origin(row.get(name)):
        row[other if name in row else name] = origin.json
    if licence and LICENCE not in row:
        row[LICENCE] = licence


def check_licences(licence: Any, files: Sequence[Input], where: str) -> None:
    """Raise InputError where a licence is given for a file that is not among the input files."""
    if isinstance(licence, Mapping):
        known = {each for name, _ in files for each in (name, Path(name).name)}
        for name in licence:
            if name not in known:
                raise InputError(f"{where}: '{name}' is no input file; write the file's name as it is given")
