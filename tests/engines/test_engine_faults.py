"""Whole runs while the engine misbehaves: the target is reached, no slot is burned, and where it cannot be, exit code 4.

`engine=vllm` here starts the stand-in server as it would start vLLM; `engine=openai` is pointed at stand-ins.
"""

import json
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from synthgen.cli import dispatch
from synthgen.engines.http import fleet
from synthgen.engines.vllm import server_process, supervisor
from synthgen.ledger import Reader

if TYPE_CHECKING:
    from tests.llm.conftest import StartServer

TARGET = 40
SMOKE = ["run", "experiment=smoke", "run.dir=out", f"budget.target={TARGET}", "engine.in_flight=32"]
OWN = [
    *SMOKE, "engine=vllm", "engine.server=stand_in", "model.name=none", "+engine.flags.book=book",
    "+engine.flags.delay=0.02", "engine.timeout=20", "engine.stall_seconds=20", "engine.patience=20",
]  # fmt: skip


@pytest.fixture(autouse=True)
def _impatient(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(supervisor, "_FIRST_WAIT", 0.02)
    monkeypatch.setattr(fleet, "_FIRST_WAIT", 0.1)
    monkeypatch.setattr(server_process, "_STOP_SECONDS", 1.0)


def faults(*faults: dict[str, Any]) -> str:
    listed = ",".join("{" + ",".join(f"{key}:{value}" for key, value in fault.items()) + "}" for fault in faults)
    return f"+engine.flags.faults=[{listed}]"


def query(sql: str) -> list[tuple[Any, ...]]:
    with Reader(Path("out/ledger.sqlite")) as reader:
        return list(reader.rows(sql))


def accepted() -> int:
    return int(query("SELECT COUNT(*) FROM samples WHERE origin = 'synthetic'")[0][0])


def slots() -> dict[str, int]:
    return dict(query("SELECT state, COUNT(*) FROM slots WHERE state != 'planned' GROUP BY state"))


def told() -> Counter[str]:
    return Counter(json.loads(line)["kind"] for line in Path("out/events.jsonl").read_text().splitlines())


def why(kind: str) -> str:
    events = map(json.loads, Path("out/events.jsonl").read_text().splitlines())
    return str(next(event["why"] for event in events if event["kind"] == kind))


def unwrapped(capsys: pytest.CaptureFixture[str]) -> str:
    """Return what was printed, whatever the width of the terminal."""
    printed = capsys.readouterr()
    return " ".join((printed.err + printed.out).split())


# -- a server of the run's own ---------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize(
    ("fault", "limit", "reason"),
    [
        ("die", "engine.timeout=20", "the vLLM server died"),
        ("stall", "engine.stall_seconds=1.5", "had work and made no token for 1.5 s"),
        ("status", "engine.patience=1", "no endpoint answers"),
    ],
)
def test_a_server_that_fails_is_restarted_and_no_slot_is_lost(fault: str, limit: str, reason: str) -> None:
    assert dispatch([*OWN, limit, faults({"kind": fault, "after": 60, "starts": 1})]) == 0
    assert accepted() == TARGET
    assert slots().keys() == {"settled"}
    assert told()["engine_restart"] == 1
    assert reason in why("engine_restart")


@pytest.mark.parametrize(
    "passing",
    [
        [{"kind": "hang", "after": 20, "count": 6}],
        [{"kind": "status", "after": 20, "count": 4}],  # fewer than are in flight: no request fails all its attempts
        [{"kind": kind, "share": 0.07} for kind in ("reset", "truncated", "status")],
        [{"kind": "drip", "after": 20, "count": 6}, {"kind": "busy", "value": 0.2, "after": 30, "count": 3}],
    ],
    ids=lambda passing: " ".join(fault["kind"] for fault in passing),
)
@pytest.mark.slow
def test_a_passing_fault_costs_neither_a_restart_nor_a_slot(passing: list[dict[str, Any]]) -> None:
    assert (
        dispatch([*OWN, faults(*passing), "engine.timeout=3", "engine.attempts=6"]) == 0
    )  # a fifth of all answers fail
    assert accepted() == TARGET
    assert slots().keys() == {"settled"}
    assert told()["engine_restart"] == 0


@pytest.mark.slow
def test_a_few_answers_with_nan_logprobs_are_asked_for_again() -> None:
    assert dispatch([*OWN, faults({"kind": "nan_logprobs", "share": 0.05})]) == 0
    again = query("SELECT COUNT(*) FROM requests WHERE id LIKE '%/again1' AND state = 'answered'")
    asked = query("SELECT COUNT(*) FROM requests WHERE id NOT LIKE '%/generate' AND id NOT LIKE '%/again1'")
    assert 0 < again[0][0] <= 0.2 * asked[0][0]
    assert accepted() == TARGET
    assert told()["engine_restart"] == 0


@pytest.mark.slow
def test_a_candidate_that_kills_its_judge_is_quarantined_with_its_text_and_the_run_continues() -> None:
    assert dispatch(OWN) == 0
    text = json.loads(query("SELECT data FROM samples WHERE slot BETWEEN 0 AND 15 LIMIT 1")[0][0])["text"]
    word = max(text.split(), key=len)
    Path("out").rename("healthy")
    assert dispatch([*OWN, faults({"kind": "poison", "value": word})]) == 0
    assert accepted() == TARGET
    assert (told()["engine_restart"], told()["quarantined"]) == (2, 1)
    ((name, messages),) = query("SELECT id, messages FROM requests WHERE error LIKE 'PoisonError%'")
    bodies = dict(query("SELECT id, body FROM texts"))
    assert any(word in bodies[body] for body in json.loads(messages))
    assert name.split("/")[1] == "label"
    with Reader(Path("out/ledger.sqlite")) as reader:  # what a later session would know
        assert (reader.quarantined(0), reader.deaths(0)) == ({name}, {name: 1})
    assert query("SELECT COUNT(*) FROM candidates WHERE reason = 'unscored'") == [(1,)]


@pytest.mark.slow
def test_a_server_that_always_dies_is_exit_code_4_within_its_budget_and_a_resume_continues(
    capsys: pytest.CaptureFixture[str],
) -> None:
    fault = {"kind": "die", "after": 25, "starts": 3}
    assert dispatch([*OWN, faults(fault), "engine.restarts_per_hour=2"]) == 4
    assert told()["engine_restart"] == 2
    assert accepted() < TARGET
    closing = unwrapped(capsys)
    assert "after 2 restarts within the hour: the vLLM server died" in closing
    assert closing.endswith("synthgen resume out")
    assert dispatch(["resume", "out"]) == 0
    assert accepted() == TARGET


@pytest.mark.slow
def test_out_of_memory_at_start_is_reported_and_the_run_continues() -> None:
    assert dispatch([*OWN, faults({"kind": "oom", "value": 32})]) == 0
    assert why("engine_memory").endswith("starting again with max-num-seqs 32 instead of 64")


@pytest.mark.slow
def test_a_taken_port_at_start_is_replaced_by_another() -> None:
    assert dispatch([*OWN, faults({"kind": "port_taken", "starts": 2})]) == 0
    assert told()["engine_port"] == 2


# -- endpoints -------------------------------------------------------------------------------------


def at(*urls: str, patience: float = 3) -> list[str]:
    listed = ",".join(urls)
    return [
        *SMOKE, "engine=openai", f"engine.urls=[{listed}]", "engine.model=m", "engine.timeout=10",
        f"engine.patience={patience}",
    ]  # fmt: skip


@pytest.mark.parametrize("fault", ["die", "model"])
@pytest.mark.slow
def test_the_work_of_an_endpoint_that_fails_is_done_by_the_other(fault: str, stand_in: "StartServer") -> None:
    bad, good = stand_in({"kind": fault, "after": 60}, delay=0.02), stand_in(delay=0.02)
    assert dispatch(at(bad.url, good.url)) == 0
    assert accepted() == TARGET
    assert slots().keys() == {"settled"}
    assert told()["endpoint_down"] == 1
    shares = dict(query("SELECT engine, COUNT(*) FROM requests WHERE state = 'answered' GROUP BY engine"))
    assert shares[good.url] > shares[bad.url] > 0


@pytest.mark.slow
def test_when_all_endpoints_are_gone_the_run_waits_then_ends_with_4_and_a_resume_continues(
    stand_in: "StartServer", capsys: pytest.CaptureFixture[str]
) -> None:
    server = stand_in({"kind": "die", "after": 60}, delay=0.02)
    assert dispatch(at(server.url, patience=0.5)) == 4
    assert "failed" not in slots()
    closing = unwrapped(capsys)
    assert f"no endpoint answers: {server.url}: Cannot connect" in closing
    assert closing.endswith("synthgen resume out")
    stand_in(port=server.url.split(":")[2].split("/")[0])
    assert dispatch(["resume", "out"]) == 0
    assert accepted() == TARGET


@pytest.mark.slow
def test_an_endpoint_that_never_gives_logprobs_is_judged_by_counting_answers(
    stand_in: "StartServer", capsys: pytest.CaptureFixture[str]
) -> None:
    server = stand_in({"kind": "no_logprobs"})
    assert dispatch([*at(server.url, patience=60), "judge.votes=2"]) == 0
    assert "the judge counts answers, which is coarser" in unwrapped(capsys)
    assert query("SELECT COUNT(*) FROM requests WHERE id LIKE '%/vote1'")[0][0] > 0
