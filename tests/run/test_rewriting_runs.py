"""Runs that rewrite samples: lineage in the dataset, and a chain that is stopped in its middle."""

import json
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

from synthgen.cli import dispatch
from synthgen.config import from_saved
from synthgen.ledger import Reader
from synthgen.run.checks import SETTLING
from synthgen.run.notices import notices
from synthgen.run.prepare import prepare
from synthgen.tasks.assets import root

WEIGHTS = "{fewshot: 1, back_translation: 2, contrast: 1, evolve: 1, paraphrase: 1}"
RUN = [
    "run",
    "experiment=smoke",
    f"generate.strategies={WEIGHTS}",
    "budget.target=60",
    "engine.in_flight=8",
    "diversity.pair_overlap=0",
]


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def query(folder: str, sql: str) -> list[tuple[Any, ...]]:
    with Reader(Path(folder) / "ledger.sqlite") as reader:
        return list(reader.rows(sql))


def dataset(folder: str) -> list[bytes]:
    names = ("train.jsonl", "validation.jsonl", "meta/lineage.jsonl")
    return [Path(folder, "dataset", name).read_bytes() for name in names]


@pytest.mark.slow
def test_a_run_stopped_in_the_middle_of_a_chain_continues_to_the_same_dataset() -> None:
    assert dispatch([*RUN, "run.dir=whole"]) == 0
    assert dispatch([*RUN, "run.dir=cut", "engine.dies_after=110", "engine.jitter=0.01"]) == 4
    halves = """SELECT slot FROM slots s WHERE state = 'planned' AND EXISTS
        (SELECT 1 FROM requests r WHERE r.id = s.slot || '/generate-away' AND r.state = 'answered')"""
    assert query("cut", halves)
    answered = set(query("cut", "SELECT id FROM requests WHERE state = 'answered'"))
    assert [dispatch(["resume", "cut"]) for _ in range(3)][-1] == 0
    twice = "SELECT id FROM requests WHERE state = 'answered' GROUP BY id HAVING COUNT(*) > 1"
    assert not answered & set(query("cut", twice))
    assert dataset("cut") == dataset("whole")
    plans = "SELECT slot, strategy, parents, given FROM slots ORDER BY slot"
    assert query("cut", plans) == query("whole", plans)

    lineage = [json.loads(line) for line in dataset("whole")[2].splitlines()]
    paired = {each for row in lineage if "pair" in row.get("given", {}) for each in (row["id"], row["given"]["pair"])}
    assert {row["split"] for row in lineage if row["id"] in paired} == {"train"}
    assert any(row["split"] == "validation" for row in lineage)
    depths = {row["id"]: row["depth"] for row in lineage}
    rewritten = [row for row in lineage if row["strategy"] not in ("seed", "fewshot")]
    assert {row["strategy"] for row in rewritten} == {"back_translation", "contrast", "evolve", "paraphrase"}
    for row in rewritten:
        assert row["given"]["rewrites"] == row["parents"][0]
        assert row["depth"] == depths[row["parents"][0]] + 1
        assert ("pair" in row["given"]) == (row["strategy"] == "contrast")


def test_a_pairs_labels_are_compared_when_they_are_decided_and_before_duplicates_are_looked_for() -> None:
    names = [spec.name for entry in SETTLING for spec in entry.specs]
    assert names.index("trust") < names.index("pair") < names.index("near")


@pytest.mark.parametrize(("model", "warned"), [("bundled:smollm2-135m-instruct", True), ("some/model", False)])
def test_the_bundled_model_is_said_to_know_no_other_language(model: str, warned: bool) -> None:
    task: Any = OmegaConf.to_container(OmegaConf.load(root() / "conf/task/news_topic.yaml"))
    settings = [f"model.name={model}", "generate.strategies.back_translation=1", "run.name=news", "run.dir=news"]
    lines = notices(prepare(from_saved({"engine": {"kind": "vllm"}, "task": task}, settings), [root()]))
    said = "the bundled model knows English only, and cannot translate into French, German, Spanish"
    assert any(said in line for line in lines) == warned


@pytest.mark.parametrize("task", ["entities", "dialogue"])
def test_a_strategy_that_does_not_fit_the_task_is_an_error_in_words(
    task: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert dispatch(["run", f"task={task}", "engine=replay", "generate=contrast", "run.dir=a"]) == 2
    assert "generate.strategies.contrast: changes the label of samples" in capsys.readouterr().err
    assert not Path("a").exists()
