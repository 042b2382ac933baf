import hashlib
import json
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from synthgen.errors import ConfigError, RunFolderError
from synthgen.ledger import Ledger, Reader
from synthgen.records import Sample, content_id
from synthgen.report import export_dataset


def rows(path: Path) -> list[Any]:
    return [json.loads(line) for line in path.read_text("utf-8").split("\n") if line]


def load(folder: Path, cache: Path) -> Any:
    import datasets

    return datasets.load_dataset(str(folder), cache_dir=str(cache))


def front_matter(folder: Path) -> Any:
    return yaml.safe_load((folder / "README.md").read_text("utf-8").split("---\n")[1])


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_load_dataset_gives_the_two_splits_with_the_same_features(run: Any, tmp_path: Path) -> None:
    folder = export_dataset(run.path, 0.2, seed=0)
    loaded = load(folder, tmp_path / "cache")
    assert list(loaded) == ["train", "validation"]
    assert loaded["train"].features == loaded["validation"].features
    assert loaded["train"].column_names == ["text", "label"]
    assert loaded["train"].to_list() == rows(folder / "train.jsonl")
    assert loaded["validation"].to_list() == rows(folder / "validation.jsonl")
    with Reader(run.path / "ledger.sqlite") as ledger:
        held = [sample.data for sample in ledger.samples()]
    everything = loaded["train"].to_list() + loaded["validation"].to_list()
    assert sorted(map(content_id, everything)) == sorted(map(content_id, held))


def test_an_export_loads_without_its_card_too(run: Any, tmp_path: Path) -> None:
    folder = export_dataset(run.path, 0.2, seed=0)
    (folder / "README.md").unlink()
    assert list(load(folder, tmp_path / "cache")) == ["train", "validation"]


def test_another_export_of_the_same_size_is_not_served_from_the_cache_of_the_first(run: Any, tmp_path: Path) -> None:
    """`datasets` knows a local folder by its name and its card, not by its files."""
    load(export_dataset(run.path, 0.2, seed=0), tmp_path / "cache")
    with sqlite3.connect(run.path / "ledger.sqlite") as connection:
        connection.execute("UPDATE samples SET data = replace(data, 'seed', 'SEED')")
    folder = export_dataset(run.path, 0.2, seed=0)
    assert load(folder, tmp_path / "cache")["train"].to_list() == rows(folder / "train.jsonl")


def test_seeds_always_train_and_every_label_is_held_out(run: Any) -> None:
    folder = export_dataset(run.path, 0.34, seed=0)
    lineage = rows(folder / "meta" / "lineage.jsonl")
    assert {row["split"] for row in lineage if row["origin"] == "seed"} == {"train"}
    held_out = [row["label"] for row in lineage if row["split"] == "validation"]
    assert {label: held_out.count(label) for label in held_out} == {"weather": 2, "music": 2, "<i>odd</i>": 2}


def test_rows_hold_the_schemas_fields_in_its_order_and_no_others(run: Any) -> None:
    folder = export_dataset(run.path, 0.2, seed=0)
    for name in ("train", "validation"):
        assert all(list(row) == ["text", "label"] for row in rows(folder / f"{name}.jsonl"))


def test_each_lineage_entry_points_at_its_row(run: Any) -> None:
    folder = export_dataset(run.path, 0.2, seed=0)
    splits = {name: rows(folder / f"{name}.jsonl") for name in ("train", "validation")}
    lineage = rows(folder / "meta" / "lineage.jsonl")
    assert len(lineage) == sum(map(len, splits.values()))
    assert all(splits[row["split"]][row["row"]]["label"] == row["label"] for row in lineage)
    with Reader(run.path / "ledger.sqlite") as ledger:
        texts = {sample.id: sample.data["text"] for sample in ledger.samples()}
    assert all(splits[row["split"]][row["row"]]["text"] == texts[row["id"]] for row in lineage)


def test_every_sample_is_one_line_for_readers_that_split_at_any_line_break(run: Any) -> None:
    folder = export_dataset(run.path, 0.2, seed=0)
    text = (folder / "train.jsonl").read_text("utf-8")
    assert "\\u2028" in text
    assert len(text.splitlines()) == len(rows(folder / "train.jsonl"))


def test_the_card_is_read_by_the_hub_library_and_tells_what_matters(run: Any) -> None:
    from huggingface_hub import DatasetCard

    folder = export_dataset(run.path, 0.2, seed=0)
    card = DatasetCard.load(folder / "README.md")
    assert card.data.language == ["en"]
    assert card.data.license == "other"
    assert card.data.task_categories == ["text-classification"]
    assert "synthetic" in card.data.tags
    for phrase in (
        "smol-135m",
        "near\\_duplicate",
        "diversity.threshold",
        "Known limits",
        "gain +10.0 points",
        "| 2 |",
    ):
        assert phrase in card.text, phrase


def test_the_card_names_no_local_path_and_escapes_markup(run: Any) -> None:
    text = (export_dataset(run.path, 0.2, seed=0) / "README.md").read_text("utf-8")
    assert "/home/somebody" not in text
    assert "<i>" not in text
    assert "<mean>" not in text.replace("\\<mean\\>", "")


def test_manifest_and_dataset_info_match_the_files(run: Any) -> None:
    folder = export_dataset(run.path, 0.2, seed=0)
    files = contents(folder)
    manifest = json.loads(files.pop("manifest.json"))
    assert {name: entry["sha256"] for name, entry in manifest.items()} == {
        name: hashlib.sha256(data).hexdigest() for name, data in files.items()
    }
    info = json.loads(files["dataset_info.json"])
    assert info["splits"]["train"]["num_examples"] == len(rows(folder / "train.jsonl"))
    assert info["splits"]["train"]["num_bytes"] == len(files["train.jsonl"])
    assert front_matter(folder)["dataset_info"]["splits"][0]["num_bytes"] == len(files["train.jsonl"])


def test_dataset_info_is_read_by_datasets(run: Any) -> None:
    import datasets

    folder = export_dataset(run.path, 0.2, seed=0)
    info = datasets.DatasetInfo.from_directory(str(folder))
    assert info.features == datasets.Features({"text": datasets.Value("string"), "label": datasets.Value("string")})
    assert info.splits["train"].num_examples == len(rows(folder / "train.jsonl"))


def test_the_same_ledger_gives_the_same_bytes(make_run: Callable[..., Any]) -> None:
    one, other = (contents(export_dataset(make_run().path, 0.2, seed=3)) for _ in range(2))
    assert one == other


def test_a_run_that_accepted_nothing_exports_its_seeds(make_run: Callable[..., Any], tmp_path: Path) -> None:
    run = make_run(slots=1)
    folder = export_dataset(run.path, 0.2, seed=0)
    assert (folder / "validation.jsonl").read_bytes() == b""
    loaded = load(folder, tmp_path / "cache")
    assert {name: len(split) for name, split in loaded.items()} == {"train": 6}


def test_an_empty_ledger_exports_nothing_and_says_so(killed: Path) -> None:
    with pytest.raises(RunFolderError, match="no samples yet"):
        export_dataset(killed, 0.2, seed=0)
    assert not (killed / "dataset").exists()


def test_a_validation_share_out_of_range_is_named(run: Any) -> None:
    with pytest.raises(ConfigError, match=r"validation share.*1\.5"):
        export_dataset(run.path, 1.5, seed=0)


def test_an_older_export_is_replaced_as_a_whole(run: Any) -> None:
    folder = export_dataset(run.path, 0.2, seed=0)
    (folder / "stale.jsonl").write_text("{}")
    export_dataset(run.path, 0.2, seed=0)
    assert not (folder / "stale.jsonl").exists()
    assert [path.name for path in run.path.iterdir() if path.name.startswith(".dataset")] == []


def test_leftovers_of_a_killed_export_are_cleared(run: Any) -> None:
    """Killed between its two renames, an export leaves both versions beside the place."""
    folder = export_dataset(run.path, 0.2, seed=0)
    whole = contents(folder)
    folder.rename(run.path / ".dataset.old")
    (run.path / ".dataset.new").mkdir()
    (run.path / ".dataset.new" / "half.jsonl").write_text("{")
    assert contents(export_dataset(run.path, 0.2, seed=0)) == whole
    assert [path.name for path in run.path.iterdir() if path.name.startswith(".dataset")] == []


NESTED = {
    "name": "chats",
    "kind": "dialogue",
    "description": "",
    "language": "",
    "schema": {"type": "object", "properties": {"turns": {"type": "array"}, "mood": {}, "score": {"type": "number"}}},
    "input": ["turns"],
    "target": ["mood"],
    "labels": {},
    "rubric": {},
}


def test_nested_and_missing_fields_load_the_same_in_both_splits(tmp_path: Path) -> None:
    def sample(index: int, data: Any) -> Sample:
        return Sample(id=f"{index:032}", data=data, origin="synthetic" if index else "seed", slot=index, item=0)

    turn = {"role": "user", "content": "hi"}
    data = [{"turns": [turn, {"role": "bot"}], "mood": "fine", "score": 1}]
    data += [{"turns": [{"role": "user"}] if i % 2 else [], "score": 0.5 + i} for i in range(9)]
    with Ledger.create(tmp_path / "ledger.sqlite", {"task": NESTED}) as ledger:
        ledger.add_seeds([sample(i, row) for i, row in enumerate(data)], [None] * len(data))  # type: ignore[list-item]
    folder = export_dataset(tmp_path, 0.3, seed=0)
    loaded = load(folder, tmp_path / "cache")
    assert {name: len(split) for name, split in loaded.items()} == {"train": 7, "validation": 3}
    assert loaded["train"].features == loaded["validation"].features
    assert loaded["train"][0] == {"turns": [turn, {"role": "bot", "content": None}], "mood": "fine", "score": 1.0}
