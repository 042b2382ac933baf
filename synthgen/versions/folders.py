"""Find the files of a folder that hold rows, and their splits.

Known folders are those of `synthgen prepare`, of a run's export, of `synthgen merge` and of a restored version. In any
other folder every table is a split.
"""

import re
from collections.abc import Sequence
from pathlib import Path

from synthgen.errors import InputError

LINEAGE = "meta/lineage.jsonl"
"""The file that says, for a row of a split, where it came from: one JSON object a line with `split` and `row`."""
ROW_ID = "row_id"
"""Key of a line of the lineage that holds the id of its row, so that the line is found after the rows were edited."""
_TABLES = (".jsonl", ".ndjson", ".json", ".csv", ".tsv", ".parquet")
_NOT_ROWS = {
    "removed.jsonl", "flagged.jsonl", "events.jsonl", "summary.json", "manifest.json", "merge.json", "version.json", "store.json",
    "dataset_info.json", "dataset_dict.json", "dataset_infos.json", "state.json", "croissant.json", "metadata.json",
}  # fmt: skip
_SPLITS = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("validation", "valid", "val", "dev"), "validation"),
    **dict.fromkeys(("test", "testing", "eval", "evaluation"), "test"),
}
_SHARD = re.compile(r"-\d{5}-of-\d{5}$")
_NAME = re.compile(r"\w[\w.-]{0,99}")
_PREPARED = "prepared"


def is_split(name: str) -> bool:
    """Return True for a text that can be the name of a split, and of a file."""
    return _NAME.fullmatch(name) is not None


def split_of(path: Path) -> str | None:
    """Return the split in the name of a file, such as `train` or `validation`; None where the name contains none."""
    return _SPLITS.get(_stem(path).lower())


def tables(folder: Path) -> list[tuple[str, Path]]:
    """Return the files of a folder that hold rows, each with its split, in a stable order.

    Raise InputError where there is none, or where two files claim one split.
    """
    found = _listed(folder) or (_listed(folder / "data") if (folder / "data").is_dir() else [])
    others = [path for path in found if _stem(path) != _PREPARED]
    found = others or found  # prepared.jsonl has the rows of all splits
    if not found:
        raise InputError(
            f"{folder}: no rows in it; give a folder with JSON Lines, JSON, CSV or Parquet files, or a run"
        )
    if len(found) == 1:
        return [(split_of(found[0]) or ("" if _stem(found[0]) == _PREPARED else "train"), found[0])]
    named = [(split_of(path) or _stem(path), path) for path in found]
    _check(folder, named)
    return named


def _listed(folder: Path) -> list[Path]:
    try:
        names = sorted(path for path in folder.iterdir() if path.is_file())
    except OSError as error:
        raise InputError(f"{folder}: cannot be read: {error.strerror}; check the path and its permissions") from error
    return [path for path in names if _is_table(path)]


def _is_table(path: Path) -> bool:
    plain = path.name.removesuffix(".gz")
    hidden = path.name.startswith((".", "_"))
    return plain.lower().endswith(_TABLES) and plain not in _NOT_ROWS and not hidden


def _stem(path: Path) -> str:
    return _SHARD.sub("", path.name.removesuffix(".gz").rpartition(".")[0])


def _check(folder: Path, named: Sequence[tuple[str, Path]]) -> None:
    first: dict[str, Path] = {}
    for split, path in named:
        if not is_split(split):
            raise InputError(f"{path}: '{split}' cannot be the name of a split; use letters, digits, _, - and .")
        other = first.setdefault(split, path)
        if other is not path and not (_SHARD.search(path.name.partition(".")[0]) and other.suffix == path.suffix):
            raise InputError(
                f"{folder}: {other.name} and {path.name} are both the split {split}; move one of them away"
            )
