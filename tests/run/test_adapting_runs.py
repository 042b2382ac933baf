"""Runs whose strategies' weights adapt: what they keep, that a resume repeats them, and that others are as before."""

import json
from pathlib import Path
from typing import Any

import pytest

from synthgen.cli import dispatch
from synthgen.ledger import Reader
from synthgen.records import Json
from synthgen.report import last_lines
from synthgen.run.restore import settled_by_strategy

MIXED = [
    "run", "experiment=smoke", "generate.strategies={fewshot: 0.6, seeds_only: 0.4}", "engine.in_flight=8",
    "run.round_slots=16", "budget.target=64",
]  # fmt: skip


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def plans(folder: str) -> list[tuple[Any, ...]]:
    with Reader(Path(folder, "ledger.sqlite")) as reader:
        return list(reader.rows("SELECT slot, grp, label, strategy, parents FROM slots ORDER BY slot"))


def kept(folder: str) -> list[Json]:
    with Reader(Path(folder, "ledger.sqlite")) as reader:
        return list(reader.meta("strategy_weights") or ())


def summary(folder: str) -> Json:
    found: Json = json.loads(Path(folder, "summary.json").read_text())
    return found


@pytest.mark.slow
def test_a_resumed_run_with_adapting_weights_makes_the_choices_of_an_uninterrupted_one() -> None:
    adapting = [*MIXED, "generate.adapt=true"]
    assert dispatch([*adapting, "run.dir=whole"]) == 0
    assert dispatch([*adapting, "run.dir=cut", "engine.dies_after=90"]) == 4
    assert len(plans("cut")) < len(plans("whole"))
    deaths = 1
    while (code := dispatch(["resume", "cut"])) == 4:
        deaths += 1
    assert code == 0 and deaths > 1
    assert plans("cut") == plans("whole")
    assert kept("cut") == kept("whole")
    assert [each["slot"] for each in kept("whole")] == [16 * number for number in range(len(kept("whole")))]
    assert kept("whole")[0]["shares"] == {"fewshot": 0.6, "seeds_only": 0.4}
    assert kept("whole")[2]["shares"] != kept("whole")[1]["shares"]
    found = summary("whole")
    assert found["strategy_weights"] == kept("whole")
    last = found["strategy_weights"][-1]["shares"]["fewshot"]
    (line,) = [line for line in last_lines(found, Path("whole")) if line.startswith("strategies  fewshot")]
    assert f"weight moved from 60.0 % to {100 * last:.1f} %" in line
    assert "Weights by round" in Path("whole/report.html").read_text()


@pytest.mark.slow
def test_what_a_ledger_says_of_settled_slots_is_what_the_run_counted() -> None:
    assert dispatch([*MIXED, "run.dir=a"]) == 0
    with Reader(Path("a/ledger.sqlite")) as reader:
        slots = list(settled_by_strategy(reader))
        tokens = reader.one("SELECT SUM(completion_tokens) FROM requests WHERE kind = 'generate'")
        novelty = reader.one("SELECT SUM(novelty) FROM samples WHERE origin = 'synthetic'")
        candidates = reader.one("SELECT COUNT(*) FROM candidates")
    assert sum(slot.tokens for slot in slots) == tokens
    assert sum(sum(slot.novelties) for slot in slots) == pytest.approx(novelty)
    assert sum(len(slot.novelties) for slot in slots) == candidates


@pytest.mark.slow
def test_without_adapt_the_plans_follow_the_weights_alone() -> None:
    assert dispatch([*MIXED, "run.dir=off"]) == 0
    assert dispatch([*MIXED, "run.dir=fixed", "generate.adapt=true", "generate.adapt_floor=1"]) == 0
    assert plans("off") == plans("fixed")
    assert kept("off") == [] == summary("off")["strategy_weights"]
    assert "Weights by round" not in Path("off/report.html").read_text()


@pytest.mark.slow
def test_adapt_cannot_change_on_resume(capsys: pytest.CaptureFixture[str]) -> None:
    assert dispatch([*MIXED, "run.dir=a", "budget.target=10"]) == 0
    assert dispatch(["resume", "a", "generate.adapt=true", "budget.target=20"]) == 2
    assert "  generate.adapt: False -> True\n" in capsys.readouterr().err
