"""The dataset of a run, exported from its ledger for `datasets.load_dataset` and the Hub.

    dataset/
      train.jsonl, validation.jsonl   the samples' own fields, in schema order, and nothing else
      README.md                       the dataset card; its front matter tells `load_dataset` the splits
      dataset_info.json               features and split sizes
      manifest.json                   SHA-256 and bytes of every other file
      meta/lineage.jsonl              per sample: id, split, row, origin, parents, depth, scores

The same ledger gives the same bytes. What the card says is in `card`.
"""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

from synthgen.errors import ConfigError, RunFolderError
from synthgen.records import Json, Sample
from synthgen.report.card import Card, dataset_card
from synthgen.report.features import as_dict, features
from synthgen.report.figures import summarise
from synthgen.report.files import fresh_folder, swap_in, write_synced
from synthgen.report.settings import read_settings
from synthgen.report.view import open_ledger, read_task
from synthgen.seeds import stratified_split

VERSION = "1.0.0"


def export_dataset(folder: Path, validation_share: float, seed: int, summary: Json | None = None) -> Path:
    """Writes `folder/dataset` in one step and returns it; an older export is replaced.

    `validation_share` of the synthetic samples of every label goes to validation; seeds always
    train. With nothing to hold out, validation.jsonl is empty and no split is declared for it:
    `load_dataset` refuses an empty one. `summary` saves computing it anew.
    Raises RunFolderError if the ledger holds no samples.
    """
    if not 0 <= validation_share < 1:
        raise ConfigError(f"validation share: must be from 0 to below 1, got {validation_share}")
    with open_ledger(folder) as ledger:
        task, settings, samples = read_task(ledger), read_settings(ledger), ledger.samples()
    if not samples:
        raise RunFolderError(f"{folder}: the ledger holds no samples yet; there is nothing to export")
    splits = _split(samples, validation_share, seed)
    rows = {name: [task.ordered(sample.data) for sample in chosen] for name, chosen in splits.items()}
    building = fresh_folder(folder / "dataset")
    (building / "meta").mkdir()
    texts = {f"{name}.jsonl": _lines(found) for name, found in rows.items()}
    texts["meta/lineage.jsonl"] = _lines(_lineage(splits))
    card = Card(
        task=task,
        summary=summary or summarise(folder),
        settings=settings,
        columns=features([row for found in rows.values() for row in found], list(task.schema.get("properties", {}))),
        splits={name: (len(found), _bytes(texts[f"{name}.jsonl"])) for name, found in rows.items() if found},
        data_hash=_sha256(texts["train.jsonl"] + "\0" + texts["validation.jsonl"]),
        example=rows["train"][0],
    )
    texts["README.md"] = dataset_card(card)
    texts["dataset_info.json"] = _pretty(_info(card))
    texts["manifest.json"] = _pretty(_manifest(texts))
    for name, text in texts.items():
        write_synced(building / name, text)
    swap_in(building, folder / "dataset")
    return folder / "dataset"


def _split(samples: Sequence[Sample], share: float, seed: int) -> dict[str, list[Sample]]:
    """Seeds train; of the synthetic samples, `share` of every label is held out."""
    seeds = [sample for sample in samples if sample.origin == "seed"]
    synthetic = [sample for sample in samples if sample.origin == "synthetic"]
    labels = [sample.label for sample in synthetic]
    train, validation = stratified_split(labels, share, seed)
    return {"train": seeds + [synthetic[i] for i in train], "validation": [synthetic[i] for i in validation]}


def _lineage(splits: dict[str, list[Sample]]) -> list[Json]:
    return [
        {"id": sample.id, "split": name, "row": row, **sample.model_dump(mode="json", exclude={"id", "data"})}
        for name, chosen in splits.items()
        for row, sample in enumerate(chosen)
    ]


def _info(card: Card) -> Json:
    """dataset_info.json as `datasets.DatasetInfo` reads it."""
    return {
        "dataset_name": card.task.name,
        "description": card.task.description,
        "version": VERSION,
        "features": None if card.columns is None else as_dict(card.columns),
        "splits": {
            name: {"name": name, "num_bytes": size, "num_examples": rows} for name, (rows, size) in card.splits.items()
        },
        "dataset_size": sum(size for _, size in card.splits.values()),
    }


def _manifest(texts: dict[str, str]) -> Json:
    return {name: {"sha256": _sha256(text), "bytes": _bytes(text)} for name, text in sorted(texts.items())}


def _lines(rows: Sequence[Json]) -> str:
    return "".join(_line(row) + "\n" for row in rows)


def _line(row: Json) -> str:
    """One JSON line; the rarer line breaks are escaped for readers that split at them."""
    line = json.dumps(row, ensure_ascii=False)
    for char in "\x85\u2028\u2029":
        line = line.replace(char, f"\\u{ord(char):04x}")
    return line


def _pretty(value: Json) -> str:
    return json.dumps(value, ensure_ascii=False, indent=2) + "\n"


def _bytes(text: str) -> int:
    return len(text.encode("utf-8", "replace"))


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()
