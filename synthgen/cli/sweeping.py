"""Carry out each run of a sweep in its own process, as Hydra's launchers start it: in parallel, or as a Slurm job.

The process executes the command of the single run, so that each run has its own output, signals and exit code.
"""

import contextlib
import json
import os
import shlex
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

from synthgen.errors import ConfigError, ExitCode

if TYPE_CHECKING:
    from omegaconf import DictConfig

_LAUNCHERS = ("joblib", "submitit", "ray")
_WARNINGS = (signal.SIGUSR1, signal.SIGUSR2, signal.SIGTERM)
"""Signals by which a queue says that it ends the job soon."""


@dataclass(frozen=True)
class SweepRun:
    """Start the current run of a sweep as a process, and wait for it.

    `folder` is that of --config-dir, `scratch` gets the exit code, and `began` is the sweep's start, in seconds of the
    clock, for the time stamp in the names of the runs.
    """

    verb: str
    folder: str | None
    scratch: Path
    began: float

    def __call__(self, composed: "DictConfig") -> float | None:
        from hydra.core.hydra_config import HydraConfig
        from omegaconf import OmegaConf

        from synthgen.cli.composing import command_of, run_folder_of

        began = datetime.fromtimestamp(self.began)
        OmegaConf.register_new_resolver("now", began.strftime, replace=True)
        OmegaConf.clear_cache(composed)
        number, run = HydraConfig.get().job.num, run_folder_of(composed)
        command = shlex.split(command_of(self.verb, self.folder, composed))[1:]
        if int(os.environ.get("SLURM_RESTART_COUNT") or 0) and (run / "ledger.sqlite").exists():
            command = ["resume", str(run)]
        code = _followed([sys.executable, "-m", "synthgen", *command], number)
        (self.scratch / f"{number}.json").write_text(json.dumps(code))
        return objective(run)


def _followed(command: list[str], number: int) -> int:
    """Run a command, print its lines with the run's number before each, and return its exit code.

    Pass the warning signal of a job queue on as SIGUSR1, at which a run finishes its requests in flight. Then call the
    signal handler of the queue's own client.
    """
    warned: list[tuple[int, FrameType | None]] = []

    def warn(number: int, frame: FrameType | None) -> None:
        warned.append((number, frame))
        process.send_signal(signal.SIGUSR1)

    process = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace",
        preexec_fn=_set_apart,
    )  # fmt: skip
    before: dict[int, Any] = {}
    with contextlib.suppress(ValueError):  # a launcher may use a thread, which gets no signals
        before = {each: signal.signal(each, warn) for each in _WARNINGS}
    try:
        assert process.stdout is not None
        for line in process.stdout:
            sys.stdout.write(f"[{number}] {line}")
            sys.stdout.flush()
        code = process.wait()
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)
    for each, frame in warned[:1]:
        if callable(before[each]):
            before[each](each, frame)
        elif each == signal.SIGTERM:
            raise SystemExit(128 + each)
    return code if code >= 0 else ExitCode.BUG


def _set_apart() -> None:
    """Make a run end when the process that waits for it ends, and ignore a signal that is meant for the queue's client."""
    from synthgen.engines.vllm.server_process import end_with_parent

    end_with_parent()
    signal.signal(signal.SIGUSR2, signal.SIG_IGN)


@contextlib.contextmanager
def sweep_folder(launcher: str | None) -> Iterator[Path]:
    """Return the folder that Hydra writes a sweep's overrides to; for submitit it is kept, with the output of each job."""
    if launcher is None or not launcher.startswith("submitit"):
        with tempfile.TemporaryDirectory() as scratch:
            yield Path(scratch)
        return
    folder = Path("sweeps", time.strftime("%Y%m%d-%H%M%S")).absolute()  # the jobs may run on other machines
    folder.mkdir(parents=True)
    print(f"the output of each run is in {folder / '.submitit'}", flush=True)
    yield folder


@contextlib.contextmanager
def launched() -> Iterator[None]:
    """Raise ConfigError for an error of a launcher, such as a job that its queue has killed.

    At Ctrl-C, which every process of the terminal receives, print how to continue the runs.
    """
    try:
        yield
    except KeyboardInterrupt:
        print("each run ends when its requests in flight are answered; continue it with: synthgen resume RUN")
        raise
    except Exception as error:
        if not {type(error).__module__.split(".")[0], _raised_in(error)} & set(_LAUNCHERS):
            raise
        first = (str(error).strip().splitlines() or [""])[0]
        raise ConfigError(
            f"hydra/launcher: {type(error).__name__}: {first}; continue each run that has not ended with: "
            "synthgen resume RUN"
        ) from error


def _raised_in(error: Exception) -> str:
    """Return the name of the package whose code raised an error."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return str(trace.tb_frame.f_globals.get("__name__", "")).split(".")[0] if trace is not None else ""


def exit_codes(scratch: Path) -> list[int]:
    """Return the exit codes that the runs of a launcher left."""
    return [int(json.loads(path.read_text())) for path in scratch.glob("*.json")]


def objective(run: Path) -> float | None:
    """Return the score of a run's student, for a sweeper that optimises it; None for a run without a student."""
    try:
        return float(json.loads((run / "summary.json").read_text(encoding="utf-8"))["student"]["synthetic"]["mean"])
    except (OSError, KeyError, TypeError):
        return None
