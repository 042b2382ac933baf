"""The benchmark of balance, in its smallest form."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "benchmarks/balance.py"


@pytest.mark.slow
@pytest.mark.thorough
def test_labels_are_even_after_a_run_a_resume_and_a_fork(tmp_path: Path) -> None:
    out = tmp_path / "figures.json"
    command = [sys.executable, str(SCRIPT), "--labels", "3", "--targets", "20", "--out", str(out)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(out.read_text())
    assert found["most_off"] == 0
    for name, total in (("run", 20), ("resumed", 30), ("forked", 50)):
        assert found[f"3.20.{name}.least"] == total // 3
        assert found[f"3.20.{name}.most"] == -(-total // 3)
        assert found[f"3.20.{name}.generations"] > 1
