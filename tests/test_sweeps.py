"""Sweeps whose runs Hydra's launchers start: in processes side by side, as jobs, or on Ray; and one that optimises."""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import pytest

from synthgen.cli import dispatch

SWEEP = ["--multirun", "experiment=smoke", "judge=none", "budget.target=4", "run.name=swept"]


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")


def swept(*words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "synthgen", "run", *SWEEP, *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=800)


def table(capsys: pytest.CaptureFixture[str], *words: str) -> list[dict[str, str]]:
    capsys.readouterr()
    assert dispatch(["runs", "runs/**", *words]) == 0
    head, *rows = (line.split() for line in capsys.readouterr().out.splitlines())
    return [dict(zip(head, row, strict=True)) for row in rows]


def installed(plugin: str) -> pytest.MarkDecorator:
    there = importlib.util.find_spec("hydra_plugins") and importlib.util.find_spec(f"hydra_plugins.{plugin}")
    return pytest.mark.skipif(not there, reason=f"{plugin} is not installed")


@pytest.mark.slow
def test_joblib_makes_runs_side_by_side_and_a_table_tells_their_values(capsys: pytest.CaptureFixture[str]) -> None:
    done = swept(
        "hydra/launcher=joblib", "hydra.launcher.n_jobs=2", "student=none", "run.seed=1,2", "engine.attempts=2,0"
    )
    assert done.returncode == 2, "two of the four have a value that is refused"
    assert sum("engine.attempts: must be 1 or more" in line for line in done.stdout.splitlines()) == 2
    assert "[0] accepted    4 of 4 samples" in done.stdout
    assert [path.name for path in Path().iterdir()] == ["runs"], "a sweep leaves its runs and nothing beside them"
    rows = table(capsys, "--sort=-run.seed")
    assert [(row["run"], row["run.seed"], row["accepted"]) for row in rows] == [
        ("runs/swept-2", "2", "4"),
        ("runs/swept-0", "1", "4"),
    ]


@pytest.mark.slow
@pytest.mark.thorough
def test_submitit_makes_jobs_and_keeps_their_output(capsys: pytest.CaptureFixture[str]) -> None:
    done = swept("hydra/launcher=submitit_local", "hydra.launcher.timeout_min=10", "student=none", "run.seed=1,2")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("the output of each run is in ")
    outputs = [path.read_text() for path in Path("sweeps").glob("*/.submitit/**/*.out")]
    assert sum("accepted    4 of 4 samples" in text for text in outputs) == 2
    assert [row["run.seed"] for row in table(capsys)] == ["1", "2"]


@installed("hydra_ray_launcher")
@pytest.mark.slow
@pytest.mark.thorough
@pytest.mark.timeout(900)
def test_ray_makes_runs_too(capsys: pytest.CaptureFixture[str]) -> None:
    ray = [f"hydra.launcher.ray.init.{word}" for word in ("num_cpus=2", "include_dashboard=false")]
    done = swept("hydra/launcher=ray", *ray, "student=none", "run.seed=1,2")
    assert done.returncode == 0, done.stderr
    assert [row["run.seed"] for row in table(capsys)] == ["1", "2"]


@installed("hydra_optuna_sweeper")
@pytest.mark.slow
@pytest.mark.thorough
def test_optuna_looks_for_the_best_student(capsys: pytest.CaptureFixture[str]) -> None:
    optuna = [
        "hydra/sweeper=optuna",
        "hydra.sweeper.direction=maximize",
        "hydra.sweeper.n_trials=3",
        "hydra.sweeper.n_jobs=1",
    ]
    done = swept(*optuna, "student=frozen", "student.label_rows=interval(0.5,10)")
    assert done.returncode == 0, done.stderr
    rows = table(capsys, "--sort=-student")
    assert len(rows) == len({row["student.label_rows"] for row in rows}) == 3
    scores = [
        json.loads(path.read_text())["student"]["synthetic"]["mean"] for path in Path().glob("runs/*/summary.json")
    ]
    assert float(rows[0]["student"]) == pytest.approx(max(scores), abs=1e-3)
