"""Files and folders that are either whole or not there, through a crash at any point."""

import os
import shutil
from pathlib import Path


def write_atomic(path: Path, text: str) -> None:
    """Replaces `path` with `text` in one step, on disk when this returns."""
    temporary = path.with_name(f".{path.name}.new")
    write_synced(temporary, text)
    temporary.replace(path)
    sync_folder(path.parent)


def write_synced(path: Path, text: str) -> None:
    """Writes `text` as UTF-8 with plain newlines; what UTF-8 cannot carry becomes a question mark."""
    with path.open("wb") as file:
        file.write(text.encode("utf-8", "replace"))
        file.flush()
        os.fsync(file.fileno())


def fresh_folder(path: Path) -> Path:
    """An empty folder beside `path` to build its successor in; a left-over one is cleared away."""
    building = path.with_name(f".{path.name}.new")
    if building.exists():
        shutil.rmtree(building)
    building.mkdir()
    return building


def swap_in(building: Path, path: Path) -> None:
    """Puts `building` where `path` is; the old folder goes only after the new one is in place.

    A crash between the two renames leaves `path` missing and both versions beside it; the next
    export builds it again from the ledger.
    """
    old = path.with_name(f".{path.name}.old")
    if old.exists():
        shutil.rmtree(old)
    for folder in (building, *(child for child in building.iterdir() if child.is_dir())):
        sync_folder(folder)
    if path.exists():
        path.rename(old)
    building.rename(path)
    sync_folder(path.parent)
    if old.exists():
        shutil.rmtree(old)


def sync_folder(path: Path) -> None:
    """Makes the names in a folder durable."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
