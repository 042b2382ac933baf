"""manifest.json: SHA-256 and size of every other file of an export, and what has been changed since."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from synthgen.records import Json
from synthgen.report.tables import utf8
from synthgen.safety.untrusted import escaped

NAME = "manifest.json"


def with_manifest(files: Mapping[str, bytes]) -> dict[str, bytes]:
    """The files, and last a manifest of them."""
    entries = {name: _entry(data) for name, data in sorted(files.items())}
    return {**files, NAME: pretty(entries)}


def damage(folder: Path) -> list[str]:
    """What is not as the folder's manifest says, as `file: what`; empty for a whole export, and where there is none.

    A file that the manifest does not name is no damage. Raises OSError for a file that cannot be read.
    """
    if not folder.is_dir():
        return []
    try:
        manifest = json.loads((folder / NAME).read_bytes())
        expected = {str(name): dict(entry) for name, entry in manifest.items()}
    except FileNotFoundError:
        return [f"{folder / NAME}: missing"]
    except (ValueError, TypeError, AttributeError):
        return [f"{folder / NAME}: torn or edited"]
    found = {name: _entry_of(folder, name) for name in expected}
    return [
        f"{folder / name}: {'missing' if found[name] is None else 'not as the manifest says: torn or edited'}"
        for name in expected
        if found[name] != expected[name]
    ]


def names(folder: Path) -> list[str]:
    """The files that the folder's manifest names, itself included; none where there is no readable manifest."""
    try:
        return [NAME, *map(str, json.loads((folder / NAME).read_bytes()))]
    except (OSError, ValueError, TypeError):
        return []


def pretty(value: Any) -> bytes:
    return utf8(escaped(json.dumps(value, ensure_ascii=False, indent=2)) + "\n")


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _entry(data: bytes) -> Json:
    return {"sha256": sha256(data), "bytes": len(data)}


def _entry_of(folder: Path, name: str) -> Json | None:
    path = folder / name
    inside = path.resolve().is_relative_to(folder.resolve())  # an edited manifest may name anything
    return _entry(path.read_bytes()) if inside and path.is_file() else None
