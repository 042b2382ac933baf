"""Write a page of headings, paragraphs, lists, tables and examples as Markdown and as HTML.

Texts come from seeds, models and people. Markdown gets them escaped, and HTML as text under a policy that runs nothing.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from html import escape

from synthgen.records import Json
from synthgen.safety.untrusted import clean, markdown, one_line


@dataclass(frozen=True)
class Heading:
    level: int
    text: str


@dataclass(frozen=True)
class Paragraph:
    text: str


@dataclass(frozen=True)
class Items:
    texts: Sequence[str]


@dataclass(frozen=True)
class Table:
    head: Sequence[str]
    rows: Sequence[Sequence[str]]


@dataclass(frozen=True)
class Example:
    fields: Sequence[tuple[str, str]]
    """Name and text of each field; a single field is shown without its name."""
    note: str = ""


Block = Heading | Paragraph | Items | Table | Example


def as_json(blocks: Sequence[Block]) -> list[Json]:
    """Return the content of a page as JSON, from which its hash is computed."""
    return [{"block": type(block).__name__, **asdict(block)} for block in blocks]


def as_markdown(blocks: Sequence[Block]) -> str:
    return "\n\n".join(_markdown(block) for block in blocks) + "\n"


def _markdown(block: Block) -> str:
    match block:
        case Heading(level, text):
            return f"{'#' * level} {markdown(text)}"
        case Paragraph(text):
            return markdown(text)
        case Items(texts):
            return "\n".join(f"- {markdown(text)}" for text in texts)
        case Table(head, rows):
            lines: list[Sequence[str]] = [head, ["---"] * len(head), *rows]
            cells = [[cell if cell == "---" else markdown(cell) for cell in line] for line in lines]
            return "\n".join(f"| {' | '.join(line)} |" for line in cells)
        case Example(fields, note):
            named = len(fields) > 1
            quoted = [
                f"> {f'**{markdown(name)}** ' if named and not first else ''}{markdown(line)}"
                for name, text in fields
                for first, line in enumerate(text.splitlines() or [""])
            ]
            return "  \n".join([*quoted, *([f"> *{markdown(note)}*"] if note else [])])


def as_html(blocks: Sequence[Block], title: str, language: str) -> str:
    body = "\n".join(_html(block) for block in blocks)
    return (
        f'<!doctype html>\n<html lang="{escape(language or "en")}">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n"
        f"<title>{_shown(title)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n{body}\n</body>\n</html>\n"
    )


def _html(block: Block) -> str:
    match block:
        case Heading(level, text):
            return f"<h{level}>{_shown(text)}</h{level}>"
        case Paragraph(text):
            return f"<p>{_shown(text)}</p>"
        case Items(texts):
            return f"<ul>{''.join(f'<li>{_shown(text)}</li>' for text in texts)}</ul>"
        case Table(head, rows):
            top = "".join(f"<th>{_shown(cell)}</th>" for cell in head)
            lines = "".join(f"<tr>{''.join(f'<td>{_shown(cell)}</td>' for cell in row)}</tr>" for row in rows)
            return f"<table><tr>{top}</tr>{lines}</table>"
        case Example(fields, note):
            named = len(fields) > 1
            parts = [
                f"<p>{f'<b>{_shown(name)}</b> ' if named else ''}<span>{escape(clean(text))}</span></p>"
                for name, text in fields
            ]
            return f"<blockquote>{''.join(parts)}{f'<p><i>{_shown(note)}</i></p>' if note else ''}</blockquote>"


def _shown(text: str) -> str:
    return escape(one_line(text))


_STYLE = (
    ":root{color-scheme:light dark}body{max-width:46rem;margin:2rem auto;padding:0 1rem;"
    'font:16px/1.55 system-ui,"Noto Sans CJK SC","Noto Sans SC",sans-serif}'
    "blockquote{margin:.6rem 0;padding:.3rem 1rem;border-left:.25rem solid #8aa}blockquote p{margin:.2rem 0}"
    "span{white-space:pre-wrap;overflow-wrap:anywhere}table{border-collapse:collapse}"
    "td,th{border:1px solid #8aa;padding:.3rem .6rem;text-align:start;vertical-align:top}i{opacity:.75}"
)
