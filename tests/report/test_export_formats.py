"""The export of a run in another format has a card that `load_dataset` follows, with hostile texts inside."""

import json
from pathlib import Path
from typing import Any

import pytest

from synthgen.formats.export import RunExport, export_run
from synthgen.report import export_dataset

USUAL = RunExport(validation_share=0.2, seed=0, parts={})


@pytest.mark.slow
@pytest.mark.parametrize("form", ["sharegpt", "alpaca"])
def test_load_dataset_reads_both_splits_by_the_card(form: str, run: Any, tmp_path: Path) -> None:
    import datasets

    assert export_run(run.path, form, tmp_path / form, USUAL) == []
    usual = export_dataset(run.path, 0.2, seed=0)
    loaded = datasets.load_dataset(str(tmp_path / form), cache_dir=str(tmp_path / "cache"))
    lines = {name: (usual / f"{name}.jsonl").read_text("utf-8").splitlines() for name in ("train", "validation")}
    assert {name: len(rows) for name, rows in loaded.items()} == {name: len(each) for name, each in lines.items()}
    if form == "alpaca":
        texts = [json.loads(line)["text"] for line in lines["train"]]
        assert [row["input"] for row in loaded["train"]] == texts


def test_the_card_names_the_files_of_the_format_and_no_lineage(run: Any, tmp_path: Path) -> None:
    export_run(run.path, "doccano", tmp_path / "doccano", USUAL)
    card = (tmp_path / "doccano" / "README.md").read_text("utf-8")
    assert "`validation.jsonl` is synthetic too" in card
    assert "meta/lineage.jsonl" not in card
    assert "configs:" not in card
    assert set(json.loads((tmp_path / "doccano" / "manifest.json").read_text())) == {
        "train.jsonl", "validation.jsonl", "README.md"}  # fmt: skip


def test_the_same_ledger_gives_the_same_bytes(run: Any, tmp_path: Path) -> None:
    for form in ("xlsx", "datasets", "alpaca"):
        manifests = []
        for _ in range(2):
            export_run(run.path, form, tmp_path / form, USUAL)
            manifests.append((tmp_path / form / "manifest.json").read_bytes())
        assert manifests[0] == manifests[1]
