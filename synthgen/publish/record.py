"""Record each publication with its target and revision: `published.jsonl` in the run folder, one object a line.

A version of the run takes over these lines (`synthgen.versions.facts`).
"""

import json
import os
import time
from pathlib import Path
from typing import NamedTuple

from synthgen.errors import WriteError
from synthgen.ledger import durable
from synthgen.publish.upload import Upload
from synthgen.records import Json

NAME = "published.jsonl"


class Published(NamedTuple):
    """Hold the result of a push."""

    line: str
    """The result in words."""
    revision: str
    """The commit of a hub's repository, or the folder of a store."""


def keep(run: Path, target: str, upload: Upload, revision: str) -> None:
    """Write to the run folder that `upload` is at `target` as `revision`, unless its last line says so already.

    Raise WriteError if the line cannot be written; the publication itself stays.
    """
    entry: Json = {
        "kind": upload.kind,
        "to": target,
        "revision": revision,
        "content": upload.hash,
        "licence": upload.licence,
    }
    path = run / NAME
    try:
        with path.open("a+", encoding="utf-8") as file:
            file.seek(0)
            lines = file.read().split("\n")
            if any(_same(line, entry) for line in _latest(lines, entry)):
                return
            torn = "\n" if lines[-1] else ""  # a kill may have cut off the last line
            at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
            file.write(f"{torn}{json.dumps({'at': at, **entry}, ensure_ascii=False)}\n")
            file.flush()
            os.fsync(file.fileno())
        durable.sync(run)
    except OSError as error:
        raise WriteError(
            f"{path}: it is published as {revision}, which cannot be written down: {error.strerror}; {durable.cure(error)}, and"
            " repeat the command, which sends nothing again"
        ) from error


def _latest(lines: list[str], entry: Json) -> list[str]:
    """Return the newest line about the same kind and target, if there is one."""
    about = [
        line for line in lines if (found := _read(line)) and all(found.get(key) == entry[key] for key in ("kind", "to"))
    ]
    return about[-1:]


def _same(line: str, entry: Json) -> bool:
    found = _read(line) or {}
    return all(found.get(key) == value for key, value in entry.items())


def _read(line: str) -> Json | None:
    try:
        found = json.loads(line)
    except ValueError:
        return None
    return found if isinstance(found, dict) else None
