"""Runs whose slots take several requests: a resume in the middle of a chain, and a chain that dies."""

import json
from pathlib import Path
from typing import Any

import pytest

from synthgen.cli import dispatch
from synthgen.ledger import Reader

CASES = {"converse": "dialogue", "prefer": "preference", "magpie": "instruction", "reason": "instruction"}
SETTINGS = ["diversity=hash", "student=none", "budget.target=12", "budget.candidates=60", "engine.in_flight=6",
            "judge=none", "generate.reason.agreement=0.1", "filters.truncation=false"]  # fmt: skip


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def run(strategy: str, folder: str, *more: str) -> int:
    task = [f"task={CASES[strategy]}", "task.checks=null"] if strategy == "prefer" else [f"task={CASES[strategy]}"]
    return dispatch(["run", "engine=replay", f"generate={strategy}", *task, *SETTINGS, f"run.dir={folder}", *more])


def query(folder: str, sql: str) -> list[tuple[Any, ...]]:
    with Reader(Path(folder) / "ledger.sqlite") as reader:
        return list(reader.rows(sql))


@pytest.mark.slow
@pytest.mark.parametrize(
    "strategy",
    [
        "converse",
        *(
            pytest.param(name, marks=[pytest.mark.slow, pytest.mark.thorough])
            for name in ("magpie", "prefer", "reason")
        ),
    ],
)
def test_a_run_stopped_in_the_middle_of_chains_is_resumed_to_the_same_dataset(strategy: str) -> None:
    assert run(strategy, "whole") == 0
    assert run(strategy, "cut", "engine.dies_after=19") == 4
    answered = "SELECT id, attempt FROM requests WHERE state = 'answered' AND slot >= 0"
    before = dict(query("cut", answered))
    unsettled = {slot for (slot,) in query("cut", "SELECT slot FROM slots WHERE state = 'planned'")}
    assert any(int(name.split("/")[0]) in unsettled for name in before)
    codes = [dispatch(["resume", "cut"])]
    while codes[-1] == 4:  # it dies again after as many answers
        codes.append(dispatch(["resume", "cut"]))
    assert codes[-1] == 0
    after = query("cut", answered)
    assert len(after) == len({name for name, _ in after})  # no request was answered twice
    assert before.items() <= dict(after).items()
    for table in ("slots", "samples"):
        columns = "slot, strategy, parents, given" + (", id, quality" if table == "samples" else "")
        assert query("cut", f"SELECT {columns} FROM {table} ORDER BY slot") == query(
            "whole", f"SELECT {columns} FROM {table} ORDER BY slot"
        )
    for name in ("train.jsonl", "validation.jsonl"):
        assert Path("cut/dataset", name).read_bytes() == Path("whole/dataset", name).read_bytes()


@pytest.mark.slow
def test_the_lineage_of_a_sample_says_how_it_was_made() -> None:
    assert run("converse", "a") == 0
    rows = [json.loads(line) for line in Path("a/dataset/meta/lineage.jsonl").read_text().splitlines()]
    made = [row for row in rows if row["strategy"] == "converse"]
    assert made
    assert all({"goal", "most_turns", "ended"} <= row["given"].keys() and row["parents"] for row in made)


@pytest.mark.slow
def test_a_chain_that_dies_costs_only_its_slot() -> None:
    assert run("converse", "a", "engine.failing=0.2", "engine.attempts=1") == 0
    failed = query("a", "SELECT slot FROM slots WHERE state = 'failed'")
    assert failed
    assert query("a", "SELECT COUNT(*) FROM samples WHERE origin = 'synthetic'") == [(12,)]
    chains = query("a", "SELECT COUNT(*) FROM requests WHERE slot IN (SELECT slot FROM slots WHERE state = 'failed')")
    assert chains[0][0] > len(failed)  # some died after their first request


@pytest.mark.slow
def test_the_ledger_keeps_that_a_request_continues_a_turn() -> None:
    assert run("magpie", "a") == 0
    specs = query(
        "a", "SELECT r.kind, t.body FROM requests r JOIN texts t ON t.id = r.spec WHERE r.kind LIKE 'generate%'"
    )
    continued = {kind: json.loads(body).get("continues", False) for kind, body in specs}
    assert continued == {"generate-instruction": True, "generate-answer": False}


@pytest.mark.slow
def test_one_run_mixes_chains_with_single_requests() -> None:
    assert run("converse", "a", "generate.strategies={fewshot: 0.5, converse: 0.5}") == 0
    assert {name for (name,) in query("a", "SELECT DISTINCT s.strategy FROM candidates JOIN slots s USING (slot)")} == {
        "converse", "fewshot",
    }  # fmt: skip
