import json
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from synthgen.errors import RunFolderError
from synthgen.ledger import Ledger, Settled
from synthgen.records import Candidate, Completion, PlannedSlot, Request, Verdict
from synthgen.report import plain, summarise, write_reports
from synthgen.report.figures import INCIDENTS
from synthgen.report.page import report_page
from synthgen.run.chain import to_sample

CONTRACT = {
    "run": ["name", "seed", "fingerprint", "versions"],
    "engine": ["name", "version", "model"],
    "counts": ["seeds", "planned", "candidates", "accepted", "rejected"],
    "tokens": ["prompt", "cached", "completion", "per_accepted"],
    "seconds": ["engine_start", "loop", "student", "total"],
    "rate": ["candidates_per_s", "accepted_per_s", "output_tokens_per_s"],
    "diversity": [],
    "judge": [],
    "student": ["metric", "eval_rows", "seeds_only", "synthetic"],
}


def test_summary_has_every_key_of_the_contract(run: Any) -> None:
    summary = summarise(run.path)
    for part, keys in CONTRACT.items():
        assert set(keys) <= summary[part].keys()
    assert summary["stopped_by"] == "max_slots"
    assert summary["target"] == 30


def test_counts_match_the_ledger(run: Any) -> None:
    counts = summarise(run.path)["counts"]
    assert (counts["seeds"], counts["planned"], counts["candidates"]) == (6, 40, 37)
    assert counts["accepted"] == run.accepted == sum(counts["accepted_by_label"].values())
    assert counts["rejected"] == run.rejected
    assert counts["accepted"] + sum(counts["rejected"].values()) == counts["candidates"]
    assert list(counts["rejected"].values()) == sorted(counts["rejected"].values(), reverse=True)
    assert counts["slots"] == {"planned": 3, "settled": 37}


def test_tokens_are_summed_and_split_by_who_asked(run: Any) -> None:
    tokens = summarise(run.path)["tokens"]
    generator, judge = tokens["generator"], tokens["judge"]
    counts = ("requests", "prompt", "cached", "completion")
    assert [generator[key] for key in counts] == [37, 3700, 2960, 740]
    assert [judge[key] for key in counts] == [37, 1850, 1480, 37]
    assert (tokens["prompt"], tokens["cached"], tokens["completion"]) == (5550, 4440, 777)
    assert tokens["per_accepted"] == pytest.approx((5550 - 4440 + 777) / run.accepted, rel=1e-5)


def test_tokens_of_an_accepted_sample_come_in_parts_that_add_up(run: Any) -> None:
    tokens = summarise(run.path)["tokens"]
    generator, judge = tokens["generator"]["per_accepted"], tokens["judge"]["per_accepted"]
    n = run.accepted
    assert generator == pytest.approx({"prefill": 740 / n, "cached": 2960 / n, "decode": 740 / n}, rel=1e-5)
    assert judge == pytest.approx({"prefill": 370 / n, "cached": 1480 / n, "decode": 37 / n}, rel=1e-5)
    computed = sum(part[key] for part in (generator, judge) for key in ("prefill", "decode"))
    assert computed == pytest.approx(tokens["per_accepted"], rel=1e-4)


def test_output_of_slots_that_are_not_settled_and_of_surplus_is_unused(tmp_path: Path) -> None:
    full = Verdict(check="budget", outcome="reject", reason="label_full", details={"label": "a"})
    ends = [Verdict(check="form", outcome="reject", reason="schema"), full, None]
    with Ledger.create(tmp_path / "ledger.sqlite", {}) as ledger:
        for slot, end in enumerate(ends):
            ledger.plan([PlannedSlot(slot=slot, group=slot, label="a", strategy="s", parents=())])
            ledger.sent(Request(id=f"{slot}/generate", messages=()), 1, slot, "generate")
            ledger.answered(f"{slot}/generate", 1, Completion(text="", finish_reason="stop", completion_tokens=10))
            if end is not None:
                one = Candidate(
                    id=f"c{slot}", slot=slot, item=0, text="x", data=None, finish_reason="stop", parents=(), depth=1,
                    strategy="s", template="t", label="a",
                )  # fmt: skip
                ledger.settle(slot, "settled", [Settled(one, (end,))])
    tokens = summarise(tmp_path)["tokens"]
    assert (tokens["unused"], tokens["unused_share"]) == (20, pytest.approx(2 / 3, rel=1e-4))


def test_output_for_a_label_that_was_full_is_unused_whatever_it_was_rejected_for(tmp_path: Path) -> None:
    surplus = Verdict(check="budget", outcome="reject", reason="other_label", details={"label": "a"})
    broken = Verdict(check="form", outcome="reject", reason="schema")
    told = [("b", broken), ("b", None), ("a", None), ("b", surplus), ("b", broken)]
    with Ledger.create(tmp_path / "ledger.sqlite", {"stopped_by": "target"}) as ledger:
        for slot, (label, end) in enumerate(told):
            ledger.plan([PlannedSlot(slot=slot, group=slot, label=label, strategy="s", parents=())])
            ledger.sent(Request(id=f"{slot}/generate", messages=()), 1, slot, "generate")
            ledger.answered(f"{slot}/generate", 1, Completion(text="", finish_reason="stop", completion_tokens=10))
            one = Candidate(
                id=f"c{slot}", slot=slot, item=0, text="x", data={"label": label, "text": f"{slot}"},
                finish_reason="stop", parents=(), depth=1, strategy="s", template="t", label=label,
            )  # fmt: skip
            passed = Settled(one, (Verdict(check="form"),), to_sample(one, lambda data, _: data))
            entry = Settled(one, (end,)) if end else passed
            ledger.settle(slot, "settled", [entry])
    assert summarise(tmp_path)["tokens"]["unused"] == 20


def test_labels_have_their_share_of_the_target_and_their_main_loss(run: Any) -> None:
    labels = summarise(run.path)["labels"]
    assert {row["share"] for row in labels.values()} == {10.0}
    assert sum(row["accepted"] for row in labels.values()) == run.accepted
    assert {row["main_loss"] for row in labels.values()} <= {"duplicate", "near_duplicate", "label", "schema"}


def test_the_cached_share_is_of_the_prompt_tokens(run: Any) -> None:
    tokens = summarise(run.path)["tokens"]
    assert (tokens["cached_share"], tokens["generator"]["cached_share"]) == (0.8, 0.8)


def test_the_judges_share_is_of_the_seconds_that_requests_were_under_way(tmp_path: Path) -> None:
    with Ledger.create(tmp_path / "ledger.sqlite", {}) as ledger:
        for name, kind, seconds in (("0/generate", "generate", 9.0), ("0.0/label", "label", 0.5), ("0.0/x", "x", 0.5)):
            ledger.sent(Request(id=name, messages=()), 1, 0, kind)
            ledger.answered(name, 1, Completion(text="", finish_reason="stop", prompt_tokens=9, seconds=seconds))
    assert summarise(tmp_path)["tokens"]["judge_share"] == 0.1


def test_without_an_answer_or_an_accepted_sample_shares_are_unknown(killed: Path) -> None:
    tokens = summarise(killed)["tokens"]
    assert (tokens["prompt"], tokens["cached_share"], tokens["judge_share"]) == (0, None, None)
    assert tokens["judge"]["per_accepted"] == {"prefill": None, "cached": None, "decode": None}


def test_rates_are_over_the_seconds_of_the_loop(run: Any) -> None:
    rate = summarise(run.path)["rate"]
    assert rate["candidates_per_s"] == 3.7
    assert rate["accepted_per_s"] == pytest.approx(run.accepted / 10)
    assert rate["output_tokens_per_s"] == 77.7


def test_checks_are_listed_in_the_order_they_ran_down_to_the_accepted(run: Any) -> None:
    checks = summarise(run.path)["checks"]
    assert list(checks) == ["form", "text", "exact", "eval", "near", "label", "rubric"]
    left = [check["left"] for check in checks.values()]
    assert left == sorted(left, reverse=True)
    assert left[-1] == run.accepted
    # A check that is asked twice of one candidate counts once, by its last answer.
    assert checks["near"]["n"] == 29
    assert checks["near"]["rejected"] == run.rejected["near_duplicate"]


def test_judge_keeps_unscored_apart_from_scores(run: Any) -> None:
    judge = summarise(run.path)["judge"]
    assert judge["rubric"]["unscored"] == 1
    assert judge["rubric"]["n"] == judge["rubric"]["passed"] + 1
    assert judge["rubric"]["mean_score"] == 4.0
    assert judge["rubric"]["criteria"] == {"natural": 4.0}
    label = judge["label"]
    assert label["compared"] == label["n"]
    disagreed = sum(pair["n"] for pair in label["confused"])
    assert label["agreement"] == pytest.approx(1 - disagreed / label["compared"], rel=1e-5)


def test_a_tie_counts_as_agreement_as_it_does_for_the_check(tmp_path: Path) -> None:
    tie = Verdict(check="label", score=0.4, details={"probabilities": {"a": 0.4, "b": 0.4, "c": 0.2}, "answer": "a"})
    with Ledger.create(tmp_path / "ledger.sqlite", {}) as ledger:
        one = Candidate(
            id="c", slot=0, item=0, text="x", data=None, finish_reason="stop", parents=(), depth=1,
            strategy="s", template="t", label="b",
        )  # fmt: skip
        ledger.settle(0, "settled", [Settled(one, (tie,))])
    assert summarise(tmp_path)["judge"]["label"]["agreement"] == 1.0


def test_diversity_is_within_its_bounds(run: Any) -> None:
    diversity = summarise(run.path)["diversity"]
    for key in ("distinct_1", "distinct_2", "label_entropy", "label_balance"):
        assert 0 < diversity[key] <= 1
    assert -1 <= diversity["mean_nearest_neighbour"] <= 1
    assert 0 <= diversity["mean_seed_distance"] <= 2
    assert diversity["neighbour_rows"] == run.accepted
    assert diversity["max_depth"] == 2
    assert sum(diversity["depths"].values()) == run.accepted


def test_a_run_killed_early_has_nulls_and_zeros(killed: Path) -> None:
    summary = summarise(killed)
    assert summary["counts"]["candidates"] == 0
    assert summary["tokens"]["per_accepted"] is None
    assert summary["rate"]["candidates_per_s"] is None
    assert summary["seconds"] == {"engine_start": None, "loop": None, "student": None, "total": None}
    assert summary["student"] is None
    assert summary["stopped_by"] is None
    assert summary["diversity"] == {}


def test_a_rejection_without_a_reason_is_counted_all_the_same(tmp_path: Path) -> None:
    with Ledger.create(tmp_path / "ledger.sqlite", {}) as ledger:
        one = Candidate(
            id="c", slot=0, item=0, text="x", data=None, finish_reason="stop", parents=(), depth=1,
            strategy="s", template="t",
        )  # fmt: skip
        other = one.model_copy(update={"slot": 1})
        ledger.settle(0, "settled", [Settled(one, ())])
        ledger.settle(1, "settled", [Settled(other, (Verdict(check="x", outcome="reject"),))])
    assert summarise(tmp_path)["counts"]["rejected"] == {"unknown": 2}


def test_incidents_are_counted(tmp_path: Path) -> None:
    with Ledger.create(tmp_path / "ledger.sqlite", {}) as ledger:
        ledger.begin_session("1")
        ledger.begin_session("1")
        ledger.end_session(0)
        for kind in ("engine_restart", "progress", "engine_restart", "quarantined"):
            ledger.event(kind, {})
    summary = summarise(tmp_path)
    assert summary["incidents"] == {"engine_restart": 2, "quarantined": 1}
    assert (summary["run"]["sessions"], summary["run"]["killed"]) == (2, 1)
    page = report_page(tmp_path, summary, "")
    assert "2, 1 of them killed" in page
    assert "times the engine was restarted</th><td>2</td>" in page


def test_every_incident_has_words() -> None:
    assert set(INCIDENTS) == set(plain.INCIDENTS)


def test_the_same_ledger_gives_the_same_summary(run: Any) -> None:
    assert summarise(run.path) == summarise(run.path)


def test_summary_json_is_strict_json_and_leaves_no_temporary_file(run: Any) -> None:
    returned = write_reports(run.path, yaml.safe_dump)

    def refuse(name: str) -> None:
        raise AssertionError(f"{name} is not JSON")

    assert json.loads((run.path / "summary.json").read_text("utf-8"), parse_constant=refuse) == returned
    assert not [path for path in run.path.iterdir() if path.name.endswith(".new")]


def test_samples_without_embeddings_have_no_cosines(make_run: Callable[..., Any]) -> None:
    run = make_run()
    with sqlite3.connect(run.path / "ledger.sqlite") as connection:
        connection.execute("DELETE FROM embeddings")
    diversity = summarise(run.path)["diversity"]
    assert diversity["mean_nearest_neighbour"] is None
    assert diversity["distinct_1"] > 0


def test_no_ledger_is_named(tmp_path: Path) -> None:
    with pytest.raises(RunFolderError, match="no such ledger"):
        summarise(tmp_path)
