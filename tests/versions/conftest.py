"""Helpers of the tests on versions."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from synthgen.versions import Library, Store
from synthgen.versions.reading import Dataset

Json = dict[str, Any]
NEWS: list[Json] = [
    {"text": "Shares in the grocer fell 7% on Tuesday.", "label": "business"},
    {"text": "天文学家发现了新的彗星。", "label": "science"},
    {"text": "The striker scored twice in the last minute.", "label": "sport"},
    {"text": "Two countries agreed to open their border.", "label": "world"},
]


def write(folder: Path, **splits: Sequence[Json]) -> Path:
    """Write a file of JSON Lines for each split, and return the folder."""
    folder.mkdir(exist_ok=True)
    for split, rows in splits.items():
        lines = "".join(f"{json.dumps(row, ensure_ascii=False)}\n" for row in rows)
        (folder / f"{split}.jsonl").write_text(lines, encoding="utf-8")
    return folder


def lines_of(path: Path) -> list[Json]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


@pytest.fixture
def library(tmp_path: Path) -> Library:
    return Library(Store(tmp_path / "versions"))


@pytest.fixture
def opened(tmp_path: Path, library: Library) -> Callable[..., Dataset]:
    """`opened(train=[...], test=[...])`: a dataset of a folder with these splits, or of the path or version given."""
    made = 0

    def read(what: object = None, **splits: Sequence[Json]) -> Dataset:
        nonlocal made
        made += 1
        work = tmp_path / f"work{made}"
        work.mkdir()
        return library.dataset(str(what or write(tmp_path / f"data{made}", **splits)), work)

    return read
