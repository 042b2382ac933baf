"""Write files and folders atomically: after a kill or a full disk at any point they are either complete or absent.

A run's exports, dataset, student and adapters are written with this module. Each is built under a temporary name beside
its final place, synced, and moved there in one step. The next write removes the leftovers of a killed one. A manifest
has the size and SHA-256 of every file. This module does not write the ledger, which SQLite keeps consistent.
"""

import contextlib
import ctypes
import errno
import fcntl
import hashlib
import json
import os
import re
import shutil
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from synthgen.errors import WriteError
from synthgen.records import Json

MANIFEST = "manifest.json"

_DISK_CURES = {
    errno.ENOSPC: "free some space on that disk",
    errno.EDQUOT: "raise the quota, or free some space",
    errno.EFBIG: "raise the limit on file sizes (ulimit -f)",
    errno.EROFS: "make that file system writable",
    errno.EIO: "check that disk for faults",
}
"""Error numbers that only occur when a disk refuses to write, each with its cure."""
_CURES = _DISK_CURES | dict.fromkeys((errno.EACCES, errno.EPERM), "make it writable for this user")
_NO_EXCHANGE = (errno.ENOSYS, errno.EINVAL, errno.ENOTSUP, errno.EPERM)
_AT_FDCWD = -100
_RENAME_EXCHANGE = 2
_LIBC = ctypes.CDLL(None, use_errno=True)


# -- a disk that refuses to write ------------------------------------------------------------------


def is_refused_write(error: BaseException) -> bool:
    """Return True when the cause of `error` is a disk that is full, over quota, read-only or failing."""
    return error_number(error) in _DISK_CURES


def cure(error: BaseException) -> str:
    """Return advice for the user about a write that failed with `error`."""
    return _CURES.get(error_number(error) or 0, "fix the cause")


def error_number(error: BaseException) -> int | None:
    """Return the errno of an error, or None. Errors of Rust libraries (safetensors, tokenizers) have it only in their text."""
    if isinstance(error, OSError):
        return error.errno
    told = re.search(r"os error (\d+)", str(error))
    return int(told.group(1)) if told else None


@contextlib.contextmanager
def exporting(place: Path, again: str = "") -> Iterator[None]:
    """Raise WriteError where the system refuses an export to `place`.

    The command `again` repeats the export of a run. Without it, the rows come from files, and no ledger has them.
    """
    try:
        yield
    except OSError as error:
        if not again:
            raise _refused(
                place,
                error,
                f"Earlier content of {place} is unchanged. {cure(error).capitalize()}, then repeat the command",
            ) from error
        kept = f"Earlier content of {place} is unchanged, and the ledger has all data"
        raise _refused(place, error, f"{kept}. To repeat the export, {cure(error)}, then\n  {again}") from error


@contextlib.contextmanager
def training_into(place: Path) -> Iterator[None]:
    """Raise WriteError where the disk refuses to write during a training. Pass other errors on unchanged."""
    try:
        yield
    except Exception as error:
        if not is_refused_write(error):
            raise
        raise _refused(place, error, f"The training keeps its last checkpoint: {cure(error)}, then continue") from error


def _refused(place: Path, error: Exception, advice: str) -> WriteError:
    file, why = (error.filename, error.strerror) if isinstance(error, OSError) else (None, None)
    return WriteError(f"{file or place}: cannot be written: {why or error}. {advice}")


# -- files -----------------------------------------------------------------------------------------


def sync(path: Path) -> None:
    """Sync a file, or the names in a folder, to disk. A renamed file survives a power cut once its folder is synced."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def sync_tree(folder: Path) -> None:
    """Sync every file under `folder`, and the names of the files, to disk."""
    for path in [*folder.rglob("*"), folder]:
        sync(path)


def write_synced(path: Path, data: bytes) -> None:
    """Write a new file and sync it to disk. An OSError from this function names the file."""
    try:
        with path.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        error.filename = error.filename or str(path)
        raise


def write_files(folder: Path, files: Mapping[str, bytes]) -> None:
    """Replace each given file of `folder` atomically, in the given order, and sync them to disk."""
    with _alone(folder):
        for name, data in files.items():
            _replace(folder / name, data)
        sync(folder)


def write_json(path: Path, value: Any) -> None:
    """Replace `path` atomically by a JSON file, and sync it to disk."""
    text = json.dumps(value, ensure_ascii=False, indent=2, allow_nan=False)
    _replace(path, f"{text}\n".encode("utf-8", "replace"))
    sync(path.parent)


def read_json(path: Path) -> Json | None:
    """Return the JSON object in `path`; None where the file is missing or not readable."""
    try:
        value = json.loads(path.read_bytes())
    except (FileNotFoundError, ValueError):
        return None
    return value if isinstance(value, dict) else None


def _replace(path: Path, data: bytes) -> None:
    temporary = _new(path)
    try:
        write_synced(temporary, data)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


# -- folders ---------------------------------------------------------------------------------------


def write_folder(path: Path, files: Mapping[str, bytes]) -> None:
    """Replace the folder `path` atomically by one with exactly `files`, and sync it to disk.

    A name in `files` may be in one subfolder. See `swap_in` about file systems that cannot exchange two names.
    """
    with _alone(path.parent):
        recover(path)
        building = _new(path)
        _clear(building)
        try:
            building.mkdir()
            for name, data in files.items():
                (building / name).parent.mkdir(exist_ok=True)
                write_synced(building / name, data)
            for folder in (building, *(child for child in building.iterdir() if child.is_dir())):
                sync(folder)
            _put(building, path)
        finally:  # after an exchange of names the earlier folder has the temporary name
            _clear(building)


def swap_in(new: Path, path: Path) -> None:
    """Replace `path` by the folder `new`, which must be synced to disk, and remove the earlier folder.

    Some file systems cannot exchange two names at once. There, a kill between two renames leaves no `path`, but the
    complete earlier folder beside it as `.NAME.old`; `recover` moves it back.
    """
    with _alone(path.parent):
        recover(path)
        _put(new, path)
        _clear(new)


def recover(path: Path) -> None:
    """Clean up after a process that was killed between two renames: move the earlier folder back, or remove it."""
    old = _old(path)
    if old.exists() and not path.exists():
        old.rename(path)
    _clear(old)


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Wait until no other process writes into `folder` with this module, because all use the same temporary names."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _new(path: Path) -> Path:
    return path.with_name(f".{path.name}.new")


def _old(path: Path) -> Path:
    return path.with_name(f".{path.name}.old")


def _clear(path: Path) -> None:
    if path.is_symlink() or path.is_file():
        path.unlink()
    else:
        with contextlib.suppress(FileNotFoundError):
            shutil.rmtree(path)


def _put(building: Path, path: Path) -> None:
    """Rename `building` to `path`. The earlier `path` gets the name `building`, or is removed."""
    if not os.path.lexists(path):
        building.rename(path)
    elif not _exchange(building, path):
        path.rename(_old(path))
        building.rename(path)
    for folder in {path.parent, building.parent}:
        sync(folder)
    _clear(_old(path))


def _exchange(one: Path, other: Path) -> bool:
    """Exchange two names in one step. Return False where the kernel or the file system cannot do that."""
    if sys.platform != "linux" or not hasattr(_LIBC, "renameat2"):
        return False
    names = os.fsencode(one), os.fsencode(other)
    if _LIBC.renameat2(_AT_FDCWD, names[0], _AT_FDCWD, names[1], _RENAME_EXCHANGE) == 0:
        return True
    number = ctypes.get_errno()
    if number in _NO_EXCHANGE:
        return False
    raise OSError(number, os.strerror(number), str(other))


# -- manifests: {file: {bytes, sha256}} ------------------------------------------------------------


def manifest(folder: Path, without: tuple[str, ...] = ()) -> Json:
    """Return the manifest of every file under `folder`, except the top-level names in `without`."""
    files = {path.relative_to(folder): path for path in sorted(folder.rglob("*")) if path.is_file()}
    return {name.as_posix(): _entry_of(path) for name, path in files.items() if name.parts[0] not in without}


def agrees(folder: Path, files: Any, without: tuple[str, ...] = ()) -> bool:
    """Return True when `folder` contains exactly the files of a manifest, byte for byte."""
    return bool(files) and folder.is_dir() and manifest(folder, without) == files


def with_manifest(files: Mapping[str, bytes]) -> dict[str, bytes]:
    """Return the files with a manifest of them added as the last one."""
    entries = {name: {"sha256": sha256(data), "bytes": len(data)} for name, data in sorted(files.items())}
    return {**files, MANIFEST: f"{json.dumps(entries, indent=2)}\n".encode()}


def damage(folder: Path) -> list[str]:
    """Return each difference to the folder's manifest as `file: problem`; nothing for a complete or a missing folder.

    A file that the manifest does not name does not count. Raise OSError for a file that cannot be read.
    """
    if not folder.is_dir():
        return []
    try:
        found = json.loads((folder / MANIFEST).read_bytes())
        expected = {str(name): dict(entry) for name, entry in found.items()}
    except FileNotFoundError:
        return [f"{folder / MANIFEST}: missing"]
    except (ValueError, TypeError, AttributeError):
        return [f"{folder / MANIFEST}: torn or edited"]
    present = {name: _entry_within(folder, name) for name in expected}
    return [
        f"{folder / name}: {'missing' if present[name] is None else 'not as the manifest says: torn or edited'}"
        for name in expected
        if present[name] != expected[name]
    ]


def names(folder: Path) -> list[str]:
    """Return the names in the folder's manifest, and the manifest's own; none where there is no readable manifest."""
    try:
        return [MANIFEST, *map(str, json.loads((folder / MANIFEST).read_bytes()))]
    except (OSError, ValueError, TypeError):
        return []


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _entry_of(path: Path) -> Json:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return {"bytes": path.stat().st_size, "sha256": digest}


def _entry_within(folder: Path, name: str) -> Json | None:
    path = folder / name
    inside = path.resolve().is_relative_to(folder.resolve())  # an edited manifest may name files outside the folder
    return _entry_of(path) if inside and path.is_file() else None
