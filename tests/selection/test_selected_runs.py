"""A selection from the command line: what dataset, student and summary are made of, and that the ledger keeps all."""

import json
from pathlib import Path
from typing import Any

import pytest

from synthgen import student
from synthgen.cli import dispatch
from synthgen.ledger import Reader

FIGURES = {"mean": None, "low": None, "high": None}
METRICS = {"metric": "accuracy", "eval_rows": 0, "seeds_only": FIGURES, "synthetic": FIGURES, "gain": FIGURES}
TWELVE = ["select.method=k_center", "select.size=12"]


@pytest.fixture
def trained_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[list[Any]]:
    """The synthetic rows of every training, in place of the training itself."""
    monkeypatch.chdir(tmp_path)
    asked: list[list[Any]] = []

    def train(*arguments: Any) -> dict[str, Any]:
        asked.append(arguments[3])
        return METRICS

    monkeypatch.setattr(student, "train", train)
    return asked


def run(*overrides: str) -> int:
    return dispatch(["run", "experiment=smoke", "student=auto", "run.dir=out", "budget.target=40", *overrides])


def lines(path: str) -> list[Any]:
    return [json.loads(line) for line in Path(path).read_text("utf-8").splitlines()]


def dataset() -> list[Any]:
    """The synthetic rows of out/dataset, checked against its lineage."""
    splits = {name: lines(f"out/dataset/{name}.jsonl") for name in ("train", "validation")}
    lineage = lines("out/dataset/meta/lineage.jsonl")
    with Reader(Path("out/ledger.sqlite")) as reader:
        assert {entry["id"] for entry in lineage} == {sample.id for sample in reader.samples()}
    placed = [entry for entry in lineage if entry["split"]]
    assert len(placed) == sum(map(len, splits.values()))
    return [splits[entry["split"]][entry["row"]] for entry in placed if entry["origin"] == "synthetic"]


def summary() -> Any:
    return json.loads(Path("out/summary.json").read_text())


@pytest.mark.slow
def test_dataset_and_student_use_the_selected_samples(
    trained_on: list[list[Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(*TWELVE, "run.validation_share=0.25") == 0
    assert len(lines("out/dataset/train.jsonl")) == 20 + 9
    trained = [row.data for row in trained_on[0]]
    assert [row for row in dataset() if row in trained] == trained
    assert (len(dataset()), len(trained_on[0])) == (12, 9)
    found = summary()
    assert found["counts"]["accepted"] == 40
    chosen = found["selection"]
    assert (chosen["method"], chosen["size"], chosen["from"], chosen["selected"]) == ("k_center", 12, 40, 12)
    labels = len(chosen["by_label"])
    assert labels >= 3  # of a run of three groups of slots, or four
    assert sorted(chosen["by_label"].values()) == sorted(12 // labels + (n < 12 % labels) for n in range(labels))
    assert "12 of 40 accepted samples (k_center), for the dataset and the student" in capsys.readouterr().out
    assert "| selected | 12 of 40 accepted samples" in Path("out/dataset/README.md").read_text()


@pytest.mark.slow
def test_without_a_selection_every_sample_is_used(
    trained_on: list[list[Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run() == 0
    assert (len(dataset()), len(trained_on[0])) == (40, 36)
    assert (summary()["selection"]["method"], summary()["selection"]["selected"]) == ("none", 40)
    assert "selected " not in capsys.readouterr().out


@pytest.mark.slow
def test_resume_and_train_may_change_the_selection_and_an_export_may_have_its_own(
    trained_on: list[list[Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run() == 0
    assert dispatch(["resume", "out", *TWELVE]) == 0
    assert (len(dataset()), summary()["selection"]["size"]) == (12, 12)
    assert dispatch(["train", "out", "select.method=facility_location", "select.size=8"]) == 0
    assert (len(dataset()), summary()["selection"]["method"]) == (8, "facility_location")
    assert [len(rows) for rows in trained_on] == [36, 11, 7]
    kept = Path("out/dataset/README.md").read_bytes()
    assert dispatch(["export", "out", "select.method=deita", "select.size=5", "select.deita_similarity=1"]) == 0
    assert (len(dataset()), summary()["selection"]["size"]) == (5, 8)
    card = Path("out/dataset/README.md").read_text()
    assert "5 of 40 accepted samples (deita)" in card
    assert "no student was trained" in card
    assert dispatch(["export", "out"]) == dispatch(["resume", "out"]) == 0
    assert Path("out/dataset/README.md").read_bytes() == kept


@pytest.mark.slow
def test_an_impossible_selection_is_refused(trained_on: list[list[Any]], capsys: pytest.CaptureFixture[str]) -> None:
    assert run() == 0
    assert dispatch(["export", "out", "budget.target=50"]) == 2
    assert "'budget.target=50': only select.* and task.export.* keys can be set here" in capsys.readouterr().err
    assert dispatch(["train", "out", "select.size=5"]) == 2
    assert "select.size: 5 needs a method" in capsys.readouterr().err
    assert len(trained_on) == 1
