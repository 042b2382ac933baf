"""Inject faults into a run on the replay engine, whose uninterrupted dataset is known to the byte."""

import random
import shutil
import signal
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path

from benchmarks.crash.child import POINTS
from benchmarks.crash.probe import dataset, is_whole
from benchmarks.crash.stage import Row, Stage, killed, last_line, reference
from synthgen.run.runtime.signals import STOPPING

TARGET = 150
# About how often a session passes each point. The Nth passing is drawn at random from this number.
PASSED = {"statement": 300, "before-commit": 60, "after-commit": 60, "acknowledged": 60, "answered": 200,
          "before-rename": 6, "after-rename": 6}  # fmt: skip


class Replayed:
    """Inject faults below `place`, each into a new run. All runs share one seed, so all must end with the same dataset."""

    def __init__(self, place: Path, seed: int) -> None:
        self.place = place
        self.rng = random.Random(seed)
        self.seed = seed
        self.runs = 0

    @cached_property
    def expected(self) -> dict[str, bytes]:
        return reference(self.place / "reference", TARGET, self.seed)

    def stage(self) -> Stage:
        self.runs += 1
        return Stage(self.place / f"run-{self.runs}", TARGET, self.seed)

    def kill_anywhere(self, times: int) -> Row:
        row = Row("SIGKILL at a random moment")
        while row.times < times:
            stage = self.stage()
            while row.times < times:
                before = stage.told()
                process = stage.start()
                if self.rng.random() < 0.2:
                    code, said = stage.stop(process, signal.SIGKILL, self.rng, 0.6)  # perhaps while it starts
                else:
                    stage.wait_until_it_accepts(process, before + self.rng.randint(0, TARGET // 3))
                    code, said = stage.stop(process, signal.SIGKILL, self.rng)
                stage.watch.look()
                if not killed(code):
                    row.expect(code == 0, f"exit code {code}: {last_line(said)}")
                    break
                row.times += 1
            self._end(row, stage)
        return row.end()

    def kill_at(self, point: str, times: int) -> Row:
        row = Row(f"SIGKILL, {point}")
        while row.times < times:
            stage = self.stage()
            while row.times < times:
                code, said = stage.finish(f"{point}:{self.rng.randint(1, PASSED[point])}")
                stage.watch.look()
                if not killed(code):
                    row.expect(code == 0, f"exit code {code}: {last_line(said)}")
                    break
                row.times += 1
            self._end(row, stage)
        return row.end()

    def signals(self, times: int) -> list[Row]:
        return [self._signal(number, times) for number in STOPPING]

    def _signal(self, number: signal.Signals, times: int) -> Row:
        row = Row(f"{number.name}, drained")
        for _ in range(times):
            stage = self.stage()
            process = stage.start()
            stage.wait_until_it_accepts(process, self.rng.randint(0, TARGET // 2))
            code, said = stage.stop(process, number, self.rng)
            row.times += 1
            row.expect(code == 5, f"exit code {code}, not 5")
            row.expect(last_line(said).startswith("synthgen resume "), f"the last line is {last_line(said)!r}")
            row.expect(is_whole(stage.folder), "what there was is not exported")
            self._end(row, stage)
        return row.end()

    def second_interrupt(self, times: int) -> Row:
        row = Row("SIGINT twice")
        for _ in range(times):
            stage = self.stage()
            stage.settings.append("engine.delay=5")  # long enough that draining takes a while
            process = stage.start()
            stage.stop_after(process, [signal.SIGINT, signal.SIGINT])
            code, said = process.end(60)
            row.times += 1
            row.expect(code == 5, f"exit code {code}, not 5")
            row.expect(last_line(said).startswith("synthgen resume "), f"the last line is {last_line(said)!r}")
            stage.watch.look()
            row.add(stage.watch)
        return row.end()

    def second_process(self, times: int) -> Row:
        row = Row("second process on the run folder")
        for _ in range(times):
            stage = self.stage()
            stage.settings.append("engine.delay=0.1")  # the first process still works when the second starts
            first = stage.start()
            stage.wait_until_it_accepts(first)
            code, said = stage.finish()
            row.times += 1
            row.expect(code == 2 and f"PID {first.pid}" in said, f"the second was not refused: {code} {said}")
            first.end(120)
            self._end(row, stage)
        return row.end()

    def full_disk_at_the_ledger(self, times: int) -> list[Row]:
        limited, filled = Row("disk full at the ledger (RLIMIT_FSIZE)"), Row("disk full at the ledger (tmpfs)")
        for _ in range(times):
            stage = self.stage()
            code, said = stage.finish(limit=self.rng.randint(200_000, 600_000))
            self._full(limited, stage, code, said)
            with tmpfs(self.place / "disk", self.rng.randint(600, 2500)) as disk:
                if disk is None:
                    continue
                stage = Stage(disk / "x", TARGET, self.seed)
                stage.watch.acknowledged = self.place / f"acknowledged-{self.runs}-{filled.times}"
                code, said = stage.finish()
                self._full(filled, stage, code, said, disk)
        return [row.end() for row in (limited, filled) if row.times]

    def _full(self, row: Row, stage: Stage, code: int, said: str, disk: Path | None = None) -> None:
        row.times += 1
        row.expect(code == 3, f"exit code {code}, not 3: {said[-300:]}")
        row.expect(last_line(said).startswith("synthgen resume "), f"the last line is {last_line(said)!r}")
        stage.watch.look()
        if disk is not None:
            subprocess.run(["mount", "-o", "remount,size=100m", str(disk)], check=True)
        self._end(row, stage)

    def full_disk_at_export(self, times: int) -> Row:
        row = Row("disk full at the export (RLIMIT_FSIZE)")
        for _ in range(times):
            stage = self.stage()
            code, said = stage.finish("full-export")
            row.times += 1
            row.expect(code == 3, f"exit code {code}, not 3: {said[-300:]}")
            row.expect(last_line(said).startswith("synthgen resume "), f"the last line is {last_line(said)!r}")
            row.expect(not (stage.folder / "dataset").exists(), "half a dataset stands there")
            self._end(row, stage)
        return row.end()

    def torn_page(self, times: int) -> Row:
        """Check that a damaged ledger is refused by name and left unchanged, and that the run resumes after its repair."""
        row = Row("torn ledger page")
        for _ in range(times):
            stage = self.stage()
            process = stage.start()
            stage.wait_until_it_accepts(process, 40)
            stage.stop(process, signal.SIGTERM, self.rng)
            ledger = stage.folder / "ledger.sqlite"
            whole = ledger.read_bytes()
            page = self.rng.randrange(1, len(whole) // 4096)
            torn = whole[: page * 4096] + self.rng.randbytes(2048) + whole[page * 4096 + 2048 :]
            ledger.write_bytes(torn)
            code, said = stage.finish()
            row.times += 1
            row.expect(code == 2 and str(ledger) in said, f"not refused: {code} {said[-300:]}")
            row.expect(ledger.read_bytes() == torn, "the damaged file was written to")
            ledger.write_bytes(whole)
            self._end(row, stage)
        return row.end()

    def deleted_index(self, times: int) -> Row:
        """Delete the vectors of a stopped run, and every export of a finished one."""
        row = Row("deleted index, dataset and report")
        for _ in range(times):
            stage = self.stage()
            process = stage.start()
            stage.wait_until_it_accepts(process, 40)
            stage.stop(process, signal.SIGTERM, self.rng)
            with sqlite3.connect(stage.folder / "ledger.sqlite") as connection:
                connection.execute("DELETE FROM embeddings WHERE sample_id IN (SELECT id FROM samples WHERE slot >= 0)")
            connection.close()
            shutil.rmtree(stage.folder / "dataset")
            row.times += 1
            self._end(row, stage, keep=True)
            shutil.rmtree(stage.folder / "dataset")
            for name in ("report.html", "summary.json"):
                (stage.folder / name).unlink()
            codes = [stage.finish(command=[verb, str(stage.folder)])[0] for verb in ("export", "report")]
            row.expect(codes == [0, 0] and dataset(stage.folder) == self.expected, "the exports were not rebuilt")
            row.expect((stage.folder / "report.html").exists(), "the report was not rebuilt")
        return row.end()

    def changed_config(self, times: int) -> Row:
        row = Row("changed config on resume")
        for _ in range(times):
            stage = self.stage()
            process = stage.start()
            stage.wait_until_it_accepts(process)
            stage.stop(process, signal.SIGKILL, self.rng)
            code, said = stage.finish(command=["resume", str(stage.folder), "judge.rubric.threshold=2.5"])
            row.times += 1
            row.expect(code == 2 and "judge.rubric.threshold: 1.5 -> 2.5" in said, f"not refused: {code} {said[-300:]}")
            self._end(row, stage)
        return row.end()

    def _end(self, row: Row, stage: Stage, keep: bool = False) -> None:
        """Resume to the target; the dataset must equal the uninterrupted one."""
        code, said = stage.finish()
        stage.watch.look()
        row.add(stage.watch)
        row.expect(code == 0, f"the last resume ended with exit code {code}: {said[-300:]}")
        if code == 0:
            row.expect(is_whole(stage.folder) and dataset(stage.folder) == self.expected, "the dataset differs")
            if not keep:
                shutil.rmtree(stage.place)


@contextmanager
def tmpfs(place: Path, kilobytes: int) -> Iterator[Path | None]:
    """Yield a file system of that size, or None if this process may not mount one."""
    place.mkdir(exist_ok=True)
    options = ["mount", "-t", "tmpfs", "-o", f"size={kilobytes}k", "tmpfs", str(place)]
    if subprocess.run(options, capture_output=True).returncode:
        yield None
        return
    try:
        yield place
    finally:
        subprocess.run(["umount", str(place)], check=True)


def all_points() -> list[str]:
    return [point for point in POINTS if point in PASSED]
