"""Test that what was torn, edited or deleted is named, and built anew byte for byte."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from synthgen.ledger import Ledger
from synthgen.report import damage, export_dataset, write_events, write_reports


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def torn(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-3])


def edited(path: Path) -> None:
    path.write_bytes(path.read_bytes().replace(b"e", b"E", 1))


def deleted(path: Path) -> None:
    path.unlink()


@pytest.mark.parametrize("harm", [torn, edited, deleted])
@pytest.mark.parametrize("name", ["train.jsonl", "README.md", "meta/lineage.jsonl", "manifest.json"])
def test_damage_to_an_export_is_named_and_repaired(harm: Callable[[Path], None], name: str, run: Any) -> None:
    folder = export_dataset(run.path, 0.2, seed=0)
    whole = contents(folder)
    assert damage(folder) == []
    harm(folder / name)
    found = damage(folder)
    assert found
    if name != "manifest.json":
        assert [line.split(": ")[0] for line in found] == [str(folder / name)]
        assert found[0].endswith("missing" if harm is deleted else "torn or edited")
    assert contents(export_dataset(run.path, 0.2, seed=0)) == whole
    assert damage(folder) == []


@pytest.mark.parametrize("harm", [torn, edited, deleted])
def test_damage_to_a_report_is_named_and_repaired(harm: Callable[[Path], None], run: Any) -> None:
    names = ["summary.json", "report.html", "config.yaml", "events.jsonl", "manifest.json"]
    with Ledger.open(run.path / "ledger.sqlite") as ledger:
        ledger.event("started", {"pid": 1, "te": "e"})
    write_reports(run.path, yaml.safe_dump)
    whole = {name: (run.path / name).read_bytes() for name in names}
    for name in names:
        harm(run.path / name)
    assert damage(run.path)
    write_reports(run.path, yaml.safe_dump)
    assert {name: (run.path / name).read_bytes() for name in names} == whole


def test_a_deleted_dataset_comes_back_the_same(run: Any) -> None:
    folder = export_dataset(run.path, 0.2, seed=0)
    whole = contents(folder)
    shutil.rmtree(folder)
    assert damage(folder) == []  # nothing there is nothing torn
    assert contents(export_dataset(run.path, 0.2, seed=0)) == whole


def test_a_manifest_cannot_name_files_outside_its_folder(run: Any) -> None:
    folder = export_dataset(run.path, 0.2, seed=0)
    (folder / "manifest.json").write_text('{"../../secret": {"sha256": "0", "bytes": 1}}')
    (run.path.parent / "secret").write_text("x")
    assert damage(folder) == [f"{folder}/../../secret: missing"]


def test_a_torn_last_event_is_repaired(run: Any) -> None:
    with Ledger.open(run.path / "ledger.sqlite") as ledger:
        ledger.event("started", {"pid": 1})
        ledger.event("stopped", {"by": "target"})
    (run.path / "events.jsonl").write_text('{"kind": "started"}\n{"kind": "sto')
    write_events(run.path)
    found = [yaml.safe_load(line) for line in (run.path / "events.jsonl").read_text().splitlines()]
    assert [(event["kind"], event.get("by")) for event in found] == [("started", None), ("stopped", "target")]
