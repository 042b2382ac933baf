"""Two replicas of the real vLLM, on one core each."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from synthgen.engines.vllm.options import vllm_build
from synthgen.ledger import Reader

pytestmark = [
    pytest.mark.vllm,
    pytest.mark.slow,
    pytest.mark.thorough,
    pytest.mark.timeout(1800),
    pytest.mark.skipif(vllm_build() != "cpu", reason="the CPU build of vLLM is not installed"),
    pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="two replicas need two cores"),
]
TARGET = 16


def test_two_replicas_of_one_core_each_fill_one_run(tmp_path: Path) -> None:
    words = [
        "run", "task=voice_intent", "run.dir=run", f"budget.target={TARGET}", "generate.group=4", "student=none",
        "judge=none", "engine.replicas=2", "engine.in_flight=8", "engine.cpu_env.VLLM_CPU_KVCACHE_SPACE=1",
    ]  # fmt: skip
    done = subprocess.run([sys.executable, "-m", "synthgen", *words], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    tokens = json.loads((tmp_path / "run/summary.json").read_text())["tokens"]
    assert tokens["replicas"].keys() == {"replica 0", "replica 1"}
    assert all(one["requests"] for one in tokens["replicas"].values())
    with Reader(tmp_path / "run/ledger.sqlite") as reader:
        assert reader.one("SELECT COUNT(*) FROM samples WHERE origin = 'synthetic'") == TARGET
