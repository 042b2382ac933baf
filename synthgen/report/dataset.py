"""Export the dataset of a run from its ledger, for `datasets.load_dataset` and the Hub.

    dataset/
      train.jsonl, validation.jsonl   the samples' own fields, in schema order, and declared offsets
      README.md                       the dataset card; its front matter tells `load_dataset` the splits
      dataset_info.json               features and split sizes
      manifest.json                   SHA-256 and bytes of every other file
      meta/lineage.jsonl              per sample: id, split, row, origin, parents, depth, scores, the model of a mix that
                                      wrote it. Split and row are null for a sample that was accepted and not selected. If several label sources decided
                                      its label: its label probabilities, and its weight for a student, which is 0 for a
                                      label that is probably wrong

The same ledger gives the same bytes. `card` writes the card. `tables` writes the rows, as JSON Lines,
CSV or Parquet.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from synthgen.errors import ConfigError, RunFolderError
from synthgen.filters.declared.offsets import fillers
from synthgen.generate.strategies.label_text import LabelText
from synthgen.labels.pool import Weighed, saved_labels, weighed
from synthgen.ledger import durable
from synthgen.ledger.durable import exporting, with_manifest, write_folder
from synthgen.records import Json, Sample
from synthgen.report.card import Card, dataset_card
from synthgen.report.features import as_dict, features, large_columns, written_as
from synthgen.report.figures import summarise
from synthgen.report.settings import read_settings
from synthgen.report.tables import FORMATS, as_bytes, json_lines, pretty, utf8
from synthgen.report.view import TaskView, open_ledger, read_task
from synthgen.selection.config import SelectConfig
from synthgen.selection.training import TrainingSamples, saved_config, training_samples
from synthgen.tasks.prepared import LICENCE

VERSION = "1.0.0"
_DIGITS = 4


def export_dataset(
    folder: Path,
    validation_share: float,
    seed: int,
    summary: Json | None = None,
    form: str = "jsonl",
    out: Path | None = None,
    select: SelectConfig | None = None,
) -> Path:
    """Write the dataset to `out` (default `folder/dataset`) atomically and return that path. Replace an older export.

    `validation_share` of the synthetic samples of every label goes to the validation split. Seeds always go to the
    train split. If there are too few samples to hold any out, the validation file is empty and no split is declared
    for it, because `load_dataset` refuses an empty split. `select` replaces the run's own selection for this export
    only.
    `summary` is the summary with the run's own selection; passing it avoids computing it again.
    Raise RunFolderError if the ledger holds no samples, or if `out` holds files that no export wrote. Raise
    WriteError if the dataset cannot be written.
    """
    if not 0 <= validation_share < 1:
        raise ConfigError(f"validation share: must be from 0 to below 1, got {validation_share}")
    if form not in FORMATS:
        raise ConfigError(f"--format: '{form}' is not one of {', '.join(FORMATS)}")
    place = folder / "dataset" if out is None else out
    again = f"synthgen export {folder}" + (f" --format {form} --out {out}" if out else "")
    with exporting(place, again):
        if out is not None:
            refuse_foreign(out)
            out.parent.mkdir(parents=True, exist_ok=True)
        write_folder(place, dataset_files(folder, validation_share, seed, summary, form, select))
    return place


def refuse_foreign(out: Path) -> None:
    """Raise RunFolderError unless `out` is new, empty, or only an earlier export, because it will be replaced."""
    if not out.exists():
        return
    if not out.is_dir():
        raise RunFolderError(f"{out}: this is a file; give --out a folder")
    known = set(durable.names(out))
    for path in out.rglob("*"):
        if path.is_file() and path.relative_to(out).as_posix() not in known:
            raise RunFolderError(
                f"{out}: this folder holds {path.relative_to(out)}, which no export wrote; give --out a new folder"
            )


def dataset_files(
    folder: Path,
    validation_share: float,
    seed: int,
    summary: Json | None = None,
    form: str = "jsonl",
    select: SelectConfig | None = None,
    licence: str | None = None,
) -> dict[str, bytes]:
    """Return every file of the export by name, the manifest last. `licence` goes into the card's front matter."""
    found = run_samples(folder, validation_share, seed, select)
    task = found.task
    rows = {name: [data for _, data in chosen] for name, chosen in found.splits.items()}
    told = features([row for each in rows.values() for row in each], list(task.schema.get("properties", {})))
    columns = None if told is None else written_as(told, form)
    files = {f"{name}.{form}": as_bytes(form, each, columns) for name, each in rows.items()}
    card = Card(
        task=task,
        summary=summary or summarise(folder, select),
        settings=found.settings,
        columns=None if form == "csv" else columns,
        large=large_columns(told),
        form=form,
        splits={name: (len(each), len(files[f"{name}.{form}"])) for name, each in rows.items() if each},
        real=found.real,
        data_hash=durable.sha256(b"\0".join(files.values())),
        example=rows["train"][0],
        licence=licence,
        seed_licences=found.licences,
    )
    files["meta/lineage.jsonl"] = json_lines(_lineage(found.samples, found.worth))
    files["README.md"] = utf8(dataset_card(card))
    files["dataset_info.json"] = pretty(_info(card))
    return with_manifest(files)


@dataclass(frozen=True)
class RunSamples:
    """Hold the samples of a run that make its dataset: for each split (sample, its fields as they are exported)."""

    task: TaskView
    settings: dict[str, float]
    samples: TrainingSamples
    worth: Mapping[str, Weighed]
    splits: dict[str, list[tuple[Sample, Json]]]

    @property
    def real(self) -> int:
        """Return the number of samples whose texts are real ones."""
        return sum(sample.strategy == LabelText.name for chosen in self.splits.values() for sample, _ in chosen)

    @property
    def licences(self) -> dict[str, int]:
        """Return the number of seeds under each licence that `synthgen prepare` noted."""
        seeds = (sample for chosen in self.splits.values() for sample, _ in chosen if sample.origin == "seed")
        return dict(Counter(str(sample.given[LICENCE]) for sample in seeds if LICENCE in sample.given))


def run_samples(folder: Path, validation_share: float, seed: int, select: SelectConfig | None) -> RunSamples:
    """Return the samples of a run's dataset. Raise RunFolderError if the ledger holds none."""
    with open_ledger(folder) as ledger:
        task, settings = read_task(ledger), read_settings(ledger)
        samples = training_samples(ledger, select or saved_config(ledger), validation_share, seed)
        worth = weighed(ledger, list(task.labels), saved_labels(ledger))
    if not samples.seeds and not samples.train:
        raise RunFolderError(f"{folder}: the ledger holds no samples yet; there is nothing to export")
    splits = {"train": samples.seeds + samples.train, "validation": samples.validation}
    filled = {name: [(sample, _filled(task, sample.data)) for sample in chosen] for name, chosen in splits.items()}
    return RunSamples(task, settings, samples, worth, filled)


def _filled(task: TaskView, data: Json) -> Json:
    """Return a sample in schema order, with the offsets that its task declares."""
    for offsets in fillers(task.checks, task):
        data = offsets.filled(data)
    return task.ordered(data)


def _lineage(samples: TrainingSamples, worth: Mapping[str, Weighed]) -> list[Json]:
    placed: list[tuple[Sample, str | None, int | None]] = [
        (sample, name, row)
        for name, chosen in (("train", samples.seeds + samples.train), ("validation", samples.validation))
        for row, sample in enumerate(chosen)
    ]
    placed += [(sample, None, None) for sample in samples.left_out]
    return [
        {"id": sample.id, "split": name, "row": row, **sample.model_dump(exclude=_excluded(sample))}
        | _worth(worth.get(sample.id))
        for sample, name, row in placed
    ]


def _excluded(sample: Sample) -> set[str]:
    """Return the fields that a line of lineage.jsonl leaves out: `model` and `given` stand only where they say something."""
    return {"id", "data"} | ({"model"} if sample.model is None else set()) | (set() if sample.given else {"given"})


def _worth(found: Weighed | None) -> Json:
    if found is None:
        return {}
    shares = {label: round(share, _DIGITS) for label, share in (found.labels or {}).items()}
    return {"weight": found.weight, "label_probabilities": shares}


def _info(card: Card) -> Json:
    """Return the content of dataset_info.json, as `datasets.DatasetInfo` reads it."""
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
