"""Have workers do a training, and follow them: progress, limits, signals, failures.

The workers are started by a child process (`launch`), because Ray's client ends its own process when it loses the head of
its cluster, and because a signal to this process must not reach them in the middle of a step.
"""

import contextlib
import json
import os
import pickle
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from synthgen import errors
from synthgen.engines.vllm.engine_log import LogTail, masked_into
from synthgen.engines.vllm.server_process import end_with_parent
from synthgen.errors import WorkersError
from synthgen.ledger.durable import read_json
from synthgen.student.checkpoint import TRAINER, step_of
from synthgen.student.config import StudentConfig
from synthgen.student.interrupts import signals_postponed
from synthgen.student.plan import Plan, Probe, TrainingFolders
from synthgen.student.rows import TrainingRow
from synthgen.student.workers.config import AUTO, check_divides
from synthgen.student.workers.group import STOP
from synthgen.student.workers.job import EVENTS, FAILED, Job
from synthgen.tasks.task import Task

WORKERS_LOG = "workers.log"
"""Name of the file, beside the student's folder, with the output of the workers."""
ALONE = ("frozen", "retriever")
_POLL_SECONDS = 0.1
_STOP_SECONDS = 120.0
"""Time that the workers have for a step and a checkpoint after a signal."""
_KILL_SECONDS = 10.0
_LOG_SECONDS = 1.0
Event = list[Any]
"""The kind of an event, followed by its values; see `job.Events`."""


@dataclass(frozen=True)
class WorkerTraining:
    """Train a student of one kind and task with workers."""

    kind: str
    task: Task
    cfg: StudentConfig
    batch: int
    say: Callable[[str], None]
    log: Path

    def trained(
        self, rows: Sequence[TrainingRow], plan: Plan, place: TrainingFolders, probe: Probe | None
    ) -> TrainingFolders:
        """Let the workers train, from the latest checkpoint if there is one. Return `place`, marked as trained.

        A signal ends them after a step and a checkpoint. Raise WorkersError if one ends in another way; the next call
        continues from the last checkpoint.
        """
        if not _is_over(place, plan, probe):
            events = place.checkpoints.folder / EVENTS
            with _cleared(place.checkpoints.folder):
                self._follow(self._job(rows, plan, place, probe), place, events)
        return replace(place, trained=True)

    def _job(self, rows: Sequence[TrainingRow], plan: Plan, place: TrainingFolders, probe: Probe | None) -> Job:
        return Job(
            self.kind, self.task, self.cfg, self.batch, tuple(rows), plan, probe and replace(probe, losses=[]),
            place.checkpoints.folder.absolute(), place.logs.absolute(), place.report_to, place.checkpoints.seconds,
            place.clock.left(),
        )  # fmt: skip

    def _follow(self, job: Job, place: TrainingFolders, events: Path) -> None:
        tail, seen = LogTail(self.log), _Events(events)
        with signals_postponed() as postponed, self._launched(job) as process:
            stopping = 0.0
            while process.poll() is None:
                time.sleep(_POLL_SECONDS)
                self._tell(seen.new(), place)
                if postponed.signal and not stopping:
                    stopping = time.monotonic()
                    (job.folder / STOP).touch()
                if stopping and time.monotonic() - stopping > _STOP_SECONDS:
                    break
            self._tell(seen.new(), place)
            postponed.deliver()
        if seen.outcome is None:
            raise _failure(job.folder, tail)
        place.clock.cut = seen.outcome[0]

    @contextlib.contextmanager
    def _launched(self, job: Job) -> Iterator["subprocess.Popen[bytes]"]:
        """Start the workers; end those that still run when the block ends."""
        command = [sys.executable, "-m", "synthgen.student.workers.launch"]
        with masked_into(self.log) as (output, pump):
            process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=output, stderr=output, start_new_session=True,
                preexec_fn=end_with_parent,
            )  # fmt: skip
        try:
            assert process.stdin is not None
            with contextlib.suppress(BrokenPipeError), process.stdin:  # its exit code tells
                pickle.dump(job, process.stdin)
            yield process
        finally:
            _end(process)
            pump.join(_LOG_SECONDS)

    def _tell(self, events: Sequence[Event], place: TrainingFolders) -> None:
        for kind, *more in events:
            if kind == "step":
                place.clock.stepped(*more)
            elif kind == "look":
                place.clock.looked(*more)
            elif kind == "say":
                self.say(*more)


class _Events:
    """Read the events of the workers as they are written."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._read = 0
        self.outcome: list[int | None] | None = None
        """The step at which the limit ended the training, or None; not set before its end."""

    def new(self) -> list[Event]:
        """Return the events since the last call."""
        if not self._path.exists():
            return []
        with self._path.open("rb") as file:
            file.seek(self._read)
            text = file.read()
        whole = text.rfind(b"\n") + 1
        self._read += whole
        found: list[Event] = [json.loads(line) for line in text[:whole].splitlines()]
        for kind, *more in found:
            if kind == "trained":
                self.outcome = more
        return found


def workers_for(
    kind: str, task: Task, cfg: StudentConfig, say: Callable[[str], None], log: Path
) -> WorkerTraining | None:
    """Return the workers that the config asks for, or None for a training in this process.

    Raise ConfigError for a number of workers that cannot share a batch evenly.
    """
    if cfg.workers == "1" and cfg.launcher == "processes":
        return None
    if kind in ALONE:
        say(f"student: a {kind} student is trained in one process, whatever student.workers says")
        return None
    from synthgen.student.kinds import batch_of

    batch, key = batch_of(kind, cfg)
    check_divides(cfg.workers, batch, key)
    if cfg.workers == AUTO and cfg.launcher == "processes":
        from torch.cuda import device_count

        if device_count() < 2:
            return None
    return WorkerTraining(kind, task, cfg, batch, say, log)


def _is_over(place: TrainingFolders, plan: Plan, probe: Probe | None) -> bool:
    """Return True if a checkpoint is at the end of the training, because an earlier process was killed after it."""
    latest = place.checkpoints.latest()
    if latest is None:
        return False
    if probe is None:
        return step_of(latest) >= plan.steps
    earlier = replace(probe, losses=[])
    earlier.recall((read_json(latest / TRAINER) or {})["log_history"])
    return step_of(latest) >= plan.steps or earlier.over()


@contextlib.contextmanager
def _cleared(folder: Path) -> Iterator[None]:
    """Remove the files of an earlier session beside the checkpoints, before and after the block."""
    folder.mkdir(parents=True, exist_ok=True)
    left = [folder / name for name in (EVENTS, FAILED, STOP)]
    for path in left:
        path.unlink(missing_ok=True)
    try:
        yield
    finally:
        for path in left:
            path.unlink(missing_ok=True)


def _failure(folder: Path, tail: LogTail) -> Exception:
    """Return the error that ended the workers."""
    found = read_json(folder / FAILED)
    if found is not None and "errno" in found:
        return OSError(found["errno"], found["what"])
    if found is not None and "type" in found:
        known: type[errors.UserError] = getattr(errors, found["type"])
        return known(found["text"])
    what = found["what"] if found is not None else "the workers ended before the end of the training"
    return WorkersError(
        f"student.workers: {tail.failure_message(what)}\nThe training keeps its last checkpoint, from which the next one continues"
    )


def _end(process: "subprocess.Popen[bytes]") -> None:
    if process.poll() is not None:
        return
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_KILL_SECONDS)
            return
