"""The loop on the replay engine: targets, order, feedback, faults, resume."""

import json
from pathlib import Path
from typing import Any

import pytest

from synthgen.cli import dispatch
from synthgen.ledger import Reader

SMOKE = ["run", "experiment=smoke"]


def run(folder: Path, *overrides: str) -> int:
    return dispatch([*SMOKE, f"run.dir={folder}", *overrides])


def query(folder: Path, sql: str) -> list[tuple[Any, ...]]:
    with Reader(folder / "ledger.sqlite") as reader:
        return list(reader.rows(sql))


def accepted(folder: Path) -> list[tuple[Any, ...]]:
    """(id, slot, item, data) of the accepted samples, in order."""
    return query(folder, "SELECT id, slot, item, data FROM samples WHERE origin = 'synthetic' ORDER BY position")


def by_label(folder: Path) -> dict[str, int]:
    return dict(query(folder, "SELECT label, COUNT(*) FROM samples WHERE origin = 'synthetic' GROUP BY label"))


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.slow
def test_a_run_ends_with_exactly_its_target(tmp_path: Path) -> None:
    assert run(tmp_path / "a", "budget.target=37") == 0
    assert len(accepted(tmp_path / "a")) == 37
    assert query(tmp_path / "a", "SELECT COUNT(*) FROM samples WHERE origin = 'seed'") == [(20,)]


@pytest.mark.slow
def test_the_result_does_not_depend_on_timing(tmp_path: Path) -> None:
    assert run(tmp_path / "a", "budget.target=150", "engine.in_flight=16") == 0
    assert run(tmp_path / "b", "budget.target=150", "engine.in_flight=16", "engine.jitter=0.02") == 0
    assert accepted(tmp_path / "a") == accepted(tmp_path / "b")


@pytest.mark.slow
def test_another_seed_gives_another_dataset(tmp_path: Path) -> None:
    assert run(tmp_path / "a", "budget.target=20") == run(tmp_path / "b", "budget.target=20", "run.seed=1") == 0
    assert {row[0] for row in accepted(tmp_path / "a")}.isdisjoint(row[0] for row in accepted(tmp_path / "b"))


@pytest.mark.slow
def test_accepted_samples_are_shown_to_later_requests(tmp_path: Path) -> None:
    assert run(tmp_path / "a", "budget.target=200", "engine.in_flight=8") == 0
    synthetic = {row[0] for row in accepted(tmp_path / "a")}
    shown = {
        parent for (parents,) in query(tmp_path / "a", "SELECT parents FROM slots") for parent in json.loads(parents)
    }
    assert len(shown & synthetic) > 10
    assert query(tmp_path / "a", "SELECT MAX(depth) FROM samples")[0][0] >= 2


@pytest.mark.slow
def test_every_label_gets_its_share_of_the_target(tmp_path: Path) -> None:
    assert run(tmp_path / "a", "budget.target=62", "engine.repeat=0.2", "engine.broken=0.1") == 0
    assert sorted(by_label(tmp_path / "a").values()) == [15, 15, 16, 16]


@pytest.mark.slow
def test_duplicates_and_cut_off_replies_are_rejected_and_kept(tmp_path: Path) -> None:
    assert run(tmp_path / "a", "engine.repeat=0.3", "engine.broken=0.2") == 0
    reasons = dict(
        query(tmp_path / "a", "SELECT reason, COUNT(*) FROM candidates WHERE outcome = 'rejected' GROUP BY reason")
    )
    assert reasons["length"] > 0
    assert reasons["duplicate"] > 0
    nowhere = "SELECT COUNT(*) FROM candidates WHERE outcome = 'rejected' AND (reason IS NULL OR \"check\" IS NULL)"
    assert query(tmp_path / "a", nowhere) == [(0,)]


@pytest.mark.slow
def test_no_accepted_text_occurs_twice_even_when_both_were_in_flight_at_once(tmp_path: Path) -> None:
    assert run(tmp_path / "a", "engine.repeat=0.9", "budget.target=30", "engine.jitter=0.01") == 0
    texts = [row[3] for row in accepted(tmp_path / "a")]
    assert len(set(texts)) == len(texts) == 30


@pytest.mark.slow
def test_several_items_a_request(tmp_path: Path) -> None:
    assert run(tmp_path / "a", "generate.items=3", "budget.target=40") == 0
    assert {row[2] for row in accepted(tmp_path / "a")} == {0, 1, 2}
    assert len(accepted(tmp_path / "a")) == 40


@pytest.mark.slow
def test_a_candidate_budget_ends_the_run_with_exit_code_3_and_the_command_that_continues_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(tmp_path / "a", "budget.target=500", "budget.candidates=60") == 3
    assert query(tmp_path / "a", "SELECT COUNT(*) FROM candidates") == [(60,)]
    assert capsys.readouterr().out.strip().splitlines()[-1] == "synthgen resume a budget.candidates=120"


@pytest.mark.slow
def test_a_token_budget_ends_the_run(tmp_path: Path) -> None:
    assert run(tmp_path / "a", "budget.target=5000", "budget.output_tokens=2000", "engine.delay=0.02") == 3


@pytest.mark.slow
def test_failed_attempts_are_tried_again_and_written_down(tmp_path: Path) -> None:
    assert run(tmp_path / "a", "engine.failing=0.05", "budget.target=30") == 0
    states = dict(query(tmp_path / "a", "SELECT state, COUNT(*) FROM requests GROUP BY state"))
    assert states["failed"] > 0
    assert query(tmp_path / "a", "SELECT COUNT(*) FROM requests WHERE attempt = 2 AND state = 'answered'")[0][0] > 0


@pytest.mark.slow
def test_a_dead_engine_is_exit_code_4_and_resume_ends_with_the_same_dataset(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(tmp_path / "whole", "budget.target=80", "engine.in_flight=8") == 0
    assert run(tmp_path / "cut", "budget.target=80", "engine.in_flight=8", "engine.dies_after=150") == 4
    before = accepted(tmp_path / "cut")
    assert 0 < len(before) < 80
    assert capsys.readouterr().out.strip().splitlines()[-1] == "synthgen resume cut"
    # The same engine would die again after 150 answers; each session gets further all the same.
    codes = [dispatch(["resume", str(tmp_path / "cut")]) for _ in range(2)]
    assert codes[-1] == 0
    assert accepted(tmp_path / "cut")[: len(before)] == before
    assert accepted(tmp_path / "cut") == accepted(tmp_path / "whole")
    assert (
        query(
            tmp_path / "cut", "SELECT COUNT(*) FROM requests WHERE state = 'answered' GROUP BY id HAVING COUNT(*) > 1"
        )
        == []
    )


@pytest.mark.slow
def test_a_finished_run_can_be_extended(tmp_path: Path) -> None:
    assert run(tmp_path / "a", "budget.target=30") == 0
    before = accepted(tmp_path / "a")
    assert dispatch(["resume", str(tmp_path / "a"), "budget.target=60"]) == 0
    assert accepted(tmp_path / "a")[:30] == before
    assert by_label(tmp_path / "a") == {"business": 15, "science": 15, "sport": 15, "world": 15}


@pytest.mark.slow
def test_an_extended_run_whose_engine_dies_ends_as_one_whose_engine_does_not(tmp_path: Path) -> None:
    for name, *fault in (["whole"], ["cut", "engine.dies_after=200"]):
        assert run(tmp_path / name, "budget.target=30", "engine.repeat=0.1", *fault) == 0
        assert dispatch(["resume", str(tmp_path / name), "budget.target=90"]) == (4 if fault else 0)
    assert 30 < len(accepted(tmp_path / "cut")) < 90
    codes = [dispatch(["resume", str(tmp_path / "cut")]) for _ in range(2)]
    assert codes[-1] == 0
    assert accepted(tmp_path / "cut") == accepted(tmp_path / "whole")


@pytest.mark.slow
def test_a_recorded_run_plays_again(tmp_path: Path) -> None:
    assert run(tmp_path / "a", "budget.target=30") == 0
    assert run(tmp_path / "b", "budget.target=30", f"engine.recording={tmp_path / 'a'}", "engine.approve=0") == 0
    assert accepted(tmp_path / "a") == accepted(tmp_path / "b")


@pytest.mark.slow
def test_a_target_for_each_label_gives_each_label_its_number(tmp_path: Path) -> None:
    assert run(tmp_path / "a", "budget.per_label=9", "engine.in_flight=8") == 0
    counts = query(tmp_path / "a", "SELECT label, COUNT(*) FROM samples WHERE slot IS NOT NULL GROUP BY label")
    assert counts == [("business", 9), ("science", 9), ("sport", 9), ("world", 9)]


def test_a_generator_whose_work_is_never_accepted_is_stopped(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(tmp_path / "a", "engine.broken=1", "budget.window=40") == 3
    assert capsys.readouterr().out.strip().splitlines()[-1] == "synthgen resume a budget.min_acceptance=0"


@pytest.mark.slow
def test_an_engine_that_dies_and_is_started_again_costs_no_sample(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("synthgen.engines.vllm.supervisor._FIRST_WAIT", 0.0)
    settings = ["budget.target=60", "engine.in_flight=8"]
    assert run(tmp_path / "whole", *settings) == 0
    assert run(tmp_path / "mortal", *settings, "engine.dies_after=150", "engine.restarts_per_hour=3") == 0
    assert accepted(tmp_path / "mortal") == accepted(tmp_path / "whole")
    assert query(tmp_path / "mortal", "SELECT COUNT(*) FROM events WHERE kind = 'engine_restart'")[0][0] >= 1


@pytest.mark.slow
def test_a_prompt_that_kills_the_engine_is_quarantined_and_the_run_continues_with_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("synthgen.engines.vllm.supervisor._FIRST_WAIT", 0.0)
    seeds = tmp_path / "seeds.jsonl"
    texts = {
        "business": "Shares fell",
        "science": "A probe landed",
        "sport": "Late goal DEADLY wins it",
        "world": "Polls close",
    }
    seeds.write_text("".join(json.dumps({"text": text, "label": label}) + "\n" for label, text in texts.items()))
    settings = [f"task.seeds={seeds}", "engine.poison=DEADLY", "engine.restarts_per_hour=500", "judge=none"]
    settings += ["generate.fewshot.foils=0"]  # else the deadly seed stands in the other labels' prompts too
    assert run(tmp_path / "a", *settings, "budget.target=24", "engine.in_flight=1", "generate.group=2") == 3
    states = dict(query(tmp_path / "a", "SELECT state, COUNT(*) FROM slots GROUP BY state"))
    assert states["quarantined"] >= 20
    labels = query(tmp_path / "a", "SELECT DISTINCT label FROM slots WHERE state = 'quarantined'")
    assert labels == [("sport",)]
    assert by_label(tmp_path / "a") == {"business": 6, "science": 6, "world": 6}
    said = capsys.readouterr().out.splitlines()
    assert "unfilled    sport: 0 of 6, most requests brought no candidate" in said
    assert said[-1] == "synthgen resume a budget.label_attempts=40"
