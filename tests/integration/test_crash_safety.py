"""The crash benchmark in its short form: a few kills at random and at named points, and one of each other fault."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def injected(folder: Path, *options: str) -> dict[str, int]:
    out = folder / "figures.json"
    command = [sys.executable, str(ROOT / "benchmarks/crash_safety.py"), "--out", str(out), "--keep", str(folder)]
    done = subprocess.run([*command, *options], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    found: dict[str, int] = json.loads(out.read_text())
    return found


@pytest.mark.timeout(600)
@pytest.mark.slow
def test_kills_lose_nothing_and_repeat_nothing(tmp_path: Path) -> None:
    found = injected(tmp_path, "--kills", "10", "--times", "0", "--served", "0", "--trained", "0", "--vllm-kills", "0")
    assert found["kills"] == found["resumed"] == 10
    assert found["lost"] == found["repeated"] == 0


@pytest.mark.timeout(600)
@pytest.mark.slow
@pytest.mark.thorough
def test_a_run_comes_back_from_full_disks_torn_pages_and_signals(tmp_path: Path) -> None:
    found = injected(tmp_path, "--kills", "0", "--times", "1", "--served", "0", "--trained", "0", "--vllm-kills", "0")
    assert found["faults"] == found["resumed"] >= 10
    assert found["lost"] == found["repeated"] == 0


@pytest.mark.timeout(600)
@pytest.mark.slow
@pytest.mark.thorough
def test_a_run_comes_through_the_faults_of_its_server(tmp_path: Path) -> None:
    few = "dies by|stalls|reset|wrong model|NaN|out of memory|for good"  # the others have tests of their own
    found = injected(
        tmp_path, "--kills", "0", "--times", "0", "--served", "1", "--trained", "0", "--vllm-kills", "0", "--only", few
    )
    assert found["faults"] == found["resumed"] == 7
    assert found["lost"] == found["repeated"] == 0
