"""A run whose labels are decided from several sources: killed and resumed it ends as it would have, and its student hears."""

import json
from pathlib import Path

import pytest

from synthgen.cli import dispatch
from synthgen.labels.pool import saved_labels, weighed
from synthgen.ledger import Reader
from synthgen.records import INHERITED, Json, content_id
from synthgen.tasks.task import Task

SETTINGS = ["experiment=smoke", "diversity=minilm", "budget.target=100", "engine.in_flight=16", "labels.every=16",
    "engine.astray=0.4", "judge.rubric.enabled=false",
]  # fmt: skip


def lineage(folder: str) -> dict[str, Json]:
    """The lines of accepted samples, by id."""
    lines = map(json.loads, Path(folder, "dataset/meta/lineage.jsonl").read_text().splitlines())
    return {line["id"]: line for line in lines if line["origin"] == "synthetic"}


def weights(folder: str) -> dict[str, float]:
    return {key: line["weight"] for key, line in lineage(folder).items()}


@pytest.mark.slow
@pytest.mark.thorough
def test_an_interrupted_run_gives_the_labels_of_an_uninterrupted_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, news_task: Task
) -> None:
    monkeypatch.chdir(tmp_path)
    assert dispatch(["run", *SETTINGS, "run.dir=whole"]) == 0
    assert dispatch(["run", *SETTINGS, "run.dir=halves", "engine.dies_after=100"]) == 4
    while (code := dispatch(["resume", "halves"])) == 4:
        pass
    assert code == 0
    assert Path("halves/dataset/train.jsonl").read_bytes() == Path("whole/dataset/train.jsonl").read_bytes()
    labels = list(news_task.labels)
    with Reader(Path("whole/ledger.sqlite")) as reader:
        samples = [sample for sample in reader.samples() if sample.origin == "synthetic"]
        intents = dict(reader.rows("SELECT slot, label FROM candidates"))
        found = weighed(reader, labels, saved_labels(reader))
    with Reader(Path("halves/ledger.sqlite")) as reader:
        restored = [sample for sample in reader.samples() if sample.origin == "synthetic"]
        again = weighed(reader, labels, saved_labels(reader))
    assert [(sample.id, sample.label, sample.slot, sample.parents) for sample in restored] == [
        (sample.id, sample.label, sample.slot, sample.parents) for sample in samples
    ]
    assert again.keys() == found.keys()
    for key, each in found.items():  # the last bits of a vector depend on the batch that it was embedded in
        assert again[key].weight == pytest.approx(each.weight, abs=1e-6)
        assert again[key].labels == pytest.approx(each.labels, abs=1e-6)
    assert [sample.id for sample in samples] == [content_id(sample.data) for sample in samples]
    moved = sum(sample.label != intents[sample.slot] for sample in samples)
    assert moved > 10, "two in five texts are about another label than the one that was asked for"
    assert found.keys() == {sample.id for sample in samples}
    assert all(abs(sum((each.labels or {}).values()) - 1) < 0.1 for each in found.values())
    assert weights("whole") == {key: each.weight for key, each in found.items()}

    summary = json.loads(Path("whole/summary.json").read_text())
    agreement = summary["judge"]["label_sources"]
    assert agreement["relabelled"] == moved + summary["counts"]["rejected"].get("other_label", 0)
    assert agreement["kept"] + agreement["relabelled"] >= len(samples)
    assert all(-1 <= kappa <= 1 for kappa in [*agreement["cohens_kappa"].values(), agreement["fleiss_kappa"]])
    assert "Labels decided from several label sources" in Path("whole/report.html").read_text()
    rejected = set(summary["counts"]["rejected"])
    assert rejected <= {
        "label",
        "label_full",
        "other_label",
        "over_target",
        "near_duplicate",
        "duplicate",
        "unscored",
        "off_task",
    }

    assert dispatch(["resume", "whole", "labels.weight=0.5"]) == 0
    assert dispatch(["resume", "whole"]) == 0, "what samples weigh may be changed"
    assert 0.25 < max(weights("whole").values()) <= 0.5

    assert dispatch(["resume", "whole", "--fork", "more", "budget.target=110"]) == 0
    with Reader(Path("more/ledger.sqlite")) as reader:
        taken_over = {sample.id for sample in reader.samples() if sample.slot == INHERITED}
    assert taken_over == found.keys() and len(weights("more")) == 110
    assert max(weights("more")[key] for key in taken_over) > 0.25
