"""One run on the replay engine, and the processes that work on it and are made to fail."""

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.crash.probe import Watch, dataset, is_whole

CHILD = Path(__file__).with_name("child.py")
ROOT = Path(__file__).resolve().parents[2]
# Slow enough that a run is killed several times before it ends, and no limit of room: the disks here are tiny.
SETTINGS = ["engine.delay=0.02", "engine.jitter=0.03", "engine.in_flight=8", "engine.repeat=0.05", "engine.failing=0.02",
            "budget.min_free_gigabytes=0"]  # fmt: skip


@dataclass
class Row:
    """A line of the table: a fault, how often it was injected, and what came of it."""

    fault: str
    times: int = 0
    lost: int = 0
    repeated: int = 0
    resumed: int = 0
    notes: list[str] = field(default_factory=list)

    def expect(self, condition: bool, otherwise: str) -> None:
        """Anything that is not as promised and not a matter of samples counts as one not resumed."""
        if not condition:
            self.notes.append(otherwise)

    def add(self, watch: Watch) -> None:
        self.lost += watch.finding.lost
        self.repeated += watch.finding.repeated
        self.notes += watch.finding.notes

    def end(self) -> "Row":
        """The row, with the faults that everything came back from counted as resumed."""
        self.resumed = self.times if not self.notes else max(0, self.times - len(self.notes))
        return self


class Stage:
    """A run folder under `place` and the commands on it."""

    def __init__(self, place: Path, target: int, seed: int, settings: Sequence[str] = ()) -> None:
        self.place = place
        self.folder = place / "run"
        self.target = target
        self.seed = seed
        self.settings = [*SETTINGS, *settings]
        place.mkdir(parents=True, exist_ok=True)
        self.watch = Watch(self.folder, place / "acknowledged")

    def command(self) -> list[str]:
        """The verb that goes on: `run` until there is a ledger."""
        if (self.folder / "ledger.sqlite").exists():
            return ["resume", str(self.folder)]
        settings = [f"run.dir={self.folder}", f"run.seed={self.seed}", f"budget.target={self.target}"]
        return ["run", "experiment=smoke", *settings, *self.settings]

    def start(
        self, point: str = "none", command: Sequence[str] = (), limit: int | None = None
    ) -> subprocess.Popen[str]:
        """A process on this run; `point` is where it dies, `limit` the most bytes that its files may have."""
        words = [sys.executable, str(CHILD), str(self.watch.acknowledged), point, *(command or self.command())]
        if limit is not None:
            words = ["prlimit", f"--fsize={limit}", *words]
        env = {**os.environ, "PYTHONPATH": str(ROOT)}
        return subprocess.Popen(
            words, cwd=self.place, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )

    def finish(self, point: str = "none", command: Sequence[str] = (), limit: int | None = None) -> tuple[int, str]:
        """Runs a process to its end: its exit code and what it printed."""
        process = self.start(point, command, limit)
        said, _ = process.communicate(timeout=300)
        return process.returncode, said

    def wait_until_it_accepts(self, process: subprocess.Popen[str], more_than: int = 0) -> None:
        """Returns when the run has acknowledged more samples than that, or its process has ended."""
        while process.poll() is None:
            told = self.watch.acknowledged
            if told.exists() and len(told.read_bytes().split()) > more_than:
                return
            time.sleep(0.005)

    def stop(self, process: subprocess.Popen[str], number: int, rng: random.Random, seconds: float) -> tuple[int, str]:
        """Sends a signal at a random moment of the next so many seconds, and waits for the end."""
        time.sleep(rng.random() * seconds)
        if process.poll() is None:
            process.send_signal(number)
        said, _ = process.communicate(timeout=120)
        return process.returncode, said

    def stop_after(self, process: subprocess.Popen[str], numbers: Sequence[int]) -> None:
        """Waits until the loop is at work, and not only its engine, then sends one signal after another."""
        while process.poll() is None and '"progress"' not in (self.folder / "events.jsonl").read_text():
            time.sleep(0.01)
        for number in numbers:
            time.sleep(0.3)
            process.send_signal(number)

    def told(self) -> int:
        path = self.watch.acknowledged
        return len(path.read_bytes().split()) if path.exists() else 0


def reference(place: Path, target: int, seed: int, settings: Sequence[str] = ()) -> dict[str, bytes]:
    """The dataset of a run that nothing happens to."""
    stage = Stage(place, target, seed, settings)
    code, said = stage.finish()
    if code != 0 or not is_whole(stage.folder):
        raise RuntimeError(f"the undisturbed run ended with exit code {code}:\n{said}")
    return dataset(stage.folder)


def last_line(said: str) -> str:
    lines = said.strip().splitlines()
    return lines[-1] if lines else ""


def killed(code: int) -> bool:
    return code == -signal.SIGKILL
