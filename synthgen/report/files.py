"""Files and folders that are either whole or not there, through a kill or a full disk at any point.

Everything is built under a temporary name beside its place, synced, and then put there in one
step. What a killed export left behind is cleared by the next one. One export of a folder at a
time. The ledger is not this module's: it has a way of its own.
"""

import ctypes
import errno
import fcntl
import os
import shutil
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from synthgen.errors import WriteError
from synthgen.ledger.disk import sync

_AT_FDCWD = -100
_RENAME_EXCHANGE = 2
_NO_EXCHANGE = (errno.ENOSYS, errno.EINVAL, errno.ENOTSUP, errno.EPERM)
_LIBC = ctypes.CDLL(None, use_errno=True)
_CURES = {
    errno.ENOSPC: "make room on that disk",
    errno.EDQUOT: "raise the quota, or make room",
    errno.EFBIG: "raise the limit on file sizes (ulimit -f)",
    errno.EROFS: "make that file system writable",
    errno.EACCES: "make it writable for this user",
    errno.EPERM: "make it writable for this user",
    errno.EIO: "look after that disk",
}


@contextmanager
def exporting(place: Path, again: str) -> Iterator[None]:
    """Turns an error of the operating system into a WriteError; `again` is the command that exports anew."""
    try:
        yield
    except OSError as error:
        raise WriteError(
            f"{error.filename or place}: cannot be written: {error.strerror or error}. What stood at {place} before is"
            f" as it was, and the ledger has everything: {_CURES.get(error.errno or 0, 'mend that')}, then"
            f"\n  {again}"
        ) from error


def write_files(folder: Path, files: Mapping[str, bytes]) -> None:
    """Replaces each file of `folder`, in one step each, in the order given; on disk when this returns."""
    with _alone(folder):
        for name, data in files.items():
            path = folder / name
            temporary = _new(path)
            try:
                write_synced(temporary, data)
                temporary.replace(path)
            except BaseException:
                temporary.unlink(missing_ok=True)
                raise
        sync(folder)


def write_folder(path: Path, files: Mapping[str, bytes]) -> None:
    """Replaces the folder `path` by one that holds `files` and nothing else, in one step, on disk when this returns.

    Where the file system cannot exchange two names at once, a kill between two renames leaves no
    `path`, and the old folder whole beside it as `.NAME.old`.
    """
    with _alone(path.parent):
        building, old = _new(path), path.with_name(f".{path.name}.old")
        if old.exists() and not path.exists():
            old.rename(path)  # killed between two renames: the older one is what there is until the new one is whole
        for leftover in (building, old):
            _clear(leftover)
        try:
            building.mkdir()
            for name, data in files.items():
                (building / name).parent.mkdir(exist_ok=True)
                write_synced(building / name, data)
            for folder in (building, *(child for child in building.iterdir() if child.is_dir())):
                sync(folder)
            _put(building, path, old)
        finally:  # after an exchange it is the old one that has the temporary name
            _clear(building)
        _clear(old)


def write_synced(path: Path, data: bytes) -> None:
    """A new file, on disk when this returns; an OSError from here names it."""
    try:
        with path.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        error.filename = error.filename or str(path)
        raise


def _new(path: Path) -> Path:
    return path.with_name(f".{path.name}.new")


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Waits until no other process exports into `folder`: the temporary names are shared."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _clear(path: Path) -> None:
    if path.is_symlink() or path.is_file():
        path.unlink()
    else:
        with suppress(FileNotFoundError):
            shutil.rmtree(path)


def _put(building: Path, path: Path, old: Path) -> None:
    """`building` becomes `path`; what was there gets the name `building`, or `old`."""
    if not os.path.lexists(path):
        building.rename(path)
    elif not _exchange(building, path):
        path.rename(old)
        building.rename(path)
    sync(path.parent)


def _exchange(one: Path, other: Path) -> bool:
    """Swaps two names in one step. False where the kernel or the file system cannot."""
    if sys.platform != "linux" or not hasattr(_LIBC, "renameat2"):
        return False
    names = os.fsencode(one), os.fsencode(other)
    if _LIBC.renameat2(_AT_FDCWD, names[0], _AT_FDCWD, names[1], _RENAME_EXCHANGE) == 0:
        return True
    number = ctypes.get_errno()
    if number in _NO_EXCHANGE:
        return False
    raise OSError(number, os.strerror(number), str(other))
