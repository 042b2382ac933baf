"""A run whose labels several voices decide: killed and resumed it ends as it would have, and its student hears of it."""

import json
from pathlib import Path

import pytest

from synthgen.cli import dispatch
from synthgen.evidence import saved_trust, weighed
from synthgen.ledger import Reader
from synthgen.records import content_id
from synthgen.task import Task

SETTINGS = ["experiment=smoke", "diversity=minilm", "budget.target=100", "engine.in_flight=16", "judge.trust.every=16",
    "judge.trust.closeness=0", "judge.trust.accepted=0", "engine.approve=0.4", "judge.rubric.enabled=false",
]  # fmt: skip


@pytest.mark.slow
def test_an_interrupted_run_gives_the_labels_of_an_undisturbed_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, news_task: Task
) -> None:
    monkeypatch.chdir(tmp_path)
    assert dispatch(["run", *SETTINGS, "run.dir=whole"]) == 0
    assert dispatch(["run", *SETTINGS, "run.dir=halves", "engine.dies_after=150"]) == 4
    while (code := dispatch(["resume", "halves"])) == 4:
        pass
    assert code == 0
    assert Path("halves/dataset/train.jsonl").read_bytes() == Path("whole/dataset/train.jsonl").read_bytes()
    with Reader(Path("whole/ledger.sqlite")) as reader:
        samples = [sample for sample in reader.samples() if sample.origin == "synthetic"]
        intents = dict(reader.rows("SELECT slot, label FROM candidates"))
        found = weighed(reader, list(news_task.labels), saved_trust(reader))
    assert [sample.id for sample in samples] == [content_id(sample.data) for sample in samples]
    assert any(sample.label != intents[sample.slot] for sample in samples), "invented words are of no label: some move"
    assert found.keys() == {sample.id for sample in samples}
    assert all(abs(sum((each.labels or {}).values()) - 1) < 0.1 for each in found.values())
    summary = json.loads(Path("whole/summary.json").read_text())
    voices = summary["judge"]["voices"]
    assert voices["relabelled"] == sum(sample.label != intents[sample.slot] for sample in samples)
    assert voices["kept"] + voices["relabelled"] >= len(samples)
    assert all(-1 <= kappa <= 1 for kappa in [*voices["cohens_kappa"].values(), voices["fleiss_kappa"]])
    page = Path("whole/report.html").read_text()
    assert "Labels by several voices" in page
    lineage = [json.loads(line) for line in Path("whole/dataset/meta/lineage.jsonl").read_text().splitlines()]
    assert {row["id"]: row["weight"] for row in lineage if "weight" in row} == {k: w.weight for k, w in found.items()}
    steering = summary["judge"]["steering"]
    assert "The student in the loop" in page
    assert set(steering["prompts"]) == {"fewshot", "steered"}
    assert [fit["slot"] for fit in steering["fits"]] == sorted(fit["slot"] for fit in steering["fits"])
    assert steering["fits"][0] == {**steering["fits"][0], "slot": 0, "accepted": 0}
    halves = json.loads(Path("halves/summary.json").read_text())["judge"]["steering"]
    assert halves["prompts"] == steering["prompts"]
    both = min(len(halves["fits"]), len(steering["fits"]))  # the last one may be under way when the run ends
    assert both > 3 and halves["fits"][:both] == steering["fits"][:both]
    rejected = summary["counts"]["rejected"]
    assert set(rejected) <= {"label", "rubric", "over_target", "near_duplicate", "duplicate", "unscored", "off_task"}
    assert dispatch(["resume", "whole", "judge.trust.weight=0.5", "judge.trust.confident_learning=false"]) == 0
    assert dispatch(["resume", "whole"]) == 0
    lineage = [json.loads(line) for line in Path("whole/dataset/meta/lineage.jsonl").read_text().splitlines()]
    assert {row["weight"] for row in lineage if "weight" in row} == {0.5}, "what samples weigh may be changed"


@pytest.mark.slow
def test_a_run_without_labels_is_steered_by_what_lies_around_its_seeds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    settings = ["experiment=smoke", "task=instruction", "diversity=minilm", "judge=none", "engine.in_flight=8"]
    assert dispatch(["run", *settings, "budget.target=80", "run.dir=whole"]) == 0
    assert dispatch(["run", *settings, "budget.target=80", "run.dir=halves", "engine.dies_after=50"]) == 4
    while (code := dispatch(["resume", "halves"])) == 4:
        pass
    assert code == 0
    assert Path("halves/dataset/train.jsonl").read_bytes() == Path("whole/dataset/train.jsonl").read_bytes()
    steering = json.loads(Path("whole/summary.json").read_text())["judge"]["steering"]
    assert steering["fits"] == [] and set(steering["prompts"]) == {"fewshot", "steered"}
    assert "Steered prompts" in Path("whole/report.html").read_text()


@pytest.mark.slow
def test_a_run_whose_student_gains_nothing_more_can_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert dispatch(["run", *SETTINGS, "run.dir=a", "budget.flat_fits=2", "budget.flat_gain=10"]) == 3
    assert "synthgen resume a budget.flat_fits=null" in capsys.readouterr().out
    summary = json.loads(Path("a/summary.json").read_text())
    assert summary["stopped_by"] == "flat_fits"
    assert len(summary["judge"]["steering"]["fits"]) >= 3
    assert dispatch(["resume", "a", "budget.flat_fits=null"]) == 0
