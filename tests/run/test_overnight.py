"""The script for the night: goes on after a failed engine, and after nothing else."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from synthgen.tasks.assets import root

SCRIPT = root() / "scripts" / "overnight.sh"


def overnight(folder: Path, *overrides: str, tries: int = 3) -> "subprocess.CompletedProcess[str]":
    binaries = folder / "bin"
    binaries.mkdir()
    (binaries / "synthgen").write_text(f'#!/bin/sh\nexec {sys.executable} -m synthgen "$@"\n')
    (binaries / "synthgen").chmod(0o755)
    env = {**os.environ, "PATH": f"{binaries}:{os.environ['PATH']}", "WAIT": "0", "TRIES": str(tries)}
    command = [str(SCRIPT), "experiment=smoke", *overrides]
    return subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True)


@pytest.mark.skipif(not SCRIPT.exists(), reason="no clone: scripts are not part of the wheel")
@pytest.mark.slow
def test_a_failed_engine_is_waited_for(tmp_path: Path) -> None:
    done = overnight(tmp_path, "engine.dies_after=150", "run.name=night one")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "waiting 0 s, then running: synthgen resume 'runs/night one' (2 more tries after this one)" in done.stdout
    assert (tmp_path / "runs/night one/dataset/train.jsonl").exists()


@pytest.mark.skipif(not SCRIPT.exists(), reason="no clone: scripts are not part of the wheel")
@pytest.mark.slow
def test_the_script_gives_up_when_the_engine_never_comes_back(tmp_path: Path) -> None:
    done = overnight(tmp_path, "engine.dies_after=0", tries=1)
    assert done.returncode == 4
    assert done.stdout.count("waiting 0 s, then running: synthgen resume") == 1
    assert done.stdout.splitlines()[-1] == "synthgen resume runs/smoke"


@pytest.mark.skipif(not SCRIPT.exists(), reason="no clone: scripts are not part of the wheel")
@pytest.mark.slow
def test_a_run_that_ended_otherwise_is_not_resumed(tmp_path: Path) -> None:
    done = overnight(tmp_path, "budget.candidates=10")
    assert done.returncode == 3
    assert "tries left" not in done.stdout
