"""mlcroissant reads the metadata that is published beside a dataset."""

import json
from pathlib import Path

import pytest

from synthgen.publish.upload import content_of, dataset_upload


@pytest.mark.slow
@pytest.mark.parametrize(
    "form",
    [
        "jsonl",
        pytest.param("csv", marks=pytest.mark.thorough),
        pytest.param("parquet", marks=pytest.mark.thorough),
    ],
)
def test_mlcroissant_finds_no_fault_and_reads_the_samples(form: str, run: Path, tmp_path: Path) -> None:
    import mlcroissant

    folder = tmp_path / "published"
    for name, data in dataset_upload(run, 0.1, 0, form, "cc-by-4.0", None).files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content_of(data))
    read = mlcroissant.Dataset(jsonld=str(folder / "croissant.json"))
    assert read.metadata.ctx.issues.errors == set()
    rows = [json.loads(line) for line in (run / "dataset" / "train.jsonl").read_text().splitlines()]
    if form != "csv":
        records = [{name: as_text(value) for name, value in row.items()} for row in read.records("train")]
        assert records == [{f"train/{name}": value for name, value in row.items()} for row in rows]


def as_text(value: object) -> object:
    return value.decode() if isinstance(value, bytes) else value
