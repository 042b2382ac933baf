"""Test runs with several shards on the replay engine: what they accept, how they are merged, and how they go on."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from synthgen.cli import dispatch
from synthgen.cluster.shards.exchange import TAKEN
from synthgen.ledger import Reader
from synthgen.run.status import lines, status

SYNTHGEN = [sys.executable, "-m", "synthgen"]
SHARDED = [
    "run", "experiment=smoke", "shards=2", "budget.target=60", "run.exchange=8", "engine.in_flight=8", "engine.repeat=0.2",
    "judge=none",
]  # fmt: skip


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def accepted(folder: Path) -> list[tuple[Any, ...]]:
    """Return everything about the accepted samples of a run that does not depend on the time."""
    with Reader(folder / "ledger.sqlite") as reader:
        return list(reader.rows("SELECT * FROM samples ORDER BY position"))


def dataset(folder: Path) -> str:
    return "".join((folder / "dataset" / f"{split}.jsonl").read_text() for split in ("train", "validation"))


def started(folder: str, *more: str) -> "subprocess.Popen[str]":
    return subprocess.Popen([*SYNTHGEN, *SHARDED, f"run.dir={folder}", *more], stdout=subprocess.PIPE, text=True)


def until_accepted(folder: Path, count: int) -> None:
    deadline = time.monotonic() + 240
    while True:
        assert time.monotonic() < deadline
        time.sleep(0.05)
        path = folder / "ledger.sqlite"
        if path.is_file():
            with Reader(path) as reader:
                if reader.one("SELECT COUNT(*) FROM samples WHERE origin = 'synthetic'") >= count:
                    return
