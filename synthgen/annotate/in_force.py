"""Keep the versions of a run's annotation guide in its folder, and record the version in force."""

from pathlib import Path

from synthgen.annotate.guide import Guide
from synthgen.ledger.durable import read_json, write_files, write_json

FOLDER = "guide"
MARKDOWN, HTML = "guide.md", "guide.html"
_CURRENT = "current.json"


def write(folder: Path, guide: Guide) -> list[Path]:
    """Write a guide as Markdown and HTML to `folder`, and return the two paths."""
    folder.mkdir(parents=True, exist_ok=True)
    write_files(folder, {MARKDOWN: guide.markdown().encode(), HTML: guide.html().encode()})
    return [folder / MARKDOWN, folder / HTML]


def put_in_force(run: Path, guide: Guide) -> list[Path]:
    """Make a guide the one in force for the run in folder `run`. Keep earlier versions, named by their hash."""
    paths = write(run / FOLDER, guide)
    write_files(run / FOLDER, {f"{guide.hash}.md": guide.markdown().encode()})
    write_json(run / FOLDER / _CURRENT, {"hash": guide.hash})
    return paths


def in_force(run: Path) -> str | None:
    """Return the hash of the guide in force; None where the run has no guide."""
    found = (read_json(run / FOLDER / _CURRENT) or {}).get("hash")
    return found if isinstance(found, str) else None
