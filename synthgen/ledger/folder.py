"""Lock the run folder for one process, and check that its disk is writable and safe for SQLite."""

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
    """Lock the run folder for this process. Raise RunFolderError, with the other's PID, if another process has it.

    Try for half a second, because `synthgen label` takes the lock for a moment to write an answer.
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
    """Lock the run folder if no other process has the lock. Yield True where this process has it now."""
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
    """Return the PID of the process on this machine that has locked the run folder; None where there is none.

    Read the kernel's table `locks` and do not try the lock: a process that tries it has it for a moment, during which a
    run could not start. On systems without the table, return the PID in the lock file if such a process exists.
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
    """Raise RunFolderError where files cannot be written: a read-only or full file system, or missing permissions.

    Do not make a missing folder: try its nearest existing parent instead.
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
    """Return a warning for a run folder on a network file system; None on a local disk.

    `mounts` is the kernel's table of mounts. Return None on systems without it.
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
        f"{folder} is on a network file system ({kind} at {point}). SQLite's locks and shared memory are safe there "
        "only while no other machine uses the folder, and commits are slow. Better use a local disk: run.dir=DIR"
    )


def _unescaped(point: str) -> str:
    """Decode a mount point of the kernel's table, which writes spaces and backslashes as octal escapes."""
    return point.encode().decode("unicode_escape").encode("latin-1").decode("utf-8", "replace")
