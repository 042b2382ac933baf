"""Whole runs on a Ray cluster of several raylets, with stand-in servers in the actors."""

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from synthgen.ledger import Reader
from tests.cluster.conftest import Ring

STAND_IN = [
    "experiment=smoke", "run.dir=out", "student=none", "engine=ray", "engine.server=stand_in", "model.name=none",
    "engine.in_flight=16", "engine.flags.max-num-seqs=8", "engine.ray.cpus=0.5",
]  # fmt: skip


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def begin(*words: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "synthgen", *words]
    return subprocess.Popen(command, stdout=Path("printed").open("w"), stderr=subprocess.STDOUT, text=True)


def query(sql: str) -> list[tuple[Any, ...]]:
    with Reader(Path("out/ledger.sqlite")) as reader:
        return list(reader.rows(sql))


def wait_until(is_so: Callable[[], bool], running: subprocess.Popen[str], seconds: float = 240) -> None:
    deadline = time.monotonic() + seconds
    while not is_so():
        assert running.poll() is None, Path("printed").read_text()
        assert time.monotonic() < deadline, Path("printed").read_text()
        time.sleep(0.2)


def accepted() -> int:
    if not Path("out/ledger.sqlite").exists():
        return 0
    return int(query("SELECT COUNT(*) FROM samples WHERE origin = 'synthetic'")[0][0])


def check_nothing_lost_or_repeated(target: int) -> None:
    assert accepted() == target
    assert {state for (state,) in query("SELECT DISTINCT state FROM slots")} <= {"settled", "planned"}
    assert query("SELECT id FROM requests WHERE state = 'answered' GROUP BY id HAVING COUNT(*) > 1") == []


@pytest.mark.slow
@pytest.mark.thorough
@pytest.mark.timeout(900)
def test_a_run_on_ray_continues_while_raylets_are_killed_and_added(ring: Callable[[int], Ring]) -> None:
    cluster = ring(1)
    running = begin(
        "run", *STAND_IN, f"engine.ray.address={cluster.address}", "engine.ray.max=4", "budget.target=2500",
        "engine.flags.delay=0.25", "engine.restarts_per_hour=0",
    )  # fmt: skip
    try:
        wait_until(lambda: accepted() > 20, running, 400)
        for _ in range(10):
            before = accepted()
            cluster.grow()
            if len(cluster.workers) > 1:
                cluster.shrink()
            wait_until(lambda before=before: accepted() > before + 20, running, 400)
        assert running.wait(600) == 0, Path("printed").read_text()
    finally:
        running.kill()
    check_nothing_lost_or_repeated(2500)
    told = [json.loads(line)["kind"] for line in Path("out/events.jsonl").read_text().splitlines()]
    assert told.count("replica_down") >= 5
    assert "quarantined" not in told


@pytest.mark.slow
@pytest.mark.thorough
@pytest.mark.timeout(900)
def test_a_run_whose_head_is_lost_ends_with_4_and_is_resumed_on_another_cluster(ring: Callable[[int], Ring]) -> None:
    cluster = ring(2)
    running = begin(
        "run", *STAND_IN, f"engine.ray.address={cluster.address}", "engine.ray.min=2", "engine.ray.max=2",
        "budget.target=1500", "engine.flags.delay=0.25",
    )  # fmt: skip
    try:
        wait_until(lambda: accepted() > 20, running, 400)
        cluster.behead()
        assert running.wait(200) == 4, Path("printed").read_text()
    finally:
        running.kill()
    said = " ".join(Path("printed").read_text().split())
    assert "the Ray cluster cannot be reached any more" in said
    assert said.endswith("synthgen resume out")
    before = accepted()
    cluster.close()
    other = ring(2)
    resumed = begin(
        "resume", "out", f"engine.ray.address={other.address}", "engine.ray.min=1", f"budget.target={before + 100}"
    )
    assert resumed.wait(600) == 0, Path("printed").read_text()
    check_nothing_lost_or_repeated(before + 100)
