"""Resolve the name that a user gives for a dataset: a path, a dataset on the hub, or a version by name, number or hash.

| written | meant |
|---|---|
| `runs/first`, `clean`, `rows.csv` | a run, a folder or a file that exists |
| `hf:OWNER/NAME[:SPLIT][@REVISION]` | a dataset on the hub |
| `news@3`, `news@latest`, `news` | a version in the store |
| `3f0c8a1e` | the version whose content hash begins so |
| `old/versions/datasets/news/3` | a version in another store |
"""

import difflib
import re
from pathlib import Path

from synthgen.errors import UserError
from synthgen.tasks.rows.remote import is_url
from synthgen.versions.facts import FACTS
from synthgen.versions.reading import Dataset, read
from synthgen.versions.rows import DatasetRows
from synthgen.versions.store import META, ROWS, Store, Version, is_name

_HASH = re.compile(r"[0-9a-f]{6,32}")
LATEST = "latest"


class Library:
    """Find datasets and versions by name."""

    def __init__(self, store: Store) -> None:
        self.store = store

    def dataset(self, text: str, work: Path) -> Dataset:
        """Read the dataset or version that `text` names. Raise UserError where nothing has that name."""
        if text.startswith("hf:") or is_url(text) or (Path(text).exists() and self._elsewhere(text) is None):
            return read(text, work)
        if not self.store.exists and self._elsewhere(text) is None:
            raise UserError(f"'{text}': no such run, folder or file, and no versions in {self.store.root}")
        return load(self._elsewhere(text) or self.version(text, "nor a file or folder"), work)

    def listed(self, text: str | None) -> list[Version]:
        """Return all versions in the store, or those of one dataset, the newest first; or the one that `text` names."""
        self.store.check()
        names = self.store.names()
        if text is not None and text not in names:
            return [self.version(text)]
        found = [each for name in ([text] if text else names) for each in self.store.versions(name)]
        return sorted(found, key=lambda each: (str(each.meta.get("created")), each.name, each.number), reverse=True)

    def version(self, text: str, also: str = "") -> Version:
        """Return the version that `text` names."""
        if found := self._elsewhere(text):
            return found
        self.store.check()
        name, mark, number = text.rpartition("@")
        if mark:
            return self._numbered(name, number)
        if is_name(text) and (numbers := self.store.numbers(text)):
            return self.store.version(text, numbers[-1])
        if _HASH.fullmatch(text) and (found := self._hashed(text)):
            return found
        near = difflib.get_close_matches(text, self.store.names(), n=1)
        hint = f"; did you mean {near[0]}?" if near else "; `synthgen log` lists the versions"
        raise UserError(f"'{text}': no version in {self.store.root}{f', {also}' if also else ''}{hint}")

    def _numbered(self, name: str, number: str) -> Version:
        numbers = self.store.numbers(name) if is_name(name) else []
        if not numbers:
            names = self.store.names()
            near = difflib.get_close_matches(name, names, n=1)
            hint = f"; did you mean {near[0]}?" if near else f"; it has {', '.join(names) or 'none'}"
            raise UserError(f"'{name}@{number}': {self.store.root} has no dataset '{name}'{hint}")
        if number == LATEST:
            return self.store.version(name, numbers[-1])
        if not number.isdecimal() or int(number) not in numbers:
            shown = ", ".join(map(str, numbers[-10:]))
            raise UserError(f"'{name}@{number}': no such version; {name} has {shown}")
        return self.store.version(name, int(number))

    def _hashed(self, text: str) -> Version | None:
        """Return the newest version whose content hash begins with `text`. Raise UserError for two contents."""
        found = [
            each for name in self.store.names() for each in self.store.versions(name) if each.content.startswith(text)
        ]
        if len({each.content for each in found}) > 1:
            raise UserError(
                f"'{text}': begins the hashes of {', '.join(each.label for each in found)}; write more of it"
            )
        return found[-1] if found else None

    @staticmethod
    def _elsewhere(text: str) -> Version | None:
        """Return the version that a folder of a store holds; None for any other path."""
        folder = Path(text)
        if not ((folder / META).is_file() and (folder / ROWS).is_file()):
            return None
        folder = folder.resolve()
        store = Store(folder.parents[2])
        store.check()
        return store.version(folder.parent.name, int(folder.name)) if folder.name.isdecimal() else None


def load(version: Version, work: Path) -> Dataset:
    """Read a version from its store. Rows are in the order of their splits, then of their ids."""
    splits: dict[str, list[str]] = {}
    for key, split in version.store.rows(version).elements():
        splits.setdefault(key, []).append(split)
    rows = DatasetRows(work)
    for key, row, lineage in version.store.packs.read(splits):
        rows.add_content(key, row, splits[key], lineage)
    rows.sort()
    rows.noted = dict.fromkeys(version.meta.get("noted") or ())
    facts = {name: version.meta[name] for name in FACTS if name in version.meta}
    return Dataset(version.label, rows, facts, version.name)
