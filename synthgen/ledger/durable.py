"""Write files and folders that are either whole or not there, through a kill or a full disk at any point.

A run's exports, its dataset, its student and its adapters are written with this module. Each is built under a temporary
name beside its place, synced, and put there in one step; the next write clears what a killed one left behind. A manifest
gives size and SHA-256 of every file. What a folder holds is left to its callers, and the ledger to SQLite.
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
    errno.ENOSPC: "make room on that disk",
    errno.EDQUOT: "raise the quota, or make room",
    errno.EFBIG: "raise the limit on file sizes (ulimit -f)",
    errno.EROFS: "make that file system writable",
    errno.EIO: "check that disk for faults",
}
"""Errors that only a disk causes that refuses a write."""
_CURES = _DISK_CURES | dict.fromkeys((errno.EACCES, errno.EPERM), "make it writable for this user")
_NO_EXCHANGE = (errno.ENOSYS, errno.EINVAL, errno.ENOTSUP, errno.EPERM)
_AT_FDCWD = -100
_RENAME_EXCHANGE = 2
_LIBC = ctypes.CDLL(None, use_errno=True)


# -- a disk that refuses ---------------------------------------------------------------------------


def is_refused_write(error: BaseException) -> bool:
    """Return True when a disk that is full, over quota, read-only or failing caused `error`."""
    return _number(error) in _DISK_CURES


def cure(error: BaseException) -> str:
    """Return what a user can do about a write that failed with `error`."""
    return _CURES.get(_number(error) or 0, "remove the cause")


def _number(error: BaseException) -> int | None:
    """Return the errno of an error; safetensors and tokenizers, written in Rust, put it into the text alone."""
    if isinstance(error, OSError):
        return error.errno
    told = re.search(r"os error (\d+)", str(error))
    return int(told.group(1)) if told else None


@contextlib.contextmanager
def exporting(place: Path, again: str) -> Iterator[None]:
    """Raise WriteError where the operating system refuses an export to `place`; the command `again` repeats the export."""
    try:
        yield
    except OSError as error:
        kept = f"What stood at {place} before is as it was, and the ledger has everything"
        raise _refused(place, error, f"{kept}: {cure(error)}, then\n  {again}") from error


@contextlib.contextmanager
def training_into(place: Path) -> Iterator[None]:
    """Raise WriteError where the disk refuses what a training writes; other errors are the training's own."""
    try:
        yield
    except Exception as error:
        if not is_refused_write(error):
            raise
        raise _refused(place, error, f"What is trained so far is kept: {cure(error)}, and go on") from error


def _refused(place: Path, error: Exception, advice: str) -> WriteError:
    file, why = (error.filename, error.strerror) if isinstance(error, OSError) else (None, None)
    return WriteError(f"{file or place}: cannot be written: {why or error}. {advice}")


# -- files -----------------------------------------------------------------------------------------


def sync(path: Path) -> None:
    """Put a file on disk, or the names in a folder: a renamed file survives a power cut once its folder is synced."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def sync_tree(folder: Path) -> None:
    """Put every file under `folder`, and their names, on disk."""
    for path in [*folder.rglob("*"), folder]:
        sync(path)


def write_synced(path: Path, data: bytes) -> None:
    """Write a new file that is on disk when this returns; an OSError from here names it."""
    try:
        with path.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        error.filename = error.filename or str(path)
        raise


def write_files(folder: Path, files: Mapping[str, bytes]) -> None:
    """Replace each file of `folder` in one step, in the order given; they are on disk when this returns."""
    with _alone(folder):
        for name, data in files.items():
            _replace(folder / name, data)
        sync(folder)


def write_json(path: Path, value: Any) -> None:
    """Replace `path` in one step; it is on disk when this returns."""
    text = json.dumps(value, ensure_ascii=False, indent=2, allow_nan=False)
    _replace(path, f"{text}\n".encode("utf-8", "replace"))
    sync(path.parent)


def read_json(path: Path) -> Json | None:
    """Return the object in `path`; None where there is none that can be read."""
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
    """Replace the folder `path` by one that holds `files` and nothing else, in one step; it is on disk when this returns.

    Names in `files` may have one folder in front. See `swap_in` for file systems that cannot exchange two names.
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
        finally:  # after an exchange the earlier folder has the temporary name
            _clear(building)


def swap_in(new: Path, path: Path) -> None:
    """Put the folder `new`, which must be on disk, in the place of `path`, and remove what stood there.

    Where the file system cannot exchange two names at once, a kill between two renames leaves no `path`, and the
    earlier folder whole beside it as `.NAME.old`; `recover` puts it back.
    """
    with _alone(path.parent):
        recover(path)
        _put(new, path)
        _clear(new)


def recover(path: Path) -> None:
    """Undo what a process left that was killed between two renames: the earlier folder goes back, or goes."""
    old = _old(path)
    if old.exists() and not path.exists():
        old.rename(path)
    _clear(old)


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Wait until no other process writes into `folder` with this module: the temporary names are shared."""
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
    """Give `building` the name `path`. What was there gets the name `building`, or is removed."""
    if not os.path.lexists(path):
        building.rename(path)
    elif not _exchange(building, path):
        path.rename(_old(path))
        building.rename(path)
    for folder in {path.parent, building.parent}:
        sync(folder)
    _clear(_old(path))


def _exchange(one: Path, other: Path) -> bool:
    """Swap two names in one step. Return False where the kernel or the file system cannot."""
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
    """Return the manifest of every file under `folder`; `without` names what is left out at its top."""
    files = {path.relative_to(folder): path for path in sorted(folder.rglob("*")) if path.is_file()}
    return {name.as_posix(): _entry_of(path) for name, path in files.items() if name.parts[0] not in without}


def agrees(folder: Path, files: Any, without: tuple[str, ...] = ()) -> bool:
    """Return True when `folder` holds exactly the files of a manifest, byte for byte."""
    return bool(files) and folder.is_dir() and manifest(folder, without) == files


def with_manifest(files: Mapping[str, bytes]) -> dict[str, bytes]:
    """Return the files, and last a manifest of them."""
    entries = {name: {"sha256": sha256(data), "bytes": len(data)} for name, data in sorted(files.items())}
    return {**files, MANIFEST: f"{json.dumps(entries, indent=2)}\n".encode()}


def damage(folder: Path) -> list[str]:
    """Return what is not as the folder's manifest says, as `file: what`; nothing for a whole export or no folder.

    A file that the manifest does not name is no damage. Raises OSError for a file that cannot be read.
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
    """Return the files that the folder's manifest names, itself included; none where there is no readable manifest."""
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
    inside = path.resolve().is_relative_to(folder.resolve())  # an edited manifest may name anything
    return _entry_of(path) if inside and path.is_file() else None
