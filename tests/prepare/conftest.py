"""Helpers of the tests on preparing rows."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

from synthgen.prepare import Preparation, load, prepare

Json = dict[str, Any]
Preparing = Callable[..., Preparation]


def lines_of(path: Path) -> list[Json]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


class Prepared:
    """Hold what a preparation wrote."""

    def __init__(self, outcome: Preparation, folder: Path) -> None:
        self.outcome, self.folder = outcome, folder
        self.rows = lines_of(folder / "prepared.jsonl")
        self.removed = lines_of(folder / "removed.jsonl")
        self.summary = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
        self.page = (folder / "report.html").read_text(encoding="utf-8")

    @property
    def texts(self) -> list[str]:
        return [row["text"] for row in self.rows]

    @property
    def reasons(self) -> list[str]:
        return [row["reason"] for row in self.removed]


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., Prepared]:
    """Return a function that prepares rows, given as dicts or texts, with steps, and returns what was written."""

    def prepared(rows: Sequence[Json | str], *steps: Any, **keys: Any) -> Prepared:
        file = tmp_path / "rows.jsonl"
        data = [{"text": row} if isinstance(row, str) else row for row in rows]
        file.write_text("".join(f"{json.dumps(row, ensure_ascii=False)}\n" for row in data), encoding="utf-8")
        config = tmp_path / "prepare.yaml"
        config.write_text(yaml.safe_dump({"steps": list(steps), **keys}, allow_unicode=True), encoding="utf-8")
        number = len(list(tmp_path.glob("out*")))
        return Prepared(prepare([str(file)], load(str(config)), tmp_path / f"out{number}"), tmp_path / f"out{number}")

    return prepared
