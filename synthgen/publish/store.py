"""Upload files to stores that fsspec reaches: S3, Google Cloud Storage, Azure, a folder.

    TARGET/dataset/HASH/...       the files of a version; the folder's name is the hash of its content
    TARGET/dataset/latest.json    the folder of the newest version, with the size and SHA-256 of each file

latest.json is written last, in one request. A reader that follows it sees the old version or the new one, never a mix.
Older versions stay in the store.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tenacity import RetryCallState, Retrying, retry_if_exception, stop_after_attempt, wait_exponential

from synthgen.errors import UserError
from synthgen.numerics.stages import Stages
from synthgen.publish.record import Published
from synthgen.publish.upload import Upload
from synthgen.records import Json
from synthgen.tasks.rows.remote import LATEST, explained, has_folders, is_lasting, is_url, kind_of, reached, store_of

_HASH = 16
_ATTEMPTS = 5


def check(target: str) -> None:
    """Raise UserError for a target that is no address of a store, or whose package is missing."""
    if not is_url(target):
        raise UserError(f"--to: '{target}' is no target; write hf:OWNER/NAME, or an address such as s3://BUCKET/PATH")
    store_of(target, "--to")


def place(target: str, upload: Upload) -> str:
    """Return the address of a version's folder."""
    return f"{target.rstrip('/')}/{upload.kind}/{upload.hash[:_HASH]}"


def push(target: str, upload: Upload, say: Callable[[str], None], first_wait: float = 1.0) -> Published:
    """Publish the files of `upload` below `target`, and return the result with its folder.

    Files that are there are not sent again. Raise UserError where the store refuses, or cannot be reached after all
    attempts.
    """
    store, root = store_of(target, "--to")
    folder = upload.hash[:_HASH]
    base = f"{root.rstrip('/')}/{upload.kind}"
    listed = {name: {"bytes": upload.size(name), "sha256": digest} for name, digest in upload.digests.items()}
    pointer = {"kind": upload.kind, "name": upload.name, "folder": folder, "files": listed}

    def note(state: RetryCallState) -> None:
        error = state.outcome.exception() if state.outcome else None
        cause = explained(target, error).partition("; ")[0] if error else "no answer"
        say(f"{target}: {cause}; trying again")

    policy = Retrying(
        stop=stop_after_attempt(_ATTEMPTS),
        wait=wait_exponential(multiplier=first_wait, max=30),
        retry=retry_if_exception(lambda error: not is_lasting(error)),
        before_sleep=note,
        reraise=True,
    )

    def send(name: str, data: bytes | Path) -> None:
        path = f"{base}/{folder}/{name}"
        if _size(store, path) == upload.size(name):
            return
        if has_folders(store):
            store.makedirs(path.rpartition("/")[0], exist_ok=True)
        if isinstance(data, bytes):
            store.pipe_file(path, data)
        else:
            store.put_file(str(data), path)

    stages = Stages(say)
    with reached(target, "--to"):
        if policy(lambda: _pointer(store, f"{base}/{LATEST}")) == pointer:
            return Published(
                f"{upload.kind}: {place(target, upload)} is the newest version already; nothing was sent", folder
            )
        for number, (name, data) in enumerate(upload.files.items()):
            stages.at(f"{target}: files sent", number, len(upload.files))
            policy(send, name, data)
        policy(_point, store, f"{base}/{LATEST}", pointer)
    said = f"{place(target, upload)}, named in {target.rstrip('/')}/{upload.kind}/{LATEST}"
    return Published(f"{upload.kind}: {said}", folder)


def _size(store: Any, path: str) -> int | None:
    """Return the size of a file in bytes; None where there is none."""
    try:
        return int(store.info(path)["size"])
    except FileNotFoundError:
        return None


def _pointer(store: Any, path: str) -> Json | None:
    """Return the content of latest.json; None where there is none yet."""
    if kind_of(store, path) != "file":
        return None
    found: Json = json.loads(store.cat_file(path))
    return found


def _point(store: Any, path: str, pointer: Json) -> None:
    """Write latest.json. A store with real files gets it by a rename; others replace an object in one step."""
    data = f"{json.dumps(pointer, indent=2)}\n".encode()
    protocols = store.protocol if isinstance(store.protocol, tuple) else (store.protocol,)
    if {"file", "local"} & set(protocols):
        store.pipe_file(f"{path}.new", data)
        store.mv(f"{path}.new", path)
    else:
        store.pipe_file(path, data)
