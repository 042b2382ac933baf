"""Test what the engine-efficiency benchmark makes of its measurements, and that it runs."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.efficiency.child import peak
from benchmarks.engine_efficiency import batch_full, steady

ROOT = Path(__file__).resolve().parents[2]


def test_the_first_and_the_last_answers_are_not_measured() -> None:
    slow_start = [(float(n), 1) for n in range(2)]
    even = [(10 + 0.5 * n, 10) for n in range(17)]
    slow_end = [(100.0, 1)]
    found = steady([*slow_end, *even, *slow_start])
    assert found == {"began": 10.0, "ended": 17.5, "rate": 20.0}


def test_in_flight_is_the_largest_number_of_simultaneous_requests() -> None:
    spans = [(0.0, 2.0), (1.0, 3.0), (1.5, 1.8), (2.0, 4.0)]
    assert peak([(began, ended, 1, False, b"") for began, ended in spans]) == 3


def test_a_batch_is_full_by_the_readings_of_the_steady_part() -> None:
    readings = [{"at": at, "running": running} for at, running in ((0, 1), (1, 60), (2, 57), (3, 64), (4, 64), (9, 0))]
    assert batch_full(readings, {"began": 1.0, "ended": 4.0}, full_at=58) == 0.75


@pytest.mark.timeout(240)
@pytest.mark.slow
@pytest.mark.thorough
def test_the_efficiency_benchmark_runs_against_the_stand_in_server(tmp_path: Path) -> None:
    command = [sys.executable, "benchmarks/engine_efficiency.py", "engine.server=stand_in", "model.name=x"]
    command += ["diversity=hash", "+engine.flags.delay=0.1", "+engine.flags.max-num-seqs=16", "--runs", "1"]
    out = tmp_path / "out.json"
    done = subprocess.run(
        [*command, "--candidates", "150", "--out", str(out)], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(out.read_text())
    assert 0.1 < found["efficiency"] < 1.3
    assert found["requests"] >= 150
    assert found["preemptions"] == 0
    assert 0 < found["judge_share"] < 1
    assert 0.5 < found["cached_share"] < 1
    assert "efficiency" in done.stdout
