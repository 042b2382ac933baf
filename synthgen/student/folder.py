"""Files and folders of a student that are either whole or not counted: checksums, durable writes, the last swap.

What a folder holds, and when it is finished, is for `checkpoint` and `work` to say.
"""

import contextlib
import errno
import hashlib
import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from synthgen.errors import WriteError
from synthgen.ledger import disk
from synthgen.records import Json

_REFUSALS = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO}


def manifest(folder: Path, without: tuple[str, ...] = ()) -> Json:
    """{path: {bytes, sha256}} of every file under `folder`; `without` names what is left out at its top."""
    found = {}
    for path in sorted(folder.rglob("*")):
        relative = path.relative_to(folder)
        if path.is_file() and relative.parts[0] not in without:
            with path.open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
            found[relative.as_posix()] = {"bytes": path.stat().st_size, "sha256": digest}
    return found


def agrees(folder: Path, files: Any, without: tuple[str, ...] = ()) -> bool:
    """Whether `folder` holds exactly the files of a manifest, byte for byte."""
    return bool(files) and folder.is_dir() and manifest(folder, without) == files


def sync(folder: Path) -> None:
    """Puts every file under `folder`, and their names, on disk."""
    for path in [*folder.rglob("*"), folder]:
        disk.sync(path)


def write_json(path: Path, value: Any) -> None:
    """Replaces `path` in one step; it is on disk when this returns."""
    unfinished = path.with_name(f".{path.name}.new")
    text = json.dumps(value, ensure_ascii=False, indent=2, allow_nan=False)
    unfinished.write_bytes(f"{text}\n".encode("utf-8", "replace"))
    disk.sync(unfinished)
    unfinished.replace(path)
    disk.sync(path.parent)


def read_json(path: Path) -> Json | None:
    """The object in `path`; None where there is none that can be read."""
    try:
        value = json.loads(path.read_bytes())
    except (FileNotFoundError, ValueError):
        return None
    return value if isinstance(value, dict) else None


def recover(out: Path) -> None:
    """Undoes what a process killed inside `swap_in` left: the old folder goes back, or goes."""
    old = _old(out)
    if old.exists() and not out.exists():
        old.replace(out)
    shutil.rmtree(old, ignore_errors=True)


def swap_in(new: Path, out: Path) -> None:
    """Puts `new`, which must be on disk, in the place of `out`; the earlier `out` goes when it stands there."""
    recover(out)
    if out.exists():
        out.replace(_old(out))
    new.replace(out)
    disk.sync(out.parent)
    shutil.rmtree(_old(out), ignore_errors=True)


def is_refused_write(error: Exception) -> bool:
    """Whether a disk that is full, over quota, read-only or failing caused `error`."""
    told = re.search(r"os error (\d+)", str(error))  # safetensors and tokenizers, in Rust, put it into the text alone
    number = error.errno if isinstance(error, OSError) else int(told.group(1)) if told else None
    return number in _REFUSALS


@contextlib.contextmanager
def writing(path: Path) -> Iterator[None]:
    """Raises WriteError naming `path`, the cause and the cure where the disk refuses a write."""
    try:
        yield
    except Exception as error:
        if not is_refused_write(error):
            raise
        raise WriteError(
            f"{path}: could not be written: {error}; make room there, and what is trained so far goes on"
        ) from error


def _old(out: Path) -> Path:
    return out.with_name(f".{out.name}.old")
