"""Keep versions in a folder of text files: a store.

    versions/
      store.json                       marks the folder as a store
      rows/HASH.jsonl                  the content of rows, each once (`packs.py`)
      datasets/NAME/3/version.json     the facts of NAME@3: parent, content hash, counts, task, licence and others
      datasets/NAME/3/rows.txt         its rows, as a difference to its base (`entries.py`)

Nothing that was written changes later. Rows are on disk before the version that names them, so that a process that is
killed leaves at most rows that the next version uses. One process at a time adds to a store.
"""

import fcntl
import json
import os
import re
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from synthgen.errors import UserError, WriteError
from synthgen.ledger import durable
from synthgen.records import Json
from synthgen.versions.entries import apply, content_hash, damaged
from synthgen.versions.packs import Packs
from synthgen.versions.rows import Key

STORE = "versions"
"""The default folder of a store."""
META, ROWS = "version.json", "rows.txt"
_MARK, _DATASETS = "store.json", "datasets"
_FORMAT = 1
_NAME = re.compile(r"\w[\w.-]{0,99}")


@dataclass(frozen=True)
class Version:
    """Hold one version: its name and number, and the content of its version.json."""

    store: "Store"
    name: str
    number: int
    meta: Json

    @property
    def label(self) -> str:
        return f"{self.name}@{self.number}"

    @property
    def content(self) -> str:
        return str(self.meta.get("content", ""))

    @property
    def parent(self) -> str | None:
        return self.meta.get("parent")


class Store:
    """Read and write one store."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.packs = Packs(root)

    @property
    def exists(self) -> bool:
        """Return True for a folder that is marked as a store."""
        return (self.root / _MARK).is_file()

    def check(self) -> None:
        """Raise UserError where the folder is no store, or has a format that this program does not know."""
        mark = durable.read_json(self.root / _MARK)
        if mark is None:
            raise UserError(
                f"{self.root}: no store of versions; `synthgen version RUN` makes one, --store DIR names another one"
            )
        if mark.get("synthgen_versions") != _FORMAT:
            raise UserError(f"{self.root / _MARK}: a format that this program does not know; use a newer synthgen")

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Wait until no other process adds to the store, and make the store if it is missing."""
        try:
            made = not self.root.exists()
            self.root.mkdir(parents=True, exist_ok=True)
            lock = os.open(self.root, os.O_RDONLY)
        except OSError as error:
            raise WriteError(f"{self.root}: cannot be written: {error.strerror}; {durable.cure(error)}") from error
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not (self.root / _MARK).exists():
                self._make(made)
            self.check()
            yield
        except OSError as error:
            why = error.strerror or str(error)
            raise WriteError(
                f"{error.filename or self.root}: cannot be written: {why}; earlier versions are unchanged."
                f" To repeat the command, {durable.cure(error)}"
            ) from error
        finally:
            os.close(lock)

    def names(self) -> list[str]:
        """Return the names of all datasets in the store."""
        folder = self.root / _DATASETS
        return sorted(path.name for path in folder.iterdir() if path.is_dir()) if folder.is_dir() else []

    def numbers(self, name: str) -> list[int]:
        """Return the numbers of all versions of a dataset, in order."""
        folder = self.root / _DATASETS / name
        return sorted(int(path.name) for path in folder.iterdir() if path.name.isdecimal()) if folder.is_dir() else []

    def versions(self, name: str) -> list[Version]:
        """Return all versions of a dataset, in order."""
        return [self.version(name, number) for number in self.numbers(name)]

    def version(self, name: str, number: int) -> Version:
        """Return one version. Raise RunFolderError where its file is missing or damaged."""
        path = self.folder(name, number) / META
        meta = durable.read_json(path)
        if meta is None or not isinstance(meta.get("content"), str):
            raise damaged(str(path), "missing, torn or edited")
        return Version(self, name, number, meta)

    def folder(self, name: str, number: int) -> Path:
        return self.root / _DATASETS / name / str(number)

    def rows(self, version: Version) -> Counter[Key]:
        """Return the ids and splits of a version. Raise RunFolderError where they do not match its content hash."""
        chain = [version]
        while (base := chain[-1].meta.get("base")) is not None:
            name, _, number = str(base).rpartition("@")
            looped = base in [each.label for each in chain]
            if looped or not number.isdecimal() or not is_name(name):
                raise damaged(str(self.folder(chain[-1].name, chain[-1].number) / META), f"the base '{base}' is wrong")
            chain.append(self.version(name, int(number)))
        found: Counter[Key] = Counter()
        for each in reversed(chain):
            apply(found, self.folder(each.name, each.number) / ROWS)
        found = +found  # rows that a later version removed have the count 0
        if content_hash(found) != version.content:
            raise damaged(str(self.folder(version.name, version.number) / ROWS), "not the rows of the content hash")
        return found

    def write(self, name: str, number: int, meta: Json, rows: str) -> Version:
        """Write a version, in one step. Its rows must be stored already."""
        folder = self.folder(name, number)
        for parent in (folder.parent.parent, folder.parent):
            if not parent.exists():
                parent.mkdir()
                durable.sync(parent.parent)
        durable.write_folder(folder, {META: pretty(meta), ROWS: rows.encode()})
        return Version(self, name, number, meta)

    def _make(self, new: bool) -> None:
        if not new and any(not path.name.startswith(".") for path in self.root.iterdir()):
            raise UserError(f"{self.root}: has content and is no store of versions; name another folder with --store")
        durable.write_json(self.root / _MARK, {"synthgen_versions": _FORMAT})


def is_name(text: str) -> bool:
    """Return True for a text that can be the name of a dataset in a store."""
    return _NAME.fullmatch(text) is not None


def pretty(value: Json) -> bytes:
    """Return a JSON object as a file that people can read."""
    return f"{json.dumps(value, ensure_ascii=False, indent=2, allow_nan=False)}\n".encode("utf-8", "replace")
