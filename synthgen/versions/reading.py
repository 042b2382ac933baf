"""Read the rows and the facts of a dataset: a run, a folder, a file, or a dataset on the hub."""

import json
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from synthgen.errors import InputError, RunFolderError, WriteError
from synthgen.ledger import Reader, durable
from synthgen.records import Json
from synthgen.tasks.rows import HubDataset, Problems, Source, any_columns, find_source, read_rows
from synthgen.tasks.rows.hub import hub_splits, is_saved, pinned, saved_rows
from synthgen.tasks.rows.remote import fetched_dataset, is_url
from synthgen.versions import facts, folders
from synthgen.versions.rows import SPLIT, DatasetRows


class Lineage:
    """Find the records of a folder about the origin of its rows.

    A line is found by the id of its row. A line without an id is found by the row's place, which is trusted only while
    the folder is as its manifest says, because an edit moves rows.
    """

    def __init__(self, folder: Path) -> None:
        self._by_id: dict[str, Json] = {}
        self._by_place: dict[tuple[str, int], Json] = {}
        whole = (folder / durable.MANIFEST).is_file() and not durable.damage(folder)
        path = folder / folders.LINEAGE
        try:
            with path.open(encoding="utf-8") as file:
                for number, line in enumerate(file, start=1):
                    noted = _object(line, path, number)
                    split, row, key = (noted.pop(name, None) for name in ("split", "row", folders.ROW_ID))
                    if isinstance(key, str):
                        self._by_id.setdefault(key, noted)
                    elif whole and isinstance(split, str) and isinstance(row, int):
                        self._by_place[split, row] = noted
        except FileNotFoundError:
            pass
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"{path}: cannot be read ({error}); write the file again, or move it away") from error

    def of_id(self, key: str) -> Json:
        """Return the lineage of the row with an id; empty where there is none."""
        return self._by_id.get(key, {})

    def of(self, split: str, row: int) -> Callable[[str], Json]:
        """Return a function that returns the lineage of a row by its id, or else by its place."""
        return lambda key: self._by_id.get(key) or self._by_place.get((split, row), {})


@dataclass
class Dataset:
    """Hold a dataset: its rows, its facts, and the name that the user gave for it."""

    name: str
    rows: DatasetRows
    facts: Json
    """The facts that `facts.FACTS` names. A fact that is not known is missing."""
    version_of: str | None = None
    """The name of the dataset that it is a version of; None for a dataset outside a store."""

    @property
    def licences(self) -> dict[str, int]:
        """Return the number of rows with each licence, by name; an empty text for none."""
        counts = Counter[str]()
        for name, count in self.rows.licences.items():
            counts[name or self.default_licence] += count
        return dict(sorted(counts.items()))

    @property
    def default_licence(self) -> str:
        """Return the licence of the rows that name none; an empty text for none."""
        return str(self.facts.get("default_licence", ""))


@contextmanager
def workspace() -> Iterator[Path]:
    """Provide a folder for temporary files, which is removed at the end. Raise WriteError where its disk is full."""
    try:
        with tempfile.TemporaryDirectory(prefix="synthgen-") as name:
            yield Path(name)
    except OSError as error:
        if not durable.is_refused_write(error):
            raise
        place = tempfile.gettempdir()
        raise WriteError(
            f"{place}: temporary files cannot be written: {error.strerror}; {durable.cure(error)}, or name another folder"
            " with TMPDIR"
        ) from error


def read(text: str, work: Path) -> Dataset:
    """Read the dataset that a path or `hf:OWNER/NAME[:SPLIT][@REVISION]` names.

    Raise InputError or RunFolderError where there is none, or where it has no rows.
    """
    source = fetched_dataset(text, "DATASET", work) if is_url(text) else find_source(text, [], "DATASET")
    dataset = _read(text, source, work)
    if not len(dataset.rows):
        raise InputError(f"{text}: the dataset has no rows; there is nothing to work with")
    return dataset


def _read(text: str, source: Source, work: Path) -> Dataset:
    rows = DatasetRows(work)
    if isinstance(source, HubDataset):
        at = pinned(source)
        for part in [at] if at.split else hub_splits(at, Problems(source, "input", streamed=True)):
            _add(rows, part, part.split or "train")
        return Dataset(text, rows, {"origin": {"hub": source.name, "revision": source.revision, "commit": at.revision}})
    if source.is_file():
        _add(rows, source, folders.split_of(source) or "")
        return Dataset(text, rows, {})
    run = _run_of(source)
    folder = _dataset_of(run) if run else source
    lineage = Lineage(folder)
    if is_saved(folder):
        problems = Problems(folder, "input", streamed=True)
        for split, row in saved_rows(folder, any_columns(), problems):
            problems.raise_any()
            rows.add(row.data, split, lineage.of_id)
    else:
        for split, path in folders.tables(folder):
            _add(rows, path, split, lineage)
    return Dataset(text, rows, facts.of_run(run) if run else facts.of_folder(folder))


def stale(folder: Path) -> str | None:
    """Return a warning where people answered after the dataset of a run was written; None otherwise."""
    run = _run_of(folder)
    if run is None:
        return None
    with Reader(run / "ledger.sqlite") as ledger:
        newest = max((answer.at for answer in ledger.people_answers()), default=0.0)
    written = (run / "dataset" / durable.MANIFEST).stat().st_mtime
    if newest <= written:
        return None
    return (
        f"warning: people answered after {run / 'dataset'} was written; add their answers first: synthgen export {run}"
    )


def _run_of(folder: Path) -> Path | None:
    """Return the run folder that `folder` is, or whose dataset it is; None for any other folder."""
    for place in (folder, folder.parent if folder.name == "dataset" else folder):
        if (place / "ledger.sqlite").is_file():
            return place
    return None


def _dataset_of(run: Path) -> Path:
    """Return the dataset folder of a run. Raise RunFolderError where it is missing or damaged."""
    folder = run / "dataset"
    if not folder.is_dir():
        raise RunFolderError(f"{run}: this run has no dataset yet; write it with: synthgen export {run}")
    if found := durable.damage(folder):
        raise RunFolderError(f"{found[0]}; write it again with: synthgen export {run}")
    return folder


def _add(rows: DatasetRows, source: Source, split: str, lineage: Lineage | None = None) -> None:
    """Add every row of a file. In a file whose name tells no split, a row's own field `split` does."""
    problems = Problems(source, "input", streamed=True)
    for number, row in enumerate(read_rows(source, any_columns(), problems)):
        problems.raise_any()
        own = split or _own(row.data) or "train"
        rows.add(row.data, own, lineage.of(own, number) if lineage else lambda _: {})
    problems.raise_any()


def _own(data: Json) -> str | None:
    found = data.get(SPLIT)
    return found if isinstance(found, str) and folders.is_split(found) else None


def _object(line: str, path: Path, number: int) -> Json:
    try:
        value = json.loads(line)
    except ValueError:
        value = None
    if not isinstance(value, dict):
        raise InputError(f"{path}:{number}: not a JSON object; write the file again, or move it away")
    return value
