"""Write the tables of formats and parts in docs/formats.md from the code. A test fails when they are out of date."""

from pathlib import Path

from synthgen.formats.kinds import KINDS
from synthgen.tasks.exporting import PARTS

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "formats.md"
BEGIN, END = "<!-- {}: made by scripts/document_formats.py -->\n", "<!-- /{} -->\n"


def formats() -> str:
    """Return the table of formats."""
    rows = ["| format | content | read by | parts that it needs |\n", "|---|---|---|---|\n"]
    for name, kind in KINDS.items():
        needs = " or ".join(" + ".join(f"`{part}`" for part in parts) for parts in kind.needs) or "none"
        rows.append(f"| `{name}` | {kind.meaning} | {kind.reader} | {needs} |\n")
    return "".join(rows)


def parts() -> str:
    """Return the table of parts."""
    rows = [f"| `{name}` | {meaning} |\n" for name, meaning in PARTS.items()]
    return "| part | meaning |\n|---|---|\n" + "".join(rows)


def page(text: str) -> str:
    """Return the text of the page with the current tables."""
    for name, table in (("formats", formats()), ("parts", parts())):
        begin, end = BEGIN.format(name), END.format(name)
        before, rest = text.split(begin)
        text = before + begin + table + end + rest.split(end)[1]
    return text


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
    print(f"wrote {PAGE}")
