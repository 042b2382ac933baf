"""Whole runs on several stand-in replicas: deaths, restarts, resumes with another number, and the cached share."""

import json
import re
import socket
import urllib.request
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from synthgen.cli import dispatch
from synthgen.engines.http import fleet
from synthgen.engines.vllm import server_process, supervisor
from synthgen.ledger import Reader
from synthgen.run import metrics
from synthgen.tasks.assets import root

OWN = [
    "run", "experiment=smoke", "run.dir=out", "run.name=out", "student=none", "engine=vllm", "engine.server=stand_in",
    "model.name=none", "engine.in_flight=16", "engine.flags.delay=0.02",
]  # fmt: skip


@pytest.fixture(autouse=True)
def _impatient(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(supervisor, "_FIRST_WAIT", 0.02)
    monkeypatch.setattr(fleet, "_FIRST_WAIT", 0.1)
    monkeypatch.setattr(server_process, "_STOP_SECONDS", 1.0)


def rows(sql: str) -> list[tuple[Any, ...]]:
    with Reader(Path("out/ledger.sqlite")) as reader:
        return list(reader.rows(sql))


def told() -> Counter[str]:
    return Counter(json.loads(line)["kind"] for line in Path("out/events.jsonl").read_text().splitlines())


def summary() -> dict[str, Any]:
    return dict(json.loads(Path("out/summary.json").read_text()))


@pytest.mark.slow
def test_a_replica_that_dies_costs_nothing_and_the_run_may_go_on_with_another_number(
    capsys: pytest.CaptureFixture[str],
) -> None:
    # `book` is relative to a replica's folder, so each counts its own starts: each dies once, at its 40th answer.
    faults = "engine.flags.faults=[{kind:die,after:40,starts:1}]"
    assert dispatch([*OWN, "engine.replicas=2", "budget.target=40", faults, "engine.flags.book=book"]) == 0
    printed = " ".join(capsys.readouterr().out.split())
    assert "replicas replica 0:" in printed and "replicas replica 1:" in printed
    assert told()["engine_restart"] == 2
    assert set(rows("SELECT DISTINCT state FROM slots")) <= {("settled",), ("planned",)}
    assert rows("SELECT id FROM requests WHERE state = 'answered' GROUP BY id HAVING COUNT(*) > 1") == []
    assert {name for (name,) in rows("SELECT DISTINCT engine FROM requests WHERE engine IS NOT NULL")} == {
        "replica 0", "replica 1"
    }  # fmt: skip
    assert dispatch(["resume", "out", "engine.replicas=1", "budget.target=45"]) == 0
    assert rows("SELECT COUNT(*) FROM samples WHERE origin = 'synthetic'") == [(45,)]


@pytest.mark.slow
@pytest.mark.thorough
def test_four_replicas_cache_nearly_as_much_of_the_prompts_as_one() -> None:
    shares = []
    for count in (1, 4):
        name = f"run.dir=out{count}"
        assert (
            dispatch([*OWN, name, "budget.target=400", f"engine.replicas={count}", "engine.flags.max-num-seqs=8"]) == 0
        )
        tokens = json.loads(Path(f"out{count}/summary.json").read_text())["tokens"]
        shares.append(tokens["cached_share"])
        assert len(tokens["replicas"]) == (count if count > 1 else 0)
    assert shares[0] - shares[1] < 0.03


@pytest.mark.slow
def test_one_server_stays_one_server_without_replicas_in_its_ledger() -> None:
    assert dispatch([*OWN, "budget.target=20"]) == 0
    assert Path("out/engine.log").exists()
    assert not Path("out/replicas").exists()
    assert summary()["tokens"]["replicas"] == {}


# -- metrics ---------------------------------------------------------------------------------------


def names_on(page: str) -> set[str]:
    return {line.split()[2] for line in page.splitlines() if line.startswith("# TYPE")}


@pytest.mark.slow
def test_a_run_serves_its_figures_and_the_dashboard_asks_for_no_other(
    unused_tcp_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    pages: list[str] = []
    update = metrics.Metrics.update

    def look(self: metrics.Metrics, tokens: Any) -> None:
        update(self, tokens)
        if len(pages) < 12:
            with urllib.request.urlopen(f"http://127.0.0.1:{unused_tcp_port}/metrics") as answer:
                pages.append(answer.read().decode())

    monkeypatch.setattr(metrics.Metrics, "update", look)
    assert dispatch([*OWN, "engine.replicas=2", "budget.target=60", f"metrics.port={unused_tcp_port}"]) == 0
    last = pages[-1]
    assert 'synthgen_target{run="out"} 60.0' in last
    assert 'synthgen_replica_state{replica="replica 1",run="out",state="up"} 1.0' in last
    assert 'synthgen_tokens_total{kind="prompt",replica="replica 0",run="out"}' in last
    dashboard = json.loads((root() / "docs/grafana.json").read_text())
    asked = {target["expr"] for panel in dashboard["panels"] for target in panel["targets"]}
    served = {name.removesuffix("_total") for name in names_on(last)} | {"synthgen_cost_usd"}
    used = {word for expr in asked for word in _metric_names(expr)}
    assert used == served


def _metric_names(expr: str) -> set[str]:
    return {name.removesuffix("_total") for name in re.findall(r"synthgen_\w+", expr)}


@pytest.mark.slow
def test_a_port_that_is_taken_or_makes_no_sense_is_named(
    unused_tcp_port: int, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.create_server(("127.0.0.1", unused_tcp_port)):
        words = ["run", "experiment=smoke", "run.dir=taken", "student=none", "budget.target=5"]
        assert dispatch([*words, f"metrics.port={unused_tcp_port}"]) == 2
    assert f"metrics.port: {unused_tcp_port} cannot be used" in " ".join(capsys.readouterr().err.split())
    assert dispatch([*words, "metrics.port=70000"]) == 2
    assert "metrics.port: must be from 1 to 65535, or null, got 70000" in capsys.readouterr().err
