"""Collect the files that are published: the dataset, made from the ledger, and the student's folder."""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml  # type: ignore[import-untyped]

from synthgen import __version__
from synthgen.errors import ConfigError, RunFolderError
from synthgen.ledger import durable
from synthgen.publish.croissant import croissant
from synthgen.records import Json
from synthgen.report.dataset import dataset_files
from synthgen.report.tables import FORMATS, pretty, utf8

DATASET, STUDENT = "dataset", "student"
_SKIPPED = ("logs",)
"""Folders of the student that are not published."""
_MODEL_ID = re.compile(r"[\w.-]+/[\w.-]+")
_LICENCE = re.compile(r"[a-z0-9][a-z0-9.-]*")
CARD = "README.md"


@dataclass(frozen=True)
class Parcel:
    """Hold what becomes one repository or folder. A file is its content, or its path on this machine."""

    kind: str
    name: str
    files: Mapping[str, bytes | Path]
    licence: str

    @cached_property
    def digests(self) -> dict[str, str]:
        """Return the SHA-256 of each file."""
        return {name: _digest(data) for name, data in sorted(self.files.items())}

    @property
    def hash(self) -> str:
        """Return the hash of all names and contents."""
        return durable.sha256(json.dumps(self.digests).encode())

    def size(self, name: str) -> int:
        data = self.files[name]
        return len(data) if isinstance(data, bytes) else data.stat().st_size


def _digest(data: bytes | Path) -> str:
    if isinstance(data, bytes):
        return durable.sha256(data)
    with data.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def content_of(data: bytes | Path) -> bytes:
    return data if isinstance(data, bytes) else data.read_bytes()


def dataset_parcel(
    folder: Path, validation_share: float, seed: int, form: str, licence: str | None, select: Any
) -> Parcel:
    """Return the dataset of a run with its card, lineage and Croissant metadata, all made from the ledger."""
    if form not in FORMATS:
        raise ConfigError(f"--format: '{form}' cannot be published; use {', '.join(FORMATS)}")
    files = dataset_files(folder, validation_share, seed, form=form, select=select, licence=_checked(licence))
    del files[durable.MANIFEST]
    info = json.loads(files["dataset_info.json"])
    files["croissant.json"] = pretty(
        croissant(info, {n: d for n, d in files.items() if n.endswith(f".{form}")}, form, licence)
    )
    return Parcel(DATASET, info["dataset_name"], durable.with_manifest(files), licence or "other")


def student_parcel(folder: Path, licence: str | None) -> Parcel:
    """Return the student's folder, with its card in the form that the hub accepts.

    Raise RunFolderError where the run has no student, or where its files changed after the training.
    """
    student = folder / "student"
    metrics = durable.read_json(student / "metrics.json")
    if metrics is None:
        raise RunFolderError(f"{student}: there is no student to publish; train one with: synthgen train {folder}")
    expected = metrics.get("files")
    if expected and not durable.agrees(student, expected, ("metrics.json", CARD, "logs")):
        raise RunFolderError(
            f"{student}: its files changed after the training; train it again with: synthgen train {folder}"
        )
    files: dict[str, bytes | Path] = {
        path.relative_to(student).as_posix(): path
        for path in sorted(student.rglob("*"))
        if path.is_file() and path.relative_to(student).parts[0] not in _SKIPPED
    }
    card, stated = _model_card((student / CARD).read_text("utf-8"), _checked(licence))
    files[CARD] = utf8(card)
    return Parcel(STUDENT, str(metrics["task"]), files, stated)


def _checked(licence: str | None) -> str | None:
    if licence is not None and not _LICENCE.fullmatch(licence):
        raise ConfigError(f"--license: '{licence}' is no licence name of the hub, such as cc-by-4.0, apache-2.0 or mit")
    return licence


def _model_card(text: str, licence: str | None) -> tuple[str, str]:
    """Return a card with the licence, and without a base model that the hub does not know, and its licence."""
    _, front, body = text.split("---\n", 2)
    fields: Json = yaml.safe_load(front)
    if not _MODEL_ID.fullmatch(str(fields.get("base_model", ""))):
        fields.pop("base_model", None)
    fields["license"] = licence or fields.get("license") or "other"
    fields["synthgen_version"] = __version__
    return f"---\n{yaml.safe_dump(fields, allow_unicode=True, sort_keys=False)}---\n{body}", fields["license"]
