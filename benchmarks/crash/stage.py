"""Hold one run on the replay engine, and the processes on it that are made to fail.

A server process that has already imported the program forks every process. Such a start takes a tenth of the CPU time
of a new interpreter, and the process still has its own PID, limits and death.
"""

import contextlib
import multiprocessing
import os
import random
import signal
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.crash import child
from benchmarks.crash.probe import Watch, dataset, is_whole

ROOT = Path(__file__).resolve().parents[2]
FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(["benchmarks.crash.child"])
# Some requests fail and some texts come twice, as in a real run. Free space is not checked, because these disks are tiny.
SETTINGS = ["engine.delay=0.01", "engine.jitter=0.015", "engine.in_flight=8", "engine.repeat=0.05",
            "engine.failing=0.02", "budget.min_free_gigabytes=0"]  # fmt: skip


@dataclass
class Row:
    """Hold a line of the table: a fault, how often it was injected, and the results."""

    fault: str
    times: int = 0
    lost: int = 0
    repeated: int = 0
    resumed: int = 0
    notes: list[str] = field(default_factory=list)

    def expect(self, condition: bool, otherwise: str) -> None:
        """Record `otherwise` as a failed check if `condition` is False; each failed check counts one run as not
        resumed.
        """
        if not condition:
            self.notes.append(otherwise)

    def add(self, watch: Watch) -> None:
        self.lost += watch.finding.lost
        self.repeated += watch.finding.repeated
        self.notes += watch.finding.notes

    def end(self) -> "Row":
        """Return the row, counting faults without any failed check as resumed."""
        self.resumed = self.times if not self.notes else max(0, self.times - len(self.notes))
        return self


class Stage:
    """Hold a run folder under `place` and the commands on it."""

    def __init__(self, place: Path, target: int, seed: int, settings: Sequence[str] = ()) -> None:
        self.place = place
        self.folder = place / "run"
        self.target = target
        self.seed = seed
        self.settings = [*SETTINGS, *settings]
        place.mkdir(parents=True, exist_ok=True)
        self.watch = Watch(self.folder, place / "acknowledged")

    def command(self) -> list[str]:
        """Return the command that continues the run: `run` until there is a ledger, then `resume`."""
        if (self.folder / "ledger.sqlite").exists():
            return ["resume", str(self.folder)]
        settings = [f"run.dir={self.folder}", f"run.seed={self.seed}", f"budget.target={self.target}"]
        return ["run", "experiment=smoke", *settings, *self.settings]

    def start(self, point: str = "none", command: Sequence[str] = (), limit: int | None = None) -> "Child":
        """Start a process on this run. It dies at `point`; its files may have at most `limit` bytes."""
        return Child(self.place, self.watch.acknowledged, point, command or self.command(), limit)

    def finish(self, point: str = "none", command: Sequence[str] = (), limit: int | None = None) -> tuple[int, str]:
        """Run a process to its end; return its exit code and what it printed."""
        return self.start(point, command, limit).end(300)

    def wait_until_it_accepts(self, process: "Child", more_than: int = 0) -> None:
        """Wait until the run has acknowledged more samples than that, or its process has ended."""
        while process.runs() and self.told() <= more_than:
            time.sleep(0.002)

    def stop(self, process: "Child", number: int, rng: random.Random, seconds: float = 0.05) -> tuple[int, str]:
        """Send a signal at a random moment within the given seconds, and wait for the end.

        The default is longer than any answer takes: any moment between two acknowledgements can be hit.
        """
        time.sleep(rng.random() * seconds)
        process.send_signal(number)
        return process.end(120)

    def stop_after(self, process: "Child", numbers: Sequence[int]) -> None:
        """Wait until the loop is at work, and not only its engine, then send one signal after another."""
        events = self.folder / "events.jsonl"
        while process.runs() and not (events.exists() and '"progress"' in events.read_text()):
            time.sleep(0.01)
        for number in numbers:
            time.sleep(0.3)
            process.send_signal(number)

    def told(self) -> int:
        path = self.watch.acknowledged
        return len(path.read_bytes().split()) if path.exists() else 0


class Child:
    """Hold a `synthgen` in its own process, forked from the server process."""

    def __init__(
        self, place: Path, acknowledged: Path, point: str, command: Sequence[str], limit: int | None = None
    ) -> None:
        self._printed, printing = FORKS.Pipe(duplex=False)
        words = [str(word) for word in command]
        self._process = FORKS.Process(target=child.main, args=(place, acknowledged, point, words, printing, limit))
        with in_environment(
            PYTHONPATH=str(ROOT)
        ):  # this includes the server's start, which comes with the first process
            self._process.start()
        printing.close()
        self.pid = self._process.pid

    def runs(self) -> bool:
        return self._process.is_alive()

    def send_signal(self, number: int) -> None:
        if self.runs() and self.pid:
            os.kill(self.pid, number)

    def end(self, seconds: float) -> tuple[int, str]:
        """Wait for the end; return the exit code, below zero for a signal, and what was printed."""
        printed, deadline = b"", time.monotonic() + seconds
        while self._printed.poll(max(0.0, deadline - time.monotonic())):
            more = os.read(self._printed.fileno(), 1 << 16)
            if not more:
                break
            printed += more
        self._process.join(max(0.0, deadline - time.monotonic()))
        said, code = printed.decode(errors="replace"), self._process.exitcode
        if code is None:
            self._process.kill()
            raise TimeoutError(f"still at work after {seconds} s:\n{said}")
        self._printed.close()
        return code, said


@contextlib.contextmanager
def in_environment(**values: str) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def reference(place: Path, target: int, seed: int, settings: Sequence[str] = ()) -> dict[str, bytes]:
    """Return the dataset of an uninterrupted run."""
    stage = Stage(place, target, seed, settings)
    code, said = stage.finish()
    if code != 0 or not is_whole(stage.folder):
        raise RuntimeError(f"the uninterrupted run ended with exit code {code}:\n{said}")
    return dataset(stage.folder)


def last_line(said: str) -> str:
    lines = said.strip().splitlines()
    return lines[-1] if lines else ""


def killed(code: int) -> bool:
    return code == -signal.SIGKILL
