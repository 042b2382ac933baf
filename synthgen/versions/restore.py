"""Write the rows of a version to a folder, from which it can be used and frozen again."""

from collections.abc import Iterator
from pathlib import Path

from synthgen.errors import UserError
from synthgen.ledger import durable
from synthgen.records import Json, to_json
from synthgen.versions.facts import RESTORED
from synthgen.versions.folders import LINEAGE
from synthgen.versions.names import load
from synthgen.versions.reading import workspace
from synthgen.versions.rows import Rows, joined
from synthgen.versions.store import Version, pretty


def check_out(version: Version, out: Path) -> dict[str, int]:
    """Write a version to `out`, which must be new, empty, or a restored version. Return the rows of each split.

    Splits are JSON Lines, with rows in the order of their ids.
    """
    check_free(out, RESTORED)
    with workspace() as work:
        rows = load(version, work).rows
        files = files_of(rows, rows.noted)
        splits = rows.splits()
        rows.close()
    write(out, {**files, RESTORED: pretty(version.meta)}, f"synthgen version {version.label} --checkout {out}")
    return splits


def write(out: Path, files: dict[str, bytes], again: str) -> None:
    """Write a folder in one step. The command `again` repeats it."""
    with durable.exporting(out, again):
        out.parent.mkdir(parents=True, exist_ok=True)
        durable.write_folder(out, files)


def check_free(out: Path, mark: str) -> None:
    """Raise UserError unless `out` is new, empty, or has the file `mark`, by which it was written by the same verb."""
    if not out.exists():
        return
    if not out.is_dir():
        raise UserError(f"{out}: this is a file; name a folder")
    if any(out.iterdir()) and not (out / mark).is_file():
        raise UserError(f"{out}: has content already; name a new or empty folder")


def files_of(rows: Rows, noted: dict[str, None], extra: dict[int, Json] | None = None) -> dict[str, bytes]:
    """Return the files of a dataset by name: a file for each split, and what is known of the origin of rows.

    `extra` has more to note about rows, by their position.
    """
    parts: dict[str, list[str]] = {split: [] for split in rows.splits()}
    lineages: dict[str, list[str]] = {split: [] for split in parts}
    for entry, data in rows.contents():
        lines, lineage = parts[entry.split], rows.lineage(entry.position)
        known = {**lineage, **((extra or {}).get(entry.position) or {})}
        if known:
            place = {"split": entry.split, "row": len(lines)}
            lineages[entry.split].append(f"{to_json({**place, **known})}\n")
        lines.append(f"{to_json(joined(data, entry.split, lineage, list(noted)))}\n")
    files = {f"{split}.jsonl": _text(lines) for split, lines in parts.items()}
    if any(lineages.values()):
        files[LINEAGE] = _text(line for lines in lineages.values() for line in lines)
    return files


def _text(lines: Iterator[str] | list[str]) -> bytes:
    return "".join(lines).encode("utf-8", "surrogatepass")
