"""Inject faults into a training: a kill between two checkpoints, and a disk without space for checkpoint and student."""

import random
import shutil
import signal
import time
from pathlib import Path

from benchmarks.crash.stage import Row, Stage, last_line

TARGET = 40
# The real encoder, but few steps; a checkpoint after every one.
STUDENT = ["student.kind=auto", "student.checkpoint_seconds=0", "student.classifier.repeats=1",
           "student.classifier.min_steps=12", "student.classifier.epochs=1"]  # fmt: skip
TOO_SMALL = 60_000_000
"""Bytes: less than the encoder's weights, more than a ledger."""


class Trained:
    """Copy one finished run without a student for each fault in its training."""

    def __init__(self, place: Path, seed: int) -> None:
        self.place = place
        self.seed = seed
        self.rng = random.Random(seed)
        self.runs = 0

    def stage(self) -> Stage:
        self.runs += 1
        stage = Stage(self.place / f"trained-{self.runs}", TARGET, self.seed)
        code, said = stage.finish()
        if code != 0:
            raise RuntimeError(f"the run to train on ended with exit code {code}:\n{said}")
        stage.watch.look()
        return stage

    def kill(self, times: int) -> Row:
        """Kill the training once it has a checkpoint; it must continue from the checkpoint."""
        row = Row("SIGKILL while the student is trained")
        for _ in range(times):
            stage = self.stage()
            process = stage.start(command=["resume", str(stage.folder), *STUDENT])
            while process.runs() and not list(stage.folder.glob(".student.work/*/step-*/complete.json")):
                time.sleep(0.01)
            stage.stop(process, signal.SIGKILL, self.rng, 0.5)
            row.times += 1
            self._end(row, stage, "goes on from step")
        return row.end()

    def full_disk(self, times: int) -> Row:
        """Let neither a checkpoint nor the student fit; the next training must not repeat the first arm."""
        row = Row("disk full at checkpoint and student (RLIMIT_FSIZE)")
        for _ in range(times):
            stage = self.stage()
            code, said = stage.finish(command=["resume", str(stage.folder), *STUDENT], limit=TOO_SMALL)
            row.times += 1
            row.expect(code == 3, f"exit code {code}, not 3: {said[-300:]}")
            row.expect("a checkpoint could not be written" in said, "the checkpoint was written")
            row.expect(last_line(said).startswith("synthgen resume "), f"the last line is {last_line(said)!r}")
            row.expect(not (stage.folder / "student").exists(), "half a student stands there")
            self._end(row, stage, "done before")
        return row.end()

    def _end(self, row: Row, stage: Stage, says: str) -> None:
        code, said = stage.finish(command=["resume", str(stage.folder), *STUDENT])
        stage.watch.look()
        row.add(stage.watch)
        row.expect(code == 0, f"the last resume ended with exit code {code}: {said[-300:]}")
        row.expect(says in said, f"it does not say '{says}'")
        row.expect((stage.folder / "student" / "model.safetensors").is_file(), "there is no student")
        shutil.rmtree(stage.place)
