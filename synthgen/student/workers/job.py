"""Define the job of a worker, and train as one of several workers.

A worker of rank 0 writes the checkpoints, and its events for the process that owns the training; see `together`.
"""

import ctypes
import json
import math
import os
import signal
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from synthgen.errors import UserError
from synthgen.ledger.durable import error_number, is_refused_write
from synthgen.records import Json
from synthgen.student.checkpoint import Checkpoints, collected_parts
from synthgen.student.clock import Clock
from synthgen.student.config import StudentConfig
from synthgen.student.plan import Plan, Probe, TrainingFolders
from synthgen.student.rows import TrainingRow
from synthgen.student.workers.group import WorkerGroup
from synthgen.tasks.task import Task

EVENTS, FAILED = "events.jsonl", "failed.json"
_PR_SET_PDEATHSIG = 1


@dataclass(frozen=True)
class Job:
    """Describe one training for workers. `folder`, for checkpoints and events, is seen by all of them."""

    kind: str
    task: Task
    cfg: StudentConfig
    batch: int
    rows: tuple[TrainingRow, ...]
    plan: Plan
    probe: Probe | None
    folder: Path
    logs: Path
    report_to: str
    checkpoint_seconds: float
    seconds: float
    """The time that is left for the training; infinity without a limit."""


class Events:
    """Write events for the process that owns the training, one JSON list a line."""

    def __init__(self, path: Path | None) -> None:
        self._file = path.open("a", encoding="utf-8") if path else None

    def say(self, *event: Any) -> None:
        if self._file is not None:
            self._file.write(json.dumps(event) + "\n")
            self._file.flush()


class WorkerClock(Clock):
    """Report each step and evaluation as an event."""

    def __init__(self, limit: float, events: Events) -> None:
        super().__init__(limit)
        self._events = events

    def stepped(self, step: int, steps: int) -> None:
        super().stepped(step, steps)
        self._events.say("step", step, steps)

    def looked(self, rows: int, seconds: float) -> None:
        super().looked(rows, seconds)
        self._events.say("look", rows, round(seconds, 3))


def run(job: Job, rank: int, size: int, on_this_machine: int) -> None:
    """Train as worker `rank` of `size`, of which `on_this_machine` share the cores of this machine.

    The process group must exist. An error is written down where the owner of the training finds it, and raised.
    """
    from synthgen.student import kinds
    from synthgen.student.training import StoppedError, TrainedError, quiet, use_all_cores

    events = Events(job.folder / EVENTS if rank == 0 else None)
    try:
        use_all_cores(on_this_machine)
        workers = _worker_group(job, rank, size)
        clock = WorkerClock(job.seconds if rank == 0 else math.inf, events)
        parts = collected_parts if workers.sharded else None
        saved = Checkpoints(job.folder, job.checkpoint_seconds, lambda text: events.say("say", text), rank == 0, parts)
        place = TrainingFolders(job.logs, job.report_to, saved, clock, workers)
        probe = (
            Probe(job.probe.rows, job.probe.every, job.probe.patience, job.probe.after, job.probe.last, workers=workers)
            if job.probe
            else None
        )
        learner = kinds.build(job.kind, job.task, job.cfg, lambda text: events.say("say", text))
        with quiet():
            try:
                learner.fit(job.rows, job.plan, place, probe)
            except TrainedError:
                events.say("trained", clock.cut)
            except StoppedError:
                events.say("stopped")
    except Exception as error:
        _write_down(job.folder, rank, error)
        raise


def _worker_group(job: Job, rank: int, size: int) -> WorkerGroup:
    from synthgen.student.kinds import WRITERS

    group = None
    if size > 1:
        from torch.distributed import new_group

        group = new_group(backend="gloo")
    return WorkerGroup(rank, size, job.folder, size > 1 and job.cfg.fsdp and job.kind in WRITERS, group)


def _write_down(folder: Path, rank: int, error: Exception) -> None:
    """Write the error for the owner of the training; the first one counts, others often follow from it."""
    found: Json = {"what": f"worker {rank} failed: {type(error).__name__}: {error}"}
    if isinstance(error, UserError):
        found |= {"type": type(error).__name__, "text": str(error)}
    if is_refused_write(error):
        found["errno"] = error_number(error)
    try:
        with (folder / FAILED).open("x", encoding="utf-8") as file:
            json.dump(found, file)
    except OSError as refused:  # another worker was first, or the disk is full
        print(f"worker {rank}: {error} ({refused})", file=sys.stderr)


def spawned(rank: int, job: Job, size: int, rendezvous: str, cuda: bool) -> None:
    """Train as one of `size` processes of this machine, which meet through the file `rendezvous`."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    os.environ.update(RANK=str(rank), LOCAL_RANK=str(rank), WORLD_SIZE=str(size), LOCAL_WORLD_SIZE=str(size))
    import torch

    if cuda:
        torch.cuda.set_device(rank)
    torch.distributed.init_process_group(
        "nccl" if cuda else "gloo", init_method=f"file://{rendezvous}", rank=rank, world_size=size
    )
    try:
        run(job, rank, size, size)
    finally:
        torch.distributed.destroy_process_group()
