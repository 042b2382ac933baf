"""Students that several workers train together, with gloo on the CPU: the same training as in one process."""

import json
import os
import shutil
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from shipped_tasks import shipped

from synthgen.errors import ConfigError, WorkersError
from synthgen.student import ClassifierConfig, GeneratorConfig, PreferenceConfig, StudentConfig, TaggerConfig, kinds
from synthgen.student.clock import Clock
from synthgen.student.learner import Experiment
from synthgen.student.plan import Probe, TrainingFolders
from synthgen.student.rows import as_rows
from synthgen.student.work import Work
from synthgen.student.workers.config import count_of
from synthgen.student.workers.job import Job, spawned
from synthgen.student.workers.together import WorkerTraining, workers_for
from synthgen.tasks.seeds import read_samples
from synthgen.tasks.task import Task

STEPS = 6
SMALL = {"min_steps": STEPS, "epochs": 0.1, "batch_size": 4, "learning_rate": 1e-3}
WRITER = {**SMALL, "learning_rate": 1e-2, "rank": 4, "dropout": 0.0, "max_length": 128}
NAMES = ["Ann", "Bo Lee", "Cy", "Dee Ray", "Eve", "Flo"]
SPANS = [{"text": f"Please give {thing} to {name}.", "who": name, "tags": [thing]}
         for thing in ("the keys", "a lamp", "the old radio") for name in NAMES]  # fmt: skip


@pytest.fixture(autouse=True)
def _one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")  # threads that wait for each other make tiny models slow


@pytest.fixture(scope="module")
def encoder(tiny_encoders: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> str:
    """An encoder without dropout, because the random numbers of two workers are not those of one process."""
    folder = tmp_path_factory.mktemp("steady") / "bert"
    shutil.copytree(tiny_encoders["bert"], folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(
        json.dumps(config | {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0})
    )
    return str(folder)


class Training:
    """One training of a student, which may be done in this process or by workers."""

    def __init__(self, task: Task, rows: Sequence[dict[str, Any]], cfg: StudentConfig, folder: Path) -> None:
        kind = kinds.choose(task, cfg, rows, lambda _: None)
        self.said: list[str] = []
        self.learner = kinds.build(kind, task, cfg, self.said.append)
        self.rows = as_rows(task, rows)
        work = Work(folder / "student", 0.0, self.said.append)
        work.open({})
        together = workers_for(kind, task, cfg, self.said.append, folder / "workers.log")
        self.clock = Clock()
        self.experiment = Experiment(self.learner, cfg, [], 3, work, self.said.append, self.clock, together)
        self.checkpoints = folder / ".student.work" / "one"

    def run(self, steps: int = STEPS) -> tuple[list[tuple[int, list[float]]], dict[str, Any]]:
        """Train; return the held-out losses and the student's weights."""
        probe = Probe(self.rows[:5], every=steps // 3, last=steps)
        student = self.experiment.fit(
            self.rows[5:], self.experiment.plan(steps), self.experiment.place("one", "none"), probe
        )
        return probe.losses, student.model.state_dict()


def check_same(task: Task, rows: Sequence[dict[str, Any]], cfg: Callable[[str], StudentConfig], folder: Path) -> None:
    """Assert that two workers have the loss curve and the weights of one process."""
    curves, weights = zip(
        *(Training(task, rows, cfg(count), folder / count).run() for count in ("1", "2")), strict=True
    )
    assert [step for step, _ in curves[0]] == [2, 4, 6]
    ours, theirs = (np.asarray([losses for _, losses in curve]) for curve in curves)
    assert ours.mean(1)[0] != pytest.approx(ours.mean(1)[-1], rel=1e-4), "it learns"
    np.testing.assert_allclose(theirs, ours, rtol=2e-3)
    for name, tensor in weights[0].items():
        np.testing.assert_allclose(weights[1][name].numpy(), tensor.numpy(), atol=1e-3, err_msg=name)


def classifier(encoder: str, workers: str, **more: Any) -> StudentConfig:
    return StudentConfig(workers=workers, classifier=ClassifierConfig(model=encoder, head="random", **SMALL), **more)


@pytest.mark.slow
def test_two_workers_have_the_loss_curve_of_one_process(
    news_task: Task, news_rows: list[dict[str, Any]], encoder: str, tmp_path: Path
) -> None:
    check_same(news_task, news_rows, lambda count: classifier(encoder, count), tmp_path)
    assert not (tmp_path / "2/.student.work/one/events.jsonl").exists()


@pytest.mark.slow
@pytest.mark.thorough
def test_two_workers_train_a_tagger_with_the_loss_curve_of_one_process(
    pairs_task: Task, encoder: str, tmp_path: Path
) -> None:
    cfg = TaggerConfig(model=encoder, **SMALL)
    check_same(pairs_task, SPANS, lambda count: StudentConfig(workers=count, tagger=cfg), tmp_path)


@pytest.mark.slow
@pytest.mark.thorough
def test_two_workers_train_a_generator_with_the_loss_curve_of_one_process(
    instruction_task: Task, instruction_rows: list[dict[str, Any]], tiny_generator: Path, tmp_path: Path
) -> None:
    cfg = GeneratorConfig(model=str(tiny_generator), **WRITER)
    check_same(instruction_task, instruction_rows, lambda count: StudentConfig(workers=count, generator=cfg), tmp_path)


@pytest.mark.slow
@pytest.mark.thorough
def test_two_workers_train_on_preferences_with_the_loss_curve_of_one_process(
    tiny_generator: Path, tmp_path: Path
) -> None:
    task, cfg = shipped("preference"), PreferenceConfig(model=str(tiny_generator), **WRITER)
    rows = read_samples(task.seeds, task, "seed")
    check_same(task, rows, lambda count: StudentConfig(workers=count, preference=cfg), tmp_path)


def sharded(rank: int, job: Job, size: int, rendezvous: str) -> None:
    """Train with FSDP on a CPU, which torch can and accelerate does not offer."""
    from accelerate.state import AcceleratorState, PartialState
    from accelerate.utils import DistributedType

    made = AcceleratorState.__init__

    def init(self: Any, *args: Any, fsdp_plugin: Any = None, **more: Any) -> None:
        made(self, *args, fsdp_plugin=fsdp_plugin, **more)
        if fsdp_plugin is not None:
            self.distributed_type = PartialState._shared_state["distributed_type"] = DistributedType.FSDP
            self.fsdp_plugin = fsdp_plugin

    setattr(AcceleratorState, "__init__", init)  # noqa: B010
    spawned(rank, job, size, rendezvous, False)


@pytest.mark.slow
@pytest.mark.thorough
@pytest.mark.parametrize("stopped", [False, True])
def test_a_model_that_is_divided_among_the_workers_learns_the_same(
    stopped: bool, instruction_task: Task, instruction_rows: list[dict[str, Any]], tiny_generator: Path, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """Each worker holds half of every weight. A stopped training goes on from its checkpoint, which holds the whole."""
    from torch.multiprocessing import start_processes

    def follow(_: WorkerTraining, job: Job, place: TrainingFolders, events: Path) -> None:
        for limit in [0.0, job.seconds] if stopped else [job.seconds]:
            started = replace(job, seconds=limit)  # without time, a training makes one step
            rendezvous = str(tmp_path / f"rendezvous-{limit}")
            start_processes(sharded, (started, 2, rendezvous), nprocs=2, start_method="spawn")

    monkeypatch.setattr(WorkerTraining, "_follow", follow)
    cfg = GeneratorConfig(model=str(tiny_generator), **WRITER)
    check_same(
        instruction_task, instruction_rows,
        lambda count: StudentConfig(workers=count, generator=cfg, fsdp=count == "2"), tmp_path,
    )  # fmt: skip


@pytest.mark.slow
@pytest.mark.thorough
@pytest.mark.timeout(900)
def test_ray_train_places_the_workers(
    news_task: Task, news_rows: list[dict[str, Any]], encoder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("ray.train")
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    check_same(
        news_task, news_rows,
        lambda count: classifier(encoder, count, launcher="ray" if count == "2" else "processes"), tmp_path,
    )  # fmt: skip


def workers_of(process: int) -> list[int]:
    """Return the ids of all descendants of a process, the newest last."""
    return sorted(child.pid for child in psutil.Process(process).children(recursive=True))


@pytest.mark.slow
@pytest.mark.thorough
@pytest.mark.parametrize("how", ["a worker dies", "a signal comes"])
def test_a_training_whose_workers_end_continues_from_its_checkpoint(
    how: str, news_task: Task, news_rows: list[dict[str, Any]], encoder: str, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """It is disturbed after its third step, when there is a checkpoint."""
    many = 60  # so that it is not over before this process hears of the third step
    training = Training(news_task, news_rows, classifier(encoder, "2"), tmp_path / "2")
    stepped = training.clock.stepped

    def disturb(step: int, steps: int) -> None:
        stepped(step, steps)
        if step == 3:
            process = workers_of(os.getpid())[-1] if how == "a worker dies" else os.getpid()
            os.kill(process, signal.SIGKILL if how == "a worker dies" else signal.SIGINT)

    monkeypatch.setattr(training.clock, "stepped", disturb)
    expected = WorkersError if how == "a worker dies" else KeyboardInterrupt
    with pytest.raises(expected) as raised:
        training.run(many)
    if how == "a worker dies":
        assert "student.workers: worker 1 was ended by SIGKILL; the end of " in str(raised.value)
        assert str(raised.value).endswith("The training keeps its last checkpoint, from which the next one continues")
    deadline = time.monotonic() + 20
    while workers_of(os.getpid()) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert workers_of(os.getpid()) == []
    assert list(training.checkpoints.glob("step-*"))
    again = Training(news_task, news_rows, classifier(encoder, "2"), tmp_path / "2")
    curve, _ = again.run(many)
    assert any(line.startswith("  continues from step ") for line in again.said)
    uninterrupted, _ = Training(news_task, news_rows, classifier(encoder, "1"), tmp_path / "1").run(many)
    np.testing.assert_allclose(curve[-1][1], uninterrupted[-1][1], rtol=2e-3)


def test_workers_that_cannot_share_a_batch_evenly_are_refused(news_task: Task, tmp_path: Path) -> None:
    cfg = StudentConfig(workers="3")
    with pytest.raises(ConfigError, match=r"student.workers: 3 workers .*classifier.batch_size=16.*student.workers=2"):
        workers_for("classifier", news_task, cfg, print, tmp_path / "log")
    with pytest.raises(ConfigError, match=r"student.workers: must be auto, or a number of 1 or more, got two"):
        StudentConfig(workers="two")
    with pytest.raises(ConfigError, match=r"student.fsdp: it divides a model among workers, and there is one"):
        StudentConfig(fsdp=True)


def test_a_student_that_is_not_trained_in_steps_needs_no_workers(news_task: Task, tmp_path: Path) -> None:
    said: list[str] = []
    cfg = StudentConfig(kind="frozen", workers="2")
    assert workers_for("frozen", news_task, cfg, said.append, tmp_path / "log") is None
    assert said == ["student: a frozen student is trained in one process, whatever student.workers says"]


@pytest.mark.parametrize(("gpus", "batch", "count"), [(0, 16, 1), (1, 16, 1), (8, 16, 8), (3, 16, 2), (8, 4, 4)])
def test_auto_is_a_worker_per_gpu_as_far_as_they_share_the_batch(gpus: int, batch: int, count: int) -> None:
    assert count_of("auto", batch, gpus) == count
