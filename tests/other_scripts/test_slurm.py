"""The Slurm scripts, with a fake `sbatch` that warns with SIGUSR1, kills, and starts again what asks for it."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from synthgen.ledger import Reader
from synthgen.tasks.assets import root

SMOKE = ["experiment=smoke", "student=none", "engine.delay=0.05", "engine.in_flight=8"]


@pytest.fixture(autouse=True)
def _cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The commands that the scripts call: the program, and Slurm's scontrol, which writes down what it is asked."""
    monkeypatch.chdir(tmp_path)
    write("synthgen", f'exec "{sys.executable}" -m synthgen "$@"')
    write("scontrol", 'if [ "$1" = show ]; then printf "node1\\nnode2\\n"; else echo "$*" >> asked; fi')
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")


def write(name: str, line: str) -> None:
    Path("bin").mkdir(exist_ok=True)
    path = Path("bin") / name
    path.write_text(f"#!/usr/bin/env bash\n{line}\n")
    path.chmod(0o755)


def asked() -> list[str]:
    return Path("asked").read_text().splitlines() if Path("asked").exists() else []


def accepted(folder: str) -> int:
    if not (Path(folder) / "ledger.sqlite").exists():
        return 0
    with Reader(Path(folder) / "ledger.sqlite") as reader:
        return int(reader.one("SELECT COUNT(*) FROM samples WHERE origin = 'synthetic'"))


def sbatch(script: str, *words: str, **environment: str) -> subprocess.Popen[bytes]:
    command = ["bash", str(root() / "scripts/slurm" / script), *words]
    env = {**os.environ, "SLURM_JOB_ID": "17", **environment}
    return subprocess.Popen(command, env=env, stdout=Path("job.out").open("ab"), stderr=2, start_new_session=True)


@pytest.mark.slow
@pytest.mark.thorough
def test_a_job_at_its_time_limit_drains_and_is_queued_again_and_a_killed_one_is_resumed() -> None:
    def job(restart: int) -> subprocess.Popen[bytes]:
        return sbatch("run.sbatch", "out", *SMOKE, "budget.target=300", SLURM_RESTART_COUNT=str(restart))

    def until(number: int) -> None:
        while accepted("out") < number:
            time.sleep(0.1)

    first = job(0)
    until(20)
    os.kill(first.pid, signal.SIGUSR1)  # B: in --signal means the shell of the job alone
    assert first.wait(60) == 0
    assert asked() == ["requeue 17"]
    second = job(1)
    until(accepted("out") + 20)
    os.killpg(second.pid, signal.SIGKILL)  # the node is lost; Slurm itself queues the job again
    second.wait(60)
    assert job(2).wait(200) == 0
    assert accepted("out") == 300
    assert asked() == ["requeue 17"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("code", "restarts", "again"), [(5, "9", True), (4, "0", True), (4, "5", False), (3, "0", False)]
)
def test_only_what_a_new_job_can_mend_is_queued_again(code: int, restarts: str, again: bool) -> None:
    write("synthgen", f'echo "$*" >> called; exit {code}')
    job = sbatch("run.sbatch", "runs/out", "task=x", SLURM_RESTART_COUNT=restarts, SLURM_ARRAY_TASK_ID="3")
    assert job.wait(30) == (0 if again else code)
    assert asked() == (["requeue 17"] if again else [])
    assert Path("called").read_text().split() == ["run", "run.dir=runs/out-3", "run.name=out-3", "task=x", "run.seed=3"]


@pytest.mark.slow
def test_ray_is_started_on_every_node_before_the_run() -> None:
    write("ray", 'echo "ray $*" >> called')
    write("srun", 'while [ "$1" != ray ]; do shift; done; exec "$@"')
    write("synthgen", 'echo "synthgen $*" >> called')
    job = sbatch(
        "ray.sbatch", "out", "task=x", HEAD_SECONDS="0.5", SLURM_JOB_NUM_NODES="2", SLURM_GPUS_ON_NODE="4",
        SLURM_JOB_NODELIST="node[1-2]", SLURM_RESTART_COUNT="0",
    )  # fmt: skip
    assert job.wait(30) == 0
    deadline = time.monotonic() + 30
    while len(called := Path("called").read_text().splitlines()) < 3 and time.monotonic() < deadline:
        time.sleep(0.02)  # the other node starts beside the run
    first, *others = called
    assert first.startswith("ray start --head --port=6379")
    assert "ray start --address=node1:6379 --block" in others
    run = "synthgen run run.dir=out run.name=out engine=ray engine.ray.address=node1:6379 engine.ray.max=8 task=x"
    assert run in others
