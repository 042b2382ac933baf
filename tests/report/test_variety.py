"""Figures over rounds, from a ledger of a made-up run that collapses in its second half."""

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from synthgen.diversity import metrics, moments
from synthgen.diversity.drift import Alarm
from synthgen.ledger import Ledger, Settled
from synthgen.records import Candidate, PlannedSlot, Sample, Verdict, content_id
from synthgen.report import last_lines, summarise, variety, write_reports

ROUND = 64
LABELS = ["weather", "music"]
META: dict[str, Any] = {
    "run": {"name": "collapsing", "seed": 0, "versions": {}},
    "task": {
        "name": "intents", "kind": "classification", "description": "", "language": "en",
        "schema": {"type": "object", "properties": {"text": {"type": "string"}, "label": {"enum": LABELS}}},
        "input": ["text"], "target": ["label"], "labels": dict.fromkeys(LABELS, ""), "rubric": {},
    },
    "target": 10_000,
    "stopped_by": "collapse",
    "config": {"run": {"round_slots": ROUND}},
}  # fmt: skip
ALARM = Alarm("collapse", "vendi", 3.25, 9.5, 5 * ROUND - 1)


def vector(rng: np.random.Generator, spread: float) -> metrics.Vectors:
    made = np.eye(16, dtype=np.float32)[0] + spread * rng.normal(size=16).astype(np.float32)
    return np.asarray(made / np.linalg.norm(made), dtype=np.float32)


def settle(ledger: Ledger, slot: int, text: str, embedding: metrics.Vectors) -> None:
    """Every fourth slot's candidate is rejected, every third is a step further from the seeds."""
    data = {"text": text, "label": LABELS[slot % 2]}
    made = Candidate(
        id=content_id(data), slot=slot, item=0, text=text, data=data, finish_reason="stop", parents=(),
        depth=1 + (slot % 3 == 0), strategy="fewshot", template="t", label=data["label"], embedding=embedding,
    )  # fmt: skip
    ledger.plan([PlannedSlot(slot=slot, group=0, label=made.label, strategy="fewshot", parents=())])
    if slot % 4 == 3:
        ledger.settle(slot, "settled", [Settled(made, (Verdict(check="form", outcome="reject", reason="schema"),))])
        return
    sample = Sample(
        id=made.id, data=data, origin="synthetic", label=made.label, slot=slot, item=0, depth=made.depth,
        strategy="fewshot", template="t",
    )  # fmt: skip
    ledger.settle(slot, "settled", [Settled(made, (Verdict(check="form"),), sample)])


def collapsing_run(path: Path, rounds: float = 6.5, collapse: float = 3.5, meta: dict[str, Any] | None = None) -> Path:
    """A ledger of so many rounds of slots, whose texts and vectors are all alike from the round `collapse` on."""
    rng = np.random.default_rng(0)
    path.mkdir(parents=True)
    seeds = [Sample(id=content_id({"text": f"seed {i}"}), data={"text": f"seed {i}"}, origin="seed") for i in range(4)]
    with Ledger.create(path / "ledger.sqlite", meta or META) as ledger:
        ledger.add_seeds(seeds, [vector(rng, 0.4) for _ in seeds])
        for slot in range(int(rounds * ROUND)):
            varied = slot < collapse * ROUND
            words = " ".join(f"w{word}" for word in rng.integers(3_000, size=8)) if varied else "turn the light on in"
            settle(ledger, slot, f"{words} room {slot}", vector(rng, 0.4 if varied else 0.05))
        ledger.plan([PlannedSlot(slot=10_000, group=700, label=None, strategy="fewshot", parents=())])
        ledger.event("alarm", ALARM.event())
    return path


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return collapsing_run(tmp_path_factory.mktemp("runs") / "collapsing")


@pytest.fixture(scope="module")
def summary(run: Path) -> Any:
    return summarise(run)


def test_rounds_follow_the_slots_and_the_last_may_be_short(summary: Any) -> None:
    rounds = summary["diversity"]["rounds"]
    assert [(row["first"], row["last"]) for row in rounds[:2]] == [(0, 63), (64, 127)]
    assert (rounds[-1]["first"], rounds[-1]["last"], rounds[-1]["candidates"]) == (384, 415, 32)
    assert len(rounds) == 7
    assert sum(row["candidates"] for row in rounds) == summary["counts"]["candidates"]
    assert sum(row["accepted"] for row in rounds) == summary["counts"]["accepted"]
    assert [row["acceptance"] for row in rounds] == [0.75] * 7
    assert [row["rows"] for row in rounds] == [48] + [64] * 6


def test_a_collapse_shows_in_every_figure_of_variety(summary: Any) -> None:
    rounds = summary["diversity"]["rounds"]
    before, after = rounds[1], rounds[5]
    for key in ("distinct_1", "distinct_2", "distinct_3", "vendi"):
        assert after[key] < 0.5 * before[key], key
    for key in ("self_bleu", "self_repetition", "compression_ratio", "mean_similarity"):
        assert after[key] > 2 * before[key], key
    assert before["self_repetition"] == 0.0
    assert after["self_repetition"] == 1.0
    assert rounds[6]["vendi_so_far"] < rounds[2]["vendi_so_far"]
    assert all(row["label_entropy"] > 0.9 < row["label_entropy_so_far"] for row in rounds)
    assert all(0.5 < row["label_balance_so_far"] <= 1 for row in rounds)
    assert all(1 < row["mean_depth"] < row["max_depth"] == 2 for row in rounds)


def test_figures_of_a_round_are_those_of_its_samples(run: Path, summary: Any) -> None:
    with variety.Reader(run / "ledger.sqlite") as ledger:
        samples, vectors = ledger.samples(), ledger.embeddings()
    accepted = [sample for sample in samples if sample.origin == "synthetic" and (sample.slot or 0) < 2 * ROUND]
    rows, seeds = accepted[-64:], [sample for sample in samples if sample.origin == "seed"]
    texts, held = [sample.data["text"] for sample in rows], np.stack([vectors[sample.id] for sample in rows])
    seed_vectors = np.stack([vectors[sample.id] for sample in seeds])
    row = summary["diversity"]["rounds"][1]
    assert row["distinct_2"] == pytest.approx(metrics.distinct_n(texts, 2), rel=1e-5)
    assert row["self_bleu"] == pytest.approx(metrics.self_bleu(texts), rel=1e-5)
    assert row["vendi"] == pytest.approx(moments.vendi_score(held), rel=1e-5)
    assert row["seed_distance"] == pytest.approx(float((1 - (held @ seed_vectors.T).max(axis=1)).mean()), rel=1e-4)
    everything = np.stack([vectors[sample.id] for sample in accepted])
    assert row["vendi_so_far"] == pytest.approx(moments.vendi_score(everything), rel=1e-5)


def test_the_whole_runs_figures_stand_beside_its_rounds(summary: Any) -> None:
    whole, last = summary["diversity"], summary["diversity"]["rounds"][-1]
    assert whole["vendi"] == last["vendi_so_far"]
    assert whole["label_balance"] == last["label_balance_so_far"]
    assert whole["self_bleu_rows"] == summary["counts"]["accepted"]
    assert 0 < whole["centroid_distance"] < 1
    assert 0 < whole["self_repetition"] < 1


def test_alarms_are_in_the_summary_the_page_and_the_closing_lines(run: Path, summary: Any) -> None:
    assert summary["diversity"]["alarms"] == [ALARM.event()]
    sentence = "collapse at slot 319: Vendi score 3.25, below 9.5"
    assert f"alarm       {sentence}" in last_lines(summary, run)
    assert "had become too similar to each other" in last_lines(summary, run)[0]
    write_reports(run, yaml.safe_dump)
    page = (run / "report.html").read_text("utf-8")
    assert f"<b>Alarm</b> {sentence}." in page
    assert page.count('<line class="raised"') == page.count('<line class="bound"') == 1
    assert page.count("<polyline") == page.count('class="trend"') == 15


def test_a_long_run_has_as_many_rounds_as_a_page_can_show(
    run: Path, summary: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(variety, "MAX_ROUNDS", 3)
    rounds = summarise(run)["diversity"]["rounds"]
    assert [(row["first"], row["last"]) for row in rounds] == [(0, 191), (192, 383), (384, 415)]
    assert sum(row["accepted"] for row in rounds) == summary["counts"]["accepted"]
    assert rounds[-1]["vendi_so_far"] == summary["diversity"]["rounds"][-1]["vendi_so_far"]


def test_a_run_of_one_round_has_figures_and_no_chart(tmp_path: Path) -> None:
    meta = copy.deepcopy(META)
    del meta["config"]  # as a run has it that was killed early
    folder = collapsing_run(tmp_path / "short", rounds=0.5, meta=meta)
    write_reports(folder, yaml.safe_dump)
    assert len(summarise(folder)["diversity"]["rounds"]) == 1
    page = (folder / "report.html").read_text("utf-8")
    assert "Round by round" not in page
    assert "Vendi score" in page


def test_runs_without_an_alarm_mention_none_in_the_closing_lines(make_run: Callable[..., Any]) -> None:
    folder = make_run().path
    assert not any(line.startswith("alarm") for line in last_lines(summarise(folder), folder))
