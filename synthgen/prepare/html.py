"""Extract the main text of a web page with trafilatura: no menus, banners, side columns and footers."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from synthgen.tasks.documents import extract

HTML = (".html", ".htm")
_SMALL = 250
"""Characters of a page that is read whole. trafilatura itself looks for no main text in less."""


def main_text(path: Path) -> str:
    """Return the main text of a page, with an empty line between paragraphs; the whole text of a small page.

    The whole text is also returned where trafilatura finds no main text. Raise InputError for a file that cannot be read.
    """
    ((_, whole),) = extract(path)
    if len(whole) < _SMALL:
        return whole
    import trafilatura

    page = trafilatura.bare_extraction(path.read_bytes(), include_comments=True, include_tables=True)
    blocks = [] if page is None else [*_blocks(page.body), *_blocks(page.commentsbody)]
    return "\n\n".join(blocks) or whole


def _blocks(body: Any) -> Iterator[str]:
    for element in [] if body is None else body:
        match element.tag:
            case "list":
                text = "\n".join(filter(None, (_line(item) for item in element.iter("item"))))
            case "table":
                text = "\n".join("\t".join(_line(cell) for cell in row.iter("cell")) for row in element.iter("row"))
            case "code":
                text = "".join(element.itertext()).strip("\n")
            case _:
                text = _line(element)
        if text.strip():
            yield text


def _line(element: Any) -> str:
    """Return the text of an element as one line."""
    return re.sub(r"\s+", " ", "".join(element.itertext())).strip()
