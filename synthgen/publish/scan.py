"""Look for personal data, secrets and local paths in files that are to be published.

Every file is read: tables cell by cell, JSON by its strings and keys, archives that hold one text unpacked, and any other
file that is a text line by line. Files that are no text, such as the weights of a model, are named as not read.
"""

import codecs
import csv
import gzip
import io
import json
import re
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

from synthgen.errors import InputError
from synthgen.numerics.stages import Stages, silent
from synthgen.publish.upload import content_of
from synthgen.safety import secrets
from synthgen.safety.personal import FORMATTED, FREE, find, masked
from synthgen.safety.untrusted import one_line

SECRET, PATH = "secret", "path"
ALWAYS = (*FORMATTED, SECRET, PATH)
"""The kinds that are always looked for: those with a fixed form."""
ON_REQUEST = FREE
KINDS = (*ALWAYS, *ON_REQUEST)
_SHORTEST_NUMBER = 10**10
"""Least whole number that may be a phone, card or identity number; smaller ones are counts and times."""
_START = 2**20
"""Number of bytes at the beginning of a file that decide whether it is text."""
_BATCH = 10_000
_SHOWN = 5
"""Places of each kind that are listed."""
_OF_A_MODEL = ("tokenizer.json", "tokenizer_config.json", "vocab.json", "added_tokens.json", "special_tokens_map.json",
               "vocab.txt", "merges.txt", "model.safetensors.index.json")  # fmt: skip
"""Files of a pretrained model, whose strings are its vocabulary."""
_BOMS = {b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16", b"\xef\xbb\xbf": "utf-8-sig"}
_LOCAL = re.compile(r"(?<![\w:/.])/(?:home|Users|root)/[^\s\"',;)]+")


class Finding(NamedTuple):
    """Hold a finding: its kind, its place as `file:line: field`, and itself with its characters hidden."""

    kind: str
    place: str
    shown: str


def scan(
    files: Mapping[str, bytes | Path], kinds: Collection[str] = ALWAYS, say: Callable[[str], object] = silent
) -> list[Finding]:
    """Return the findings in the names and texts of the files, in the order of the files.

    Long scans report progress to `say`.
    """
    found: list[Finding] = []
    stages = Stages(say)
    variables = secrets.environment_secrets()
    for name, data in files.items():
        try:
            for number, (place, text) in enumerate(chain([(f"the name of {name}", name)], _texts(name, data) or ())):
                stages.at(f"texts of {name} scanned", number)
                found += [Finding(kind, place, shown) for kind, shown in _in_text(text, kinds, variables)]
        except (OSError, ValueError, EOFError, KeyError, zlib.error, zipfile.BadZipFile) as error:
            raise InputError(
                f"{name}: cannot be read ({one_line(str(error))}), so that the scan cannot tell what it holds; repair the"
                " file, or move it away"
            ) from error
    return found


def unread(files: Mapping[str, bytes | Path]) -> list[str]:
    """Return the names of the files that the scan cannot read: weights, images and other files that are no text."""
    return [name for name, data in files.items() if _texts(name, data) is None]


def summary(findings: Sequence[Finding]) -> list[str]:
    """Return the findings as lines: for each kind its count and its first places."""
    lines = []
    for kind, count in Counter(each.kind for each in findings).items():
        places = [f"  {each.place}: {each.shown}" for each in findings if each.kind == kind]
        more = [f"  ... and {count - _SHOWN} more"] if count > _SHOWN else []
        lines += [f"{kind}: {count} found", *places[:_SHOWN], *more]
    return lines


def _in_text(text: str, kinds: Collection[str], variables: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    personal = [kind for kind in kinds if kind in (*FORMATTED, *FREE)]
    for found in find(text, personal):
        yield found.kind, one_line(masked(found.text))
    if SECRET in kinds:
        if (shape := secrets.shape(text)) is not None:
            yield SECRET, shape
        for name, value in variables.items():
            if value in text:
                yield SECRET, f"the value of the environment variable {name}"
    if PATH in kinds:
        for match in _LOCAL.finditer(text):
            yield PATH, one_line(match.group())


def _texts(name: str, data: bytes | Path) -> Iterator[tuple[str, str]] | None:
    """Return the texts of a file with their places; None for a file that is no text."""
    if Path(name).name in _OF_A_MODEL:
        return iter(())
    reader = _READERS.get(Path(name).suffix.lower())
    if reader is not None:
        return reader(name, data)
    return _lines(name, data) if _encoding(data) is not None else None


def _encoding(data: bytes | Path) -> str | None:
    """Return the encoding of a text file; None for any other file. The first megabyte decides."""
    if isinstance(data, bytes):
        start = data[:_START]
    else:
        with data.open("rb") as file:
            start = file.read(_START)
    if (found := _BOMS.get(start[:3]) or _BOMS.get(start[:2])) is not None:
        return found
    if b"\0" in start:
        return None
    try:
        codecs.getincrementaldecoder("utf-8")().decode(start)
    except UnicodeDecodeError:
        return "latin-1" if _mostly_printable(start) else None
    return "utf-8"


def _mostly_printable(data: bytes) -> bool:
    control = sum(byte < 32 and byte not in b"\t\n\r\f" for byte in data)
    return control * 100 < len(data)


def _decoded(data: bytes | Path) -> str:
    content = content_of(data)
    return content.decode(_encoding(content) or "utf-8", "replace")


def _lines(name: str, data: bytes | Path) -> Iterator[tuple[str, str]]:
    for number, text in enumerate(_decoded(data).split("\n"), start=1):
        yield f"{name}:{number}", text


def _of_json(name: str, data: bytes | Path) -> Iterator[tuple[str, str]]:
    try:
        value = json.loads(_decoded(data))
    except ValueError:  # such a file is published as it is, and so scanned as it is
        yield from _lines(name, data)
        return
    yield from _inside(value, f"{name}: ", set())


def _of_json_lines(name: str, data: bytes | Path) -> Iterator[tuple[str, str]]:
    known: set[str] = set()
    for place, line in _lines(name, data):
        try:
            value = json.loads(line) if line.strip() else None
        except ValueError:
            yield place, line
            continue
        yield from _inside(value, f"{place}: ", known)


def _of_table(name: str, data: bytes | Path) -> Iterator[tuple[str, str]]:
    """Yield the cells of a CSV or TSV file, so that a cell over several lines is read as one text."""
    text = _decoded(data)
    rows = csv.reader(io.StringIO(text, newline=""), delimiter="\t" if name.lower().endswith(".tsv") else ",")
    csv.field_size_limit(max(csv.field_size_limit(), len(text) + 1))
    names: list[str] = []
    try:
        for row in rows:
            for column, cell in enumerate(row):
                yield (
                    f"{name}:{rows.line_num}: {names[column] if column < len(names) else f'column {column + 1}'}",
                    cell,
                )
            names = names or row
    except csv.Error:
        yield from _lines(name, data)


def _of_parquet(name: str, data: bytes | Path) -> Iterator[tuple[str, str]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    file = pq.ParquetFile(data if isinstance(data, Path) else pa.BufferReader(data))
    noted = {key.decode(errors="replace"): text for key, text in (file.schema_arrow.metadata or {}).items()}
    yield from _inside(noted, f"{name}: metadata ", set())
    yield from _of_batches(name, file.iter_batches(_BATCH))


def _of_arrow(name: str, data: bytes | Path) -> Iterator[tuple[str, str]]:
    import pyarrow as pa

    source = pa.memory_map(str(data)) if isinstance(data, Path) else pa.BufferReader(data)
    try:
        batches: Any = pa.ipc.open_stream(source)
    except pa.ArrowInvalid:
        found = pa.ipc.open_file(source)
        batches = (found.get_batch(number) for number in range(found.num_record_batches))
    yield from _of_batches(name, batches)


def _of_batches(name: str, batches: Iterable[Any]) -> Iterator[tuple[str, str]]:
    number, known = 0, set[str]()
    for batch in batches:
        for row in batch.to_pylist():
            number += 1
            yield from _inside(row, f"{name}:{number}: ", known)


def _of_workbook(name: str, data: bytes | Path) -> Iterator[tuple[str, str]]:
    from openpyxl import load_workbook

    book = load_workbook(io.BytesIO(content_of(data)), read_only=True)
    for sheet in book:
        for number, row in enumerate(sheet.iter_rows(values_only=True), start=1):
            for column, cell in enumerate(row, start=1):
                yield f"{name}:{sheet.title}:{number}: column {column}", str(cell if cell is not None else "")


def _of_gzip(name: str, data: bytes | Path) -> Iterator[tuple[str, str]]:
    inner = name[: -len(".gz")]
    for place, text in _texts(inner, gzip.decompress(content_of(data))) or ():
        yield place.replace(inner, name, 1), text


_Reader = Callable[[str, bytes | Path], Iterator[tuple[str, str]]]
_READERS: Mapping[str, _Reader] = {
    ".json": _of_json, ".jsonl": _of_json_lines, ".ndjson": _of_json_lines, ".csv": _of_table, ".tsv": _of_table,
    ".parquet": _of_parquet, ".arrow": _of_arrow, ".xlsx": _of_workbook, ".gz": _of_gzip,
}  # fmt: skip


def _inside(value: Any, place: str, known: set[str]) -> Iterator[tuple[str, str]]:
    """Yield the strings, the whole numbers and the keys of a JSON value. A key that is in `known` is left out."""
    match value:
        case str():
            yield place.rstrip(": "), value
        case bytes():
            yield place.rstrip(": "), value.decode("utf-8", "replace")
        case bool() | None:
            return
        case int() if abs(value) >= _SHORTEST_NUMBER:
            yield place.rstrip(": "), str(value)
        case list():
            for number, part in enumerate(value):
                yield from _inside(part, f"{place}[{number}]", known)
        case dict():
            for key, part in value.items():
                at = place + (str(key) if place.endswith(": ") else f".{key}")
                if key not in known:
                    known.add(key)
                    yield f"{place.rstrip(': ')}: a key", str(key)
                yield from _inside(part, at, known)
