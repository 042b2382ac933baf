"""Exports of a run killed at every step, and on a disk that takes no more: the old ones or the new ones, whole."""

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from synthgen.errors import WriteError
from synthgen.ledger import durable
from synthgen.report import damage, export_dataset, write_reports


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def leftovers(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir() if path.name.endswith((".new", ".old"))]


def no_space(path: Path, data: bytes) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))


@pytest.mark.parametrize("step", [1, 4, 9, 12, 15, 18, 20, 22])
def test_a_killed_dataset_export_is_whole_and_the_next_one_is_the_same_as_ever(
    step: int, run: Any, survives: Callable[..., bool]
) -> None:
    folder = export_dataset(run.path, 0.2, seed=0)
    old = contents(folder)
    survives(lambda: export_dataset(run.path, 0.5, seed=1), step, run.path)
    assert damage(folder) == []
    assert contents(export_dataset(run.path, 0.2, seed=0)) == old
    assert leftovers(run.path) == []


@pytest.mark.parametrize("failing", ["train.jsonl", "README.md", "manifest.json"])
def test_a_full_disk_is_one_message_and_the_old_export_stands(
    failing: str, run: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = export_dataset(run.path, 0.2, seed=0)
    old, written = contents(folder), durable.write_synced
    monkeypatch.setattr(
        durable, "write_synced", lambda path, data: (no_space if path.name == failing else written)(path, data)
    )
    with pytest.raises(WriteError) as caught:
        export_dataset(run.path, 0.5, seed=1)
    message = str(caught.value)
    assert message.startswith(f"{run.path / '.dataset.new' / failing}: cannot be written: No space left on device")
    assert "the ledger has all data. To repeat the export, free some space on that disk" in message
    assert message.endswith(f"\n  synthgen export {run.path}")
    assert contents(folder) == old
    assert leftovers(run.path) == []


def test_a_full_disk_under_the_report_leaves_the_old_files(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    write_reports(run.path, yaml.safe_dump)
    old = {name: (run.path / name).read_bytes() for name in ("summary.json", "report.html", "manifest.json")}
    monkeypatch.setattr(durable, "write_synced", no_space)
    with pytest.raises(WriteError, match=rf"No space left(?s:.*)\n  synthgen report {run.path}$"):
        write_reports(run.path, yaml.safe_dump)
    assert {name: (run.path / name).read_bytes() for name in old} == old
    assert leftovers(run.path) == []
