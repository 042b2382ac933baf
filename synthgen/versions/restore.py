"""Write the rows of a version to a folder, from which it can be used and frozen again."""

from collections.abc import Iterable, Mapping
from pathlib import Path

from synthgen.errors import UserError, WriteError
from synthgen.ledger import durable
from synthgen.records import Json, content_id, to_json
from synthgen.versions.entries import content_hash
from synthgen.versions.facts import RESTORED
from synthgen.versions.folders import LINEAGE, ROW_ID
from synthgen.versions.names import load
from synthgen.versions.reading import read, workspace
from synthgen.versions.rows import DatasetRows, joined
from synthgen.versions.store import Store, Version, is_name, pretty


def check_out(version: Version, out: Path) -> dict[str, int]:
    """Write a version to `out`, which must be new, empty, or a restored version. Return the rows of each split.

    Splits are JSON Lines, with rows in the order of their ids.
    """
    with workspace() as work:
        if not _is_restored(out, version.store, work):
            check_free(out)
        rows = load(version, work).rows
        files = files_of(rows, rows.noted)
        splits = rows.splits()
        rows.close()
    write(out, {**files, RESTORED: pretty(version.meta)})
    return splits


def _is_restored(out: Path, store: Store, work: Path) -> bool:
    """Return True for a folder that was restored and whose rows a version has, so that nothing is lost with it.

    Raise UserError for one with other rows.
    """
    meta = durable.read_json(out / RESTORED) or {}
    if not isinstance(meta.get("rows"), dict):
        return False
    known = {RESTORED, LINEAGE, *(f"{split}.jsonl" for split in meta["rows"])}
    if any(path.is_file() and path.relative_to(out).as_posix() not in known for path in out.rglob("*")):
        return False
    rows = read(str(out), work).rows
    content = content_hash(rows.counted())
    rows.close()
    name = str(meta.get("version")).rpartition("@")[0]
    frozen = [meta.get("content"), *(each.content for each in (store.versions(name) if is_name(name) else []))]
    if content not in frozen:
        raise UserError(f"{out}: its rows are in no version; freeze them first with synthgen version {out}")
    return True


def write(out: Path, files: Mapping[str, bytes]) -> None:
    """Write a folder in one step. Raise WriteError where the system refuses to write."""
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        durable.write_folder(out, files)
    except OSError as error:
        why = error.strerror or str(error)
        raise WriteError(f"{out}: cannot be written: {why}; {durable.cure(error)}, then repeat the command") from error


def check_free(out: Path) -> None:
    """Raise UserError unless `out` is new or empty."""
    try:
        taken = out.exists() and (not out.is_dir() or any(out.iterdir()))
    except OSError as error:
        raise UserError(f"{out}: cannot be read: {error.strerror}; name another folder") from error
    if taken:
        raise UserError(f"{out}: has content already; name a new or empty folder")


def files_of(rows: DatasetRows, noted: dict[str, None], extra: dict[int, Json] | None = None) -> dict[str, bytes]:
    """Return the files of a dataset by name: a file for each split, and one with the known origin of rows.

    `extra` has further origin data of rows, by their position.
    """
    parts: dict[str, list[str]] = {split: [] for split in rows.splits()}
    lineages: dict[str, list[str]] = {split: [] for split in parts}
    for entry, data in rows.contents():
        lines, lineage = parts[entry.split], rows.lineage(entry.position)
        known = {**lineage, **((extra or {}).get(entry.position) or {})}
        if known:
            place = {"split": entry.split, "row": len(lines), ROW_ID: content_id(data)}
            lineages[entry.split].append(f"{to_json({**place, **known})}\n")
        lines.append(f"{to_json(joined(data, entry.split, lineage, list(noted)))}\n")
    files = {f"{split}.jsonl": _text(lines) for split, lines in parts.items()}
    if any(lineages.values()):
        files[LINEAGE] = _text(line for lines in lineages.values() for line in lines)
    return files


def _text(lines: Iterable[str]) -> bytes:
    return "".join(lines).encode("utf-8", "surrogatepass")
