"""The run folder as a place: one process at a time, on a disk that keeps what is written to it."""

import contextlib
import fcntl
import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from synthgen.errors import RunFolderError

_NETWORK = ("nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "afs", "ceph", "lustre", "gpfs", "beegfs", "glusterfs")

_PATIENCE_SECONDS = 0.5


@contextlib.contextmanager
def run_lock(folder: Path) -> Iterator[None]:
    """Holds the run folder for this process. Raises RunFolderError, with the holder's PID, if taken.

    Tries for half a second: `synthgen label` takes the lock for a moment to write down an answer.
    """
    deadline = time.monotonic() + _PATIENCE_SECONDS
    with (folder / ".lock").open("a+") as file:
        while not _take(file):
            if time.monotonic() > deadline:
                file.seek(0)
                holder = file.read().strip() or "unknown"
                raise RunFolderError(f"{folder}: another synthgen process (PID {holder}) is working in this run folder")
            time.sleep(_PATIENCE_SECONDS / 20)
        yield


@contextlib.contextmanager
def free_lock(folder: Path) -> Iterator[bool]:
    """Hold the run folder if no other process does; yields whether it is held."""
    with (folder / ".lock").open("a+") as file:
        yield _take(file)


def _take(file: IO[str]) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    file.truncate(0)
    file.write(str(os.getpid()))
    file.flush()
    return True


def holder(folder: Path, locks: Path = Path("/proc/locks")) -> int | None:
    """PID of the process that works in the run folder, as far as this machine knows; None where none does.

    It is looked up and not tried: whoever tries a lock holds it for a moment, in which a run could not begin. `locks` is
    the kernel's table; on systems without one, a process that is still there under the noted PID is taken for the holder.
    """
    lock = folder / ".lock"
    try:
        noted = lock.read_text(encoding="utf-8").strip()
        inode = lock.stat().st_ino
    except OSError:
        return None
    try:
        table = [line.split() for line in locks.read_text(encoding="utf-8", errors="surrogateescape").splitlines()]
    except OSError:
        return int(noted) if noted.isdigit() and _is_there(int(noted)) else None
    held = {row[4] for row in table if len(row) > 5 and row[1] == "FLOCK" and row[5].rpartition(":")[2] == str(inode)}
    return int(noted) if noted in held else None


def _is_there(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def check_writable(folder: Path) -> None:
    """Raises RunFolderError where files cannot be written: a read-only or full file system, missing rights.

    A folder that is not there yet is not made: the one that it will stand in is tried.
    """
    place = next(path for path in (folder, *folder.parents) if path.exists())
    try:
        with tempfile.TemporaryFile(dir=place) as probe:
            probe.write(b"synthgen")
            probe.flush()
            os.fsync(probe.fileno())
    except OSError as error:
        raise RunFolderError(
            f"{folder}: cannot be written to ({error.strerror}); name a folder on a disk of your own: run.dir=DIR"
        ) from error


def network_warning(folder: Path, mounts: Path = Path("/proc/self/mounts")) -> str | None:
    """What to tell a user whose run folder lies on a network file system; None on a local disk.

    `mounts` is the kernel's table; on systems without one nothing is known, and nothing said.
    """
    try:
        table = [
            line.split()[1:3] for line in mounts.read_text(encoding="utf-8", errors="surrogateescape").splitlines()
        ]
    except OSError:
        return None
    place = folder.resolve()
    above = [(Path(_unescaped(point)), kind) for point, kind in table]
    holding = [(point, kind) for point, kind in above if place.is_relative_to(point)]
    point, kind = max(holding, key=lambda entry: len(entry[0].parts), default=(place, ""))
    if kind not in _NETWORK and not kind.startswith("fuse.ssh"):
        return None
    return (
        f"{folder} lies on a network file system ({kind} at {point}): SQLite's locks and shared memory are only safe "
        "there while this machine alone uses the folder, and commits are slow; a local disk is better: run.dir=DIR"
    )


def _unescaped(point: str) -> str:
    """A mount point as the kernel's table writes it: octal for blanks and backslashes."""
    return point.encode().decode("unicode_escape").encode("latin-1").decode("utf-8", "replace")
