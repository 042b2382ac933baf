"""Find documents and extract their texts. `synthgen.tasks.passages` cuts a task's documents into passages."""

import logging
import re
from collections.abc import Callable, Iterator, Sequence
from os.path import commonpath
from pathlib import Path
from typing import Any, NamedTuple

from synthgen.errors import ConfigError, InputError
from synthgen.tasks.assets import find
from synthgen.tasks.encodings import not_utf8
from synthgen.tasks.rows import Columns, Problems, read_rows

_MOST_BYTES = 200_000_000
_SKIPPED = ("script", "style", "template", "noscript", "head")
"""Elements of HTML whose text nobody reads."""
_PARAGRAPHS = ("p", "div", "h1", "h2", "h3", "h4", "h5", "h6", "ul", "ol", "dl", "table", "blockquote", "pre", "hr",
               "section", "article", "aside", "header", "footer", "nav", "main", "figure", "form", "address")  # fmt: skip
"""Elements of HTML with an empty line before and after them."""
_LINES = ("li", "dt", "dd", "tr", "br", "option", "caption", "figcaption")
_CELLS = ("td", "th")
EXTRACTED = (".html", ".htm", ".pdf", ".docx")
"""Ends of the names of files whose text must be extracted. One file is one document."""


class Document(NamedTuple):
    """Hold a document's extracted text. `name` is its path below the folder that all documents share."""

    name: str
    text: str


def find_documents(value: Any, bases: Sequence[Path]) -> tuple[str, ...]:
    """Return the absolute paths and patterns that `task.documents` names: a folder, file, glob, or a list of these."""
    entries = value if isinstance(value, list) else [] if value is None else [value]
    found = []
    for entry in entries:
        if not isinstance(entry, str) or not entry:
            raise ConfigError(
                f"task.documents: '{entry}' is no path; name a folder, a file, a glob, or a list of these"
            )
        found.append(_pattern(entry, bases) if _is_glob(entry) else str(find(entry, bases, "task.documents")))
    return tuple(found)


def read_documents(entries: Sequence[str]) -> list[Document]:
    """Return the text of every document, in the order of the entries and of the names in a folder.

    Raise InputError for a file that cannot be read, and where there is no document at all.
    """
    files = [path for entry in entries for path in _files(entry)]
    if not files:
        ends = ", ".join(_READERS)
        raise InputError(f"task.documents: no document in {', '.join(entries)}; documents end in {ends}")
    root = Path(commonpath([str(path.parent) for path in files]))
    return [document for path in dict.fromkeys(files) for document in _documents(path, str(path.relative_to(root)))]


def _is_glob(entry: str) -> bool:
    return any(char in entry for char in "*?[")


def _pattern(entry: str, bases: Sequence[Path]) -> str:
    """Return the pattern below the first base folder where it matches a file."""
    if Path(entry).is_absolute():
        return entry
    for base in (*bases, Path.cwd()):
        if next(base.glob(entry), None) is not None:
            return str(base.resolve() / entry)
    raise InputError(f"task.documents: '{entry}' matches no file")


def _files(entry: str) -> list[Path]:
    if _is_glob(entry):
        root = Path(entry).anchor
        return sorted(path for path in Path(root).glob(str(Path(entry).relative_to(root))) if path.is_file())
    path = Path(entry)
    if path.is_dir():
        return sorted(
            each for each in path.rglob("*")
            if each.is_file() and each.suffix.lower() in _READERS
            and not any(part.startswith(".") for part in each.relative_to(path).parts)
        )  # fmt: skip
    return [path]


def _documents(path: Path, name: str) -> Iterator[Document]:
    for part, text in extract(path, "task.documents: "):
        yield Document(name + part, text)


def extract(path: Path, key: str = "") -> "_Texts":
    """Return the texts of a file. Raise InputError, which begins with `key`, for a file that cannot be read."""
    reader = _READERS.get(path.suffix.lower())
    if reader is None:
        raise InputError(f"{key}{path}: its format is not known by the end of its name; use {', '.join(_READERS)}")
    try:
        if (size := path.stat().st_size) > _MOST_BYTES:
            raise InputError(f"{key}{path}: {size:,} bytes is more than the {_MOST_BYTES:,} that are read; split it")
        return reader(path)
    except (InputError, MemoryError):
        raise
    except UnicodeDecodeError as error:
        raise InputError(f"{key}{path}: {not_utf8(error)}") from error
    except Exception as error:  # a damaged file can raise any exception of its reader
        raise InputError(
            f"{key}{path}: cannot be read as {path.suffix}: {error}; open and save it again, or take it away"
        ) from error


_Texts = list[tuple[str, str]]
"""The texts of a file, each with the end of its document's name."""


def _plain(path: Path) -> _Texts:
    return [("", path.read_text(encoding="utf-8-sig"))]


def _html(path: Path) -> _Texts:
    """Return the text as a browser lays it out: lines and empty lines come from elements, not from the source."""
    from bs4 import BeautifulSoup
    from bs4.element import NavigableString

    page = BeautifulSoup(path.read_bytes(), "html.parser")
    for element in page(_SKIPPED):
        element.decompose()
    for text in page.find_all(string=True):
        if type(text) is NavigableString and text.find_parent("pre") is None:
            text.replace_with(re.sub(r"\s+", " ", text))
    for names, before, after in ((_PARAGRAPHS, "\n\n", "\n\n"), (_LINES, "\n", ""), (_CELLS, " ", "")):
        for element in page(names):
            element.insert_before(before)
            element.insert_after(after)
    lines = (" ".join(line.split()) for line in page.get_text().split("\n"))
    return [("", re.sub("\n{3,}", "\n\n", "\n".join(lines)).strip())]


def _pdf(path: Path) -> _Texts:
    from pypdf import PdfReader

    logging.getLogger("pypdf").setLevel(logging.CRITICAL)  # what is wrong with a file is said by its error
    return [("", "\n\n".join(page.extract_text() for page in PdfReader(path).pages))]


def _docx(path: Path) -> _Texts:
    from docx import Document as Docx
    from docx.table import Table

    parts = []
    for block in Docx(str(path)).iter_inner_content():
        if isinstance(block, Table):
            parts.append("\n".join("\t".join(cell.text for cell in row.cells) for row in block.rows))
        else:
            parts.append(block.text)
    return [("", "\n\n".join(part for part in parts if part.strip()))]


def _jsonl(path: Path) -> _Texts:
    """Return the field `text` of each row, as a document of its own."""
    problems, found = Problems(path, "document"), []
    for row in read_rows(path, _ROW, problems):
        if isinstance(text := row.data.get("text"), str):
            found.append((f":{row.place[0]}", text))
        else:
            problems.add(row.place, "lacks the field 'text'; each row is a document, and 'text' is its text")
    problems.raise_any()
    return found


_ROW = Columns({"properties": {"text": {"type": "string"}}}, frozenset({"text"}), "drop")
_READERS: dict[str, Callable[[Path], _Texts]] = {
    ".txt": _plain, ".md": _plain, ".html": _html, ".htm": _html, ".pdf": _pdf, ".docx": _docx, ".jsonl": _jsonl,
}  # fmt: skip
"""The reader of each kind of file, by the end of its name."""
