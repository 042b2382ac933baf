"""A run whose labels several voices decide: killed and resumed it ends as it would have, and its student hears of it."""

import json
from pathlib import Path

import pytest

from synthgen.cli import dispatch
from synthgen.evidence import weighed
from synthgen.judge.trust import TrustConfig
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
        found = weighed(reader, news_task, TrustConfig())
    assert [sample.id for sample in samples] == [content_id(sample.data) for sample in samples]
    assert any(sample.label != intents[sample.slot] for sample in samples), "invented words are of no label: some move"
    assert found.keys() == {sample.id for sample in samples}
    assert all(abs(sum((each.labels or {}).values()) - 1) < 0.1 for each in found.values())
    summary = json.loads(Path("whole/summary.json").read_text())
    voices = summary["judge"]["voices"]
    assert voices["relabelled"] == sum(sample.label != intents[sample.slot] for sample in samples)
    assert voices["kept"] + voices["relabelled"] >= len(samples)
    assert all(-1 <= kappa <= 1 for kappa in [*voices["cohens_kappa"].values(), voices["fleiss_kappa"]])
    assert "Labels by several voices" in Path("whole/report.html").read_text()
    rejected = summary["counts"]["rejected"]
    assert set(rejected) <= {"label", "rubric", "over_target", "near_duplicate", "duplicate", "unscored"}
