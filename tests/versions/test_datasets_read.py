"""Reading any dataset: folders, files, the hub, runs."""

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from synthgen.cli import dispatch
from synthgen.errors import InputError, RunFolderError, UserError
from synthgen.ledger import durable
from synthgen.versions import Library, freeze_dataset
from synthgen.versions.reading import Dataset
from tests.versions.conftest import NEWS, write

Json = dict[str, Any]
Opened = Callable[..., Dataset]


# -- folders and files -----------------------------------------------------------------------------


def test_a_prepared_folder_has_its_splits_and_not_its_removed_rows(tmp_path: Path, opened: Opened) -> None:
    rows = [{**row, "split": "train" if place else "test"} for place, row in enumerate(NEWS)]
    folder = write(tmp_path / "data", prepared=rows, train=rows[1:], test=rows[:1], removed=[{"step": "near"}])
    (folder / "summary.json").write_text("{}")
    assert opened(folder).rows.splits() == {"train": 3, "test": 1}
    (folder / "train.jsonl").unlink()
    (folder / "test.jsonl").unlink()
    assert opened(folder).rows.splits() == {"train": 3, "test": 1}
    assert opened(folder / "prepared.jsonl").rows.splits() == {"train": 3, "test": 1}


def test_usual_names_of_files_are_splits_and_one_file_alone_is_train(tmp_path: Path, opened: Opened) -> None:
    folder = write(tmp_path / "data", train=NEWS, dev=NEWS[:1], extra=NEWS[:2])
    assert opened(folder).rows.splits() == {"train": 4, "validation": 1, "extra": 2}
    assert opened(write(tmp_path / "one", corpus_v2=NEWS)).rows.splits() == {"train": 4}
    assert opened(write(tmp_path / "test", test=NEWS)).rows.splits() == {"test": 4}
    assert opened(tmp_path / "one" / "corpus_v2.jsonl").rows.splits() == {"train": 4}


def test_shards_of_a_hub_folder_are_one_split(tmp_path: Path, opened: Opened) -> None:
    folder = tmp_path / "data"
    (folder / "data").mkdir(parents=True)
    for number in range(2):
        pq.write_table(pa.Table.from_pylist(NEWS[number::2]), folder / "data" / f"train-0000{number}-of-00002.parquet")
    assert opened(folder).rows.splits() == {"train": 4}


def test_a_folder_of_the_datasets_library_has_all_its_splits(tmp_path: Path, opened: Opened) -> None:
    parts = {name: datasets.Dataset.from_list(rows) for name, rows in (("train", NEWS), ("test", NEWS[:1]))}
    datasets.DatasetDict(parts).save_to_disk(str(tmp_path / "both"))
    parts["train"].save_to_disk(str(tmp_path / "one"))
    assert opened(tmp_path / "both").rows.splits() == {"train": 4, "test": 1}
    assert opened(tmp_path / "one").rows.splits() == {"train": 4}


def test_a_prepared_folder_without_splits_is_read_whatever_its_steps_flagged(tmp_path: Path, opened: Opened) -> None:
    write(tmp_path / "out", prepared=NEWS, removed=NEWS[:1], flagged=NEWS[:2])
    assert opened(tmp_path / "out").rows.splits() == {"train": 4}
    write(tmp_path / "split", prepared=NEWS, train=NEWS[:3], test=NEWS[3:], flagged=NEWS[:2])
    assert opened(tmp_path / "split").rows.splits() == {"train": 3, "test": 1}


@pytest.mark.parametrize("kept", [True, False])
def test_lineage_by_place_is_trusted_only_while_the_manifest_agrees(kept: bool, tmp_path: Path, opened: Opened) -> None:
    rows = "".join(f"{json.dumps(row)}\n" for row in NEWS).encode()
    lineage = "".join(f'{{"split": "train", "row": {row}, "slot": {row}}}\n' for row in range(4)).encode()
    (tmp_path / "data" / "meta").mkdir(parents=True)
    for name, data in durable.with_manifest({"train.jsonl": rows, "meta/lineage.jsonl": lineage}).items():
        (tmp_path / "data" / name).write_bytes(data)
    if not kept:
        (tmp_path / "data" / "train.jsonl").write_bytes(rows.partition(b"\n")[2])
    found = opened(tmp_path / "data").rows
    assert [found.lineage(entry.position) for entry in found.entries] == (
        [{"slot": 0}, {"slot": 1}, {"slot": 2}, {"slot": 3}] if kept else [{}, {}, {}]
    )


@pytest.mark.parametrize(
    ("files", "cause"),
    [
        ({}, "no rows in it; give a folder with JSON Lines"),
        ({"removed.jsonl": '{"a": 1}\n'}, "no rows in it"),
        ({"train.jsonl": ""}, "the dataset has no rows"),
        ({"train.jsonl": '{"a": 1}\n', "train.csv": "a\n1\n"}, r"train\.csv and train\.jsonl are both the split train"),
        ({"train.jsonl": '{"a": 1}\n', "my rows.jsonl": '{"a": 1}\n'}, "'my rows' cannot be the name of a split"),
        ({"state.json": "{}"}, "cannot be loaded as a dataset"),
        ({"train.jsonl": '{"a": 1}\n{"a": NaN}\n'}, r"train\.jsonl:2:7: not usable JSON: NaN is not JSON"),
        ({"train.jsonl": '{"a": 1}\n[1]\n'}, r"train\.jsonl:2:1: an array, not an object"),
        ({"train.jsonl": '{"a": 1}\n', "meta/lineage.jsonl": "{}\n1\n"}, r"lineage\.jsonl:2: not a JSON object"),
    ],
)
def test_a_folder_that_cannot_be_read_is_refused_with_the_cause(
    files: dict[str, str], cause: str, tmp_path: Path, opened: Opened
) -> None:
    folder = tmp_path / "data"
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(content)
    folder.mkdir(exist_ok=True)
    with pytest.raises(InputError, match=cause):
        opened(folder)


def test_nan_in_a_parquet_file_is_refused(tmp_path: Path, opened: Opened) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    pq.write_table(pa.table({"a": [1.0, float("nan")]}), folder / "train.parquet")
    with pytest.raises(InputError, match="NaN and Infinity are not JSON"):
        opened(folder)


# -- the hub ---------------------------------------------------------------------------------------


class FakeBuilder:
    """Stand in for the loader of a dataset with two splits."""

    def __init__(self, revision: str) -> None:
        self._splits = {"train": NEWS if revision == "owner/news-v2" else NEWS[:3], "test": NEWS[3:]}
        self.info = SimpleNamespace(dataset_size=100, download_size=100, splits=dict.fromkeys(self._splits))

    def download_and_prepare(self) -> None:
        pass

    def as_dataset(self, split: str) -> datasets.Dataset:
        return datasets.Dataset.from_list(self._splits[split])


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    asked = []

    def load(name: str, config: str | None, revision: str) -> FakeBuilder:
        asked.append((name, config, revision))
        return FakeBuilder(revision)

    def commit(_: object, name: str, revision: str | None) -> SimpleNamespace:
        return SimpleNamespace(sha=f"{name}-{revision}")

    monkeypatch.setattr(datasets, "load_dataset_builder", load)
    monkeypatch.setattr("huggingface_hub.HfApi.dataset_info", commit)
    return asked


def test_a_dataset_on_the_hub_has_all_its_splits_of_the_revision(
    hub: list[tuple[Any, ...]], opened: Opened, library: Library
) -> None:
    assert opened("hf:owner/news@v1").rows.splits() == {"train": 3, "test": 1}
    assert opened("hf:owner/news@v2").rows.splits() == {"train": 4, "test": 1}
    assert opened("hf:owner/news:test@v1").rows.splits() == {"test": 1}
    assert set(hub) == {("owner/news", None, "owner/news-v1"), ("owner/news", None, "owner/news-v2")}
    frozen = freeze_dataset(library, "hf:owner/news@v1")
    assert frozen.version.label == "news@1"
    assert frozen.version.meta["origin"] == {"hub": "owner/news", "revision": "v1", "commit": "owner/news-v1"}


# -- runs ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder: Path = tmp_path_factory.mktemp("finished") / "first"
    assert dispatch(["run", "experiment=smoke", f"run.dir={folder}", "budget.target=12"]) == 0
    return folder


@pytest.fixture
def run(finished: Path, tmp_path: Path) -> Iterator[Path]:
    yield Path(shutil.copytree(finished, tmp_path / "first"))


@pytest.mark.slow
def test_a_run_has_its_task_config_answers_and_student(
    run: Path, library: Library, capsys: pytest.CaptureFixture[str]
) -> None:
    student = run / "student"
    student.mkdir()
    figures = {"mean": 0.75, "low": 0.7, "high": 0.8}
    metrics = {"metric": "accuracy", "eval_rows": 120, "seeds_only": figures, "synthetic": {**figures, "classes": {}}}
    (student / "metrics.json").write_text(json.dumps(metrics))
    (run / "guide").mkdir()
    (run / "guide" / "current.json").write_text('{"hash": "0123abcd"}')
    ask, answers = run / "ask.jsonl", run / "answers.jsonl"
    assert dispatch(["label", str(run), "--count", "4", "--export", str(ask)]) == 0
    ids = [json.loads(line)["id"] for line in ask.read_text().splitlines()]
    given = [{"id": each, "answer": "sport", "annotator": name} for each in ids for name in ("Ada", "陈")]
    answers.write_text("".join(f"{json.dumps(each)}\n" for each in given))
    assert dispatch(["label", str(run), "--import", str(answers)]) == 0
    warnings: list[str] = []
    first = freeze_dataset(library, str(run), note=warnings.append).version.meta
    assert first["student"] == {"metric": "accuracy", "eval_rows": 120, "seeds_only": figures, "synthetic": figures}
    assert "people answered after" in warnings[0]
    assert dispatch(["diff", str(run), str(run)]) == 0
    assert capsys.readouterr().err.count("people answered after") == 2
    assert dispatch(["export", str(run)]) == 0
    meta = freeze_dataset(library, str(run), note=warnings.append).version.meta
    assert len(warnings) == 1
    assert (meta["task"]["name"], meta["task"]["target"]) == ("news_topic", ["label"])
    assert len(meta["config"]["fingerprint"]) == len(meta["task"]["hash"]) == 32
    assert meta["answers"]["people"] == {"Ada": 4, "陈": 4}
    assert meta["answers"]["agreement"]["differing"] == 0
    assert "student" not in meta  # it was trained before the answers changed the rows
    assert meta["labels"]["sport"] >= 4
    assert meta["origin"] == {"run": "first"}
    assert meta["guide"]["hash"] == "0123abcd"


@pytest.mark.slow
def test_a_run_keeps_the_lineage_of_its_samples(run: Path, tmp_path: Path, library: Library, opened: Opened) -> None:
    freeze_dataset(library, str(run / "dataset"))
    rows = opened("first@1").rows
    known = [rows.lineage(entry.position) for entry in rows.entries]
    assert {each["origin"] for each in known} == {"seed", "synthetic"}
    assert all(each["id"] == entry.id for each, entry in zip(known, rows.entries, strict=True))


@pytest.mark.slow
def test_a_run_without_a_whole_dataset_is_refused_with_the_command_that_writes_it(run: Path, library: Library) -> None:
    train = run / "dataset" / "train.jsonl"
    train.write_text(train.read_text().replace("e", "o", 1))
    with pytest.raises(RunFolderError, match=r"train\.jsonl: not as the manifest says.*synthgen export .*first"):
        freeze_dataset(library, str(run))
    shutil.rmtree(run / "dataset")
    with pytest.raises(RunFolderError, match=r"this run has no dataset yet; write it with: synthgen export .*first"):
        freeze_dataset(library, str(run))
    with pytest.raises(UserError, match="no such run, folder or file, and no versions in"):
        freeze_dataset(library, str(run / "dataset"))
    assert not library.store.root.exists()
