"""Find the source of rows: a file, a dataset folder, or a dataset on the Hugging Face hub by its name."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from synthgen.errors import InputError
from synthgen.tasks.assets import find
from synthgen.tasks.rows.remote import fetched, is_url

_HUB = re.compile(
    r"hf:(?P<name>[\w.-]+(/[\w.-]+)?)(/(?P<config>[\w.-]+))?(:(?P<split>[^@\s]+))?(@(?P<revision>[\w./-]+))?", re.A
)


@dataclass(frozen=True)
class HubDataset:
    """Hold the parts of `hf:owner/name` with an optional configuration, split and revision."""

    name: str
    config: str | None = None
    split: str | None = None
    revision: str | None = None

    def __str__(self) -> str:
        parts = [f"hf:{self.name}"]
        parts += [f"/{self.config}"] if self.config else []
        parts += [f":{self.split}"] if self.split else []
        parts += [f"@{self.revision}"] if self.revision else []
        return "".join(parts)


Source = Path | HubDataset


def find_source(text: str, bases: Sequence[Path], what: str) -> Source:
    """Return the source that `text` names. A relative path is resolved by `assets.find`.

    The file of an address such as s3://bucket/file.jsonl is copied from its store.
    Raise InputError for a path that does not exist, and for an invalid dataset name.
    """
    if is_url(text):
        return fetched(text, what)
    if not text.startswith("hf:"):
        return find(text, bases, what)
    match = _HUB.fullmatch(text)
    if match is None:
        raise InputError(f"{what}: '{text}' names no dataset; write hf:OWNER/NAME[/CONFIG][:SPLIT][@REVISION]")
    return HubDataset(match["name"], match["config"], match["split"], match["revision"])
