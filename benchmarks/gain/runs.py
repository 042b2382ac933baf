"""Run the synthgen processes of the benchmark: `run` for each draw, as shipped and one-shot, and `label` on a copy.

Every run starts its own engine, as a user's does: a shared server would change request seeds, supervision and in-flight
work. To share a server, override the engine. A run that was cut short goes on with `synthgen resume`.
"""

import json
import os
import shutil
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

from benchmarks.common import run_child
from benchmarks.gain.data import Data
from benchmarks.gain.outcome import Outcome, accepted, candidates, copy_within
from synthgen.records import Json, content_id

ROOT = Path(__file__).resolve().parents[2]
SYNTHGEN = (sys.executable, "-m", "synthgen")
ENDLESS = 10_000_000
PERSON = "person"
# Prompts show the seeds alone, and only the form of an answer is checked.
ONE_SHOT = (
    "judge=none", "pool.max_depth=1", "diversity=hash", "diversity.threshold=1.0", "filters.min_chars=0",
    "filters.max_repetition=1.0", "filters.max_copy=1.0", "filters.leaks=[]", "filters.truncation=false",
)  # fmt: skip

Person = Callable[[Sequence[Json]], Sequence[str | None]]
"""Gives the label of each row; None for a row that is no sample."""


class RunFailedError(RuntimeError):
    """Report that a synthgen process ended in an unexpected way."""


@dataclass(frozen=True)
class Runs:
    """Hold run folders below `work`. Each run spends `budget` output tokens, and may be read at a smaller budget."""

    data: Data
    work: Path
    budget: int
    seed: int
    overrides: Sequence[str] = ()

    def loop(self, draw: int, seeds: Sequence[Json], budget: int) -> Outcome:
        """Return the accepted samples of `synthgen run` with the shipped defaults."""
        return accepted(self.made(draw, "loop", seeds, ()), list(self.data.task.labels), budget)

    def labelled(self, draw: int, seeds: Sequence[Json], budget: int, count: int, person: Person) -> Outcome:
        """Return the loop's samples after `person` has answered for `count` of them, which `synthgen label` chose."""
        return self._answered(self.made(draw, "loop", seeds, ()), budget, count, person)

    def texts(
        self,
        draw: int,
        seeds: Sequence[Json],
        budget: int,
        texts: Sequence[Json],
        count: int = 0,
        person: Person | None = None,
    ) -> Outcome:
        """Return the samples of `generate=label_text`, after `count` answers of a `person` where there is one.

        The run sees the input fields of `texts` alone.
        """
        name, task = f"label_text-{len(texts)}", self.data.task
        path = self.work / f"draw-{draw}" / f"{name}.jsonl"
        path.parent.mkdir(parents=True, exist_ok=True)
        rows = [{key: row[key] for key in task.input} for row in texts]
        path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
        folder = self.made(draw, name, seeds, ("generate=label_text", f"task.texts={path}"))
        if person is not None:
            return self._answered(folder, budget, count, person)
        return accepted(folder, list(task.labels), budget)

    def _answered(self, folder: Path, budget: int, count: int, person: Person) -> Outcome:
        """Return a run's samples after a person has answered for `count` of them, on a copy of its folder."""
        copy = folder.with_name(f"{folder.name}_labelled-{budget}-{count}")
        if not copy.exists():
            unfinished = copy.with_name(f"{copy.name}.new")
            shutil.rmtree(unfinished, ignore_errors=True)
            copy_within(folder, unfinished, budget)
            self._label(unfinished, count, person, Path(f"{copy}.log"))
            unfinished.rename(copy)
        outcome = accepted(copy, list(self.data.task.labels), budget)
        outcome.answers = len(_read_lines(copy / "answers.jsonl"))
        return outcome

    def pool(self, draw: int, seeds: Sequence[Json], budget: int) -> Outcome:
        """Return every candidate of good form from prompts that show the seeds alone."""
        folder = self.made(draw, "pool", seeds, ONE_SHOT)
        outcome, shown = candidates(folder, budget)
        if not shown <= {content_id(row) for row in seeds}:
            raise RunFailedError(f"{folder}: a one-shot prompt showed more than the seeds")
        outcome.rows = [row for row in outcome.rows if not self.data.task.problems(row)]
        return outcome

    def made(self, draw: int, name: str, seeds: Sequence[Json], settings: Sequence[str]) -> Path:
        """Return the folder of a run that has ended; start or resume it where it has not."""
        place = self.work / f"draw-{draw}"
        folder = place / name
        if _has_ended(folder):
            return folder
        if (folder / "ledger.sqlite").exists():
            words = ["resume", str(folder)]
        else:
            self._write_task(place, seeds)
            words = [
                "run", "--config-dir", str(place), f"task={self.data.task.name}", f"run.dir={folder}",
                f"run.name={name}-{draw}", f"run.seed={self.seed + draw}", "student.kind=none",
                f"budget.target={ENDLESS}", f"budget.output_tokens={self.budget}", *self.overrides, *settings,
            ]  # fmt: skip
        log = Path(f"{folder}.log")
        print(f"draw {draw}: synthgen {words[0]}, {name}; its output: {log}", file=sys.stderr, flush=True)
        code = _synthgen(words, log)
        if not _has_ended(folder):
            raise _failed(words, code, log)
        return folder

    def _label(self, folder: Path, count: int, person: Person, log: Path) -> None:
        """Have `person` answer what `synthgen label` asks of a run, through files as for people elsewhere."""
        print(f"{folder.parent.name}: synthgen label, {count} answers; its output: {log}", file=sys.stderr, flush=True)
        questions, answers = folder / "questions.jsonl", folder / "answers.jsonl"
        _must_work(["label", str(folder), "--export", str(questions), "--count", str(count)], log)
        asked = _read_lines(questions)
        given = person(
            [{name: row[name] for name in self.data.task.schema["properties"] if name in row} for row in asked]
        )
        lines = [
            json.dumps({"id": row["id"], "answer": label, "annotator": PERSON}, ensure_ascii=False) + "\n"
            for row, label in zip(asked, given, strict=True)
        ]
        answers.write_text("".join(lines), encoding="utf-8")
        _must_work(["label", str(folder), "--import", str(answers)], log)

    def _write_task(self, place: Path, seeds: Sequence[Json]) -> None:
        """Write the task with the draw's seeds and without an eval file, as a folder for --config-dir."""
        (place / "task").mkdir(parents=True, exist_ok=True)
        lines = [json.dumps(row, ensure_ascii=False) + "\n" for row in seeds]
        (place / "seeds.jsonl").write_text("".join(lines), encoding="utf-8")
        fields = {**self.data.fields, "seeds": str(place / "seeds.jsonl")}
        text = yaml.safe_dump(fields, sort_keys=False, allow_unicode=True)
        (place / "task" / f"{self.data.task.name}.yaml").write_text(text, encoding="utf-8")


def _synthgen(words: Sequence[str], log: Path) -> int:
    """Run a verb of this clone's synthgen and return its exit code."""
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))}
    return run_child([*SYNTHGEN, *words], env, log)


def _must_work(words: Sequence[str], log: Path) -> None:
    if code := _synthgen(words, log):
        raise _failed(words, code, log)


def _failed(words: Sequence[str], code: int, log: Path) -> RunFailedError:
    said = log.read_text(encoding="utf-8", errors="replace")
    return RunFailedError(f"synthgen {' '.join(words)}\nended with exit code {code}:\n{said[-2000:]}")


def _has_ended(folder: Path) -> bool:
    """Return True if a stop rule ended the run. A run that ended in any other way can go on."""
    try:
        stopped_by = json.loads((folder / "summary.json").read_text(encoding="utf-8"))["stopped_by"]
    except FileNotFoundError:
        return False
    return bool(stopped_by) and stopped_by not in ("engine", "signal", "disk", "failure", "min_free_gigabytes")


def _read_lines(path: Path) -> list[Json]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n") if line.strip()]
