"""Freeze a dataset as the next version of a name in a store."""

import json
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from synthgen import __version__
from synthgen.errors import UserError
from synthgen.ledger import durable
from synthgen.records import Json
from synthgen.tasks.rows.remote import is_url
from synthgen.versions.entries import content_hash, delta
from synthgen.versions.facts import FACTS, RESTORED, guide_of
from synthgen.versions.names import Library
from synthgen.versions.reading import Dataset, stale, workspace
from synthgen.versions.roles import roles_of
from synthgen.versions.rows import DatasetRows, Key
from synthgen.versions.store import Store, Version, is_name

NO_LICENCE = "none"
"""Name of the rows without a licence, where others have one."""
_LONGEST_CHAIN = 200
"""Most versions in a row that are written as differences."""
_TOLD_ONLY = ("origin", "published")
"""Facts that make no version by themselves."""
_MOST_LABELS = 200
"""Most labels whose counts are written to version.json."""


@dataclass(frozen=True)
class FrozenVersion:
    """Hold the version of a dataset, and the rows and bytes that were added to the store."""

    version: Version
    new: bool
    """False when the dataset was the same as the version already."""
    changed: Sequence[str] = ()
    """Facts that differ from those of the parent."""
    rows: tuple[int, int] = (0, 0)
    """The number of rows added to and removed from the parent."""
    stored: tuple[int, int] = (0, 0)
    """The number of rows that the store did not have, and their bytes."""


def freeze_dataset(
    library: Library,
    text: str,
    message: str = "",
    name: str | None = None,
    licence: str | None = None,
    guide: str | None = None,
    note: Callable[[str], None] = lambda _: None,
) -> FrozenVersion:
    """Freeze the dataset that `text` names. Pass notes for the user to `note`.

    `licence` is that of the rows that name none; `guide` the file of the annotation guide.
    """
    with workspace() as work:
        dataset = library.dataset(text, work)
        if licence:
            dataset.facts["default_licence"] = licence
        if guide:
            dataset.facts["guide"] = {**dataset.facts.get("guide", {}), **guide_of(Path(guide))}
        if warning := stale(Path(text)):
            note(warning)
        try:
            return freeze(library.store, dataset, name or _name_of(text, dataset), message)
        finally:
            dataset.rows.close()


def freeze(store: Store, dataset: Dataset, name: str, message: str = "") -> FrozenVersion:
    """Freeze a dataset as the next version of `name`, unless it equals its parent or the newest one.

    The parent is the version that the dataset was restored from, or else the newest one of the name. Raise UserError for
    a text that cannot be a name.
    """
    if not is_name(name):
        raise UserError(f"'{name}' cannot be the name of a version; give --name, with letters, digits, _, - and .")
    rows = dataset.rows.counted()
    content = content_hash(rows)
    if dataset.version_of not in (None, name):
        dataset.facts["origin"] = {"version": dataset.name}
    facts = _facts(dataset)
    with store.writing():
        numbers = store.numbers(name)
        parent = _parent(store, dataset, name, numbers)
        before = store.rows(parent) if parent else Counter[Key]()
        if parent and parent.content != content and facts.get("student") == parent.meta.get("student"):
            facts.pop("student", None)  # it was trained on the rows of the parent
        newest = store.version(name, numbers[-1]) if numbers else None
        for known in (parent, newest):
            if known and known.content == content and not _changed(known, facts):
                return FrozenVersion(known, new=False)
        changed = _changed(parent, facts)
        stored = store.packs.add(dataset.rows)
        number = (numbers or [0])[-1] + 1
        more, less = (rows - before).total(), (before - rows).total()
        base, chain = _base(parent, more + less, rows.total())
        meta = {
            "version": f"{name}@{number}",
            "message": message,
            "created": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "parent": parent.label if parent else None,
            "content": content,
            "base": base,
            "chain": chain,
            "rows": dataset.rows.splits(),
            "added": more,
            "removed": less,
            "fields": _fields(dataset.rows),
            "noted": list(dataset.rows.noted),
            **_labels(dataset),
            **facts,
            "synthgen": __version__,
        }
        lines = delta(before if base else Counter(), rows)
        return FrozenVersion(store.write(name, number, meta, lines), True, changed, (more, less), stored)


def _name_of(text: str, dataset: Dataset) -> str:
    """Return the name of a version, or of the version that a folder was restored from, or of a run, folder or file."""
    if dataset.version_of:
        return dataset.version_of
    if restored := _restored(text):
        return restored[0]
    if hub := dataset.facts.get("origin", {}).get("hub"):
        return str(hub).rpartition("/")[2]
    if is_url(text):
        parts = [part for part in text.partition("://")[2].split("/") if part]
        if "dataset" in parts[1:]:  # the folder of a push, or a version in it
            parts = parts[: parts.index("dataset", 1)]
        return parts[-1].partition(".")[0] if parts else ""
    place = Path(text).resolve()
    if place.is_file():
        return place.name.partition(".")[0]
    return place.parent.name if place.name == "dataset" and (place.parent / "ledger.sqlite").exists() else place.name


def _restored(text: str) -> tuple[str, int] | None:
    """Return the name and number of the version that a folder was restored from; None for anything else."""
    label = (durable.read_json(Path(text) / RESTORED) or {}).get("version") if Path(text).is_dir() else None
    name, _, number = str(label or "").rpartition("@")
    return (name, int(number)) if name and number.isdecimal() else None


def _parent(store: Store, dataset: Dataset, name: str, numbers: Sequence[int]) -> Version | None:
    restored = None if dataset.version_of else _restored(dataset.name)
    if restored and restored[0] == name and restored[1] in numbers:
        return store.version(*restored)
    return store.version(name, numbers[-1]) if numbers else None


def _facts(dataset: Dataset) -> Json:
    """Return the facts of a dataset in their order, as they are read back from JSON."""
    counts = dataset.licences
    none = {NO_LICENCE: counts.pop("")} if "" in counts else {}
    facts = {**dataset.facts, "licence": {**counts, **none} if counts else {}}
    found: Json = json.loads(json.dumps({name: facts[name] for name in FACTS if facts.get(name)}))
    return found


def _changed(parent: Version | None, facts: Json) -> list[str]:
    meta = parent.meta if parent else {}
    return [name for name in FACTS if name not in _TOLD_ONLY and facts.get(name) != meta.get(name)]


def _base(parent: Version | None, changed: int, rows: int) -> tuple[str | None, Json]:
    """Return the version that the new one is written as a difference to, and the size of all differences in between.

    The rows are written in full where these differences are longer, or too many to read one by one.
    """
    before = parent.meta.get("chain", {}) if parent else {}
    chain = {"versions": before.get("versions", 0) + 1, "lines": before.get("lines", 0) + changed}
    if parent is None or chain["lines"] > rows or chain["versions"] > _LONGEST_CHAIN:
        return None, {"versions": 0, "lines": 0}
    return parent.label, chain


def _fields(rows: DatasetRows) -> Json:
    """Return each field with its JSON types; `absent` where some rows lack it."""
    found = {}
    for name, kinds in rows.kinds.items():
        absent = ["absent"] if kinds.total() < len(rows) else []
        found[name] = sorted(kinds) + absent
    return found


def _labels(dataset: Dataset) -> Json:
    """Return the number of rows with each label, where the dataset has labels."""
    roles = roles_of([dataset.facts.get("task")], dataset.rows.kinds)
    if not roles.target:
        return {}
    counts = Counter[str]()
    for _, data in dataset.rows.contents():
        label = roles.label(data)
        if label is None or len(counts) > _MOST_LABELS:
            return {}
        counts[label] += 1
    return {"labels": dict(sorted(counts.items()))}
