"""Collect the files that are published: the dataset, made from the ledger, and the student's folder."""

import hashlib
import json
import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml  # type: ignore[import-untyped]

from synthgen.errors import ConfigError, InputError, RunFolderError
from synthgen.ledger import durable
from synthgen.publish.croissant import croissant
from synthgen.records import Json
from synthgen.report.dataset import VERSION, dataset_files
from synthgen.report.features import as_dict, features, written_as
from synthgen.report.tables import FORMATS, pretty, utf8
from synthgen.safety.untrusted import markdown
from synthgen.tasks.rows import Problems, any_columns, read_rows

DATASET, STUDENT = "dataset", "student"
_OF_PREPARE = ("removed.jsonl", "flagged.jsonl", "report.html", "summary.json", "budget/quotas.yaml")
"""Files of `synthgen prepare` that tell about the rows, such as which were removed and where they came from."""
_SKIPPED = ("logs",)
"""Folders of the student that are not published."""
_MODEL_ID = re.compile(r"[\w.-]+/[\w.-]+")
_LICENCE = re.compile(r"[a-z0-9][a-z0-9.-]*")
CARD = "README.md"


@dataclass(frozen=True)
class Upload:
    """Hold the files to publish in one repository or folder.

    Each file is given by its content, or by its path on this machine.
    """

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


def dataset_upload(
    folder: Path, validation_share: float, seed: int, form: str, licence: str | None, select: Any
) -> Upload:
    """Return the dataset of a run with its card, lineage and Croissant metadata, all made from the ledger."""
    if form not in FORMATS:
        raise ConfigError(f"--format: '{form}' cannot be published; use {', '.join(FORMATS)}")
    files = dataset_files(folder, validation_share, seed, form=form, select=select, licence=_checked(licence))
    del files[durable.MANIFEST]
    info = json.loads(files["dataset_info.json"])
    files["croissant.json"] = pretty(
        croissant(info, {n: d for n, d in files.items() if n.endswith(f".{form}")}, form, licence)
    )
    return Upload(DATASET, info["dataset_name"], durable.with_manifest(files), licence or "other")


def folder_upload(folder: Path, licence: str | None) -> Upload:
    """Return the files of any dataset folder, with a card.

    JSON Lines, CSV and Parquet files are described by Croissant metadata. Hidden files are left out, and what `synthgen
    prepare` writes besides its splits. A card that the folder has keeps its text, and the licence is added to it. Raise
    InputError for a folder without files.
    """
    files: dict[str, bytes | Path] = {
        path.relative_to(folder).as_posix(): path
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not any(part.startswith(".") for part in path.relative_to(folder).parts)
    }
    left_out = (*_OF_PREPARE, *(["prepared.jsonl"] if "train.jsonl" in files else []))
    files = {name: path for name, path in files.items() if name not in left_out}
    if not files:
        raise InputError(f"{folder}: no files in it; name a folder with a dataset, or a run folder")
    text = (folder / CARD).read_text("utf-8") if CARD in files else f"# {markdown(folder.name)}\n"
    card, stated = _with_front(text, _checked(licence))
    files[CARD] = utf8(card)
    if (form := next((form for form in FORMATS if any(_is_samples(name, form) for name in files)), None)) is not None:
        files["croissant.json"] = pretty(_described(folder, files, form, licence))
    if durable.MANIFEST in files:  # the card is another one now
        contents = {name: content_of(data) for name, data in files.items() if name != durable.MANIFEST}
        files[durable.MANIFEST] = durable.with_manifest(contents)[durable.MANIFEST]
    return Upload(DATASET, folder.name, files, stated)


def _described(folder: Path, files: Mapping[str, bytes | Path], form: str, licence: str | None) -> Json:
    """Return the Croissant metadata of a folder's files of samples."""
    samples = {name: content_of(data) for name, data in files.items() if _is_samples(name, form)}
    rows = [row for name in samples for row in _rows_of(folder / name)]
    columns = features(rows, [])
    told = None if columns is None else as_dict(written_as(columns, form))
    info = {"dataset_name": folder.name, "description": "", "version": VERSION, "features": told}
    return croissant(info, samples, form, licence)


def _is_samples(name: str, form: str) -> bool:
    return "/" not in name and name.endswith(f".{form}")


def _rows_of(path: Path) -> list[Json]:
    problems = Problems(path, "dataset")
    rows = [row.data for row in read_rows(path, any_columns(), problems)]
    problems.raise_any()
    return rows


def _training(folder: Path, kind: str) -> str:
    """Return the command that trains a student; a run without one needs the kind of student too."""
    return shlex.join(
        ["synthgen", "resume", str(folder), "student=auto"] if kind == "none" else ["synthgen", "train", str(folder)]
    )


def student_upload(folder: Path, kind: str, licence: str | None) -> Upload:
    """Return the student's folder, with its card in the form that the hub accepts. `kind` is the run's `student.kind`.

    Raise RunFolderError where the run has no student, or where its files changed after the training.
    """
    student = folder / "student"
    metrics = durable.read_json(student / "metrics.json")
    if metrics is None:
        raise RunFolderError(f"{student}: there is no student to publish; train one with: {_training(folder, kind)}")
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
    return Upload(STUDENT, str(metrics["task"]), files, stated)


def _checked(licence: str | None) -> str | None:
    if licence is not None and not _LICENCE.fullmatch(licence):
        raise ConfigError(f"--license: '{licence}' is no licence name of the hub, such as cc-by-4.0, apache-2.0 or mit")
    return licence


def _model_card(text: str, licence: str | None) -> tuple[str, str]:
    """Return a card with the licence, and without a base model that the hub does not know, and its licence."""
    front, _ = _parted(text)
    if not _MODEL_ID.fullmatch(str(front.get("base_model", ""))):
        text = _joined({name: value for name, value in front.items() if name != "base_model"}, _parted(text)[1])
    return _with_front(text, licence)


def _with_front(text: str, licence: str | None) -> tuple[str, str]:
    """Return a card with the licence in its front matter, and the licence. Without one, the card's own stays."""
    front, body = _parted(text)
    front["license"] = licence or front.get("license") or "other"
    return _joined(front, body), str(front["license"])


def _parted(text: str) -> tuple[Json, str]:
    """Return the front matter of a card, and the text behind it."""
    if not text.startswith("---\n"):
        return {}, text
    _, front, body = text.split("---\n", 2)
    return yaml.safe_load(front) or {}, body


def _joined(front: Json, body: str) -> str:
    return f"---\n{yaml.safe_dump(front, allow_unicode=True, sort_keys=False)}---\n{body}"
