"""Real servers that speak OpenAI's chat API, used with `engine=openai` and no setting but address and model."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

from synthgen.engines.vllm.options import vllm_build
from synthgen.tasks.assets import root

pytestmark = pytest.mark.timeout(1200)


def row_for(server: str, out: Path) -> str:
    """Return the script's table row for a run of a few samples. The script checks that the labels are balanced."""
    command = [sys.executable, "scripts/real_endpoints.py", server, "--target", "8", "--out", str(out)]
    done = subprocess.run(command, cwd=root(), capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.splitlines()[-1]


@pytest.mark.vllm
@pytest.mark.skipif(vllm_build() is None, reason="vLLM is not installed")
@pytest.mark.thorough
def test_vllm_started_by_hand_serves_a_run(tmp_path: Path) -> None:
    row = row_for("vllm", tmp_path)
    assert "JSON Schemas as structured_outputs; choices as structured_outputs; 20 logprobs" in row
    assert "2 business, 2 science, 2 sport, 2 world" in row


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("llama_cpp") is None, reason="llama-cpp-python[server] is not installed")
def test_llama_cpp_python_serves_a_run_from_the_bundled_gguf_file(tmp_path: Path) -> None:
    row = row_for("llama_cpp", tmp_path)
    assert "response_format json_object with a schema; choices as a grammar" in row
    assert "2 business, 2 science, 2 sport, 2 world" in row
