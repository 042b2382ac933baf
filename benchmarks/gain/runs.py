"""The runs behind the benchmark: `synthgen run` for each draw, once as it is shipped and once one-shot.

Every run starts its own engine, as a user's does: no other way is sure to be what the shipped config does (request
seeds, supervision, in-flight work), and a server's start is less than what it then does. To share a server, override the
engine. A run that was cut short goes on with `synthgen resume`.
"""

import json
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from benchmarks.gain.data import Data
from synthgen.config import from_saved
from synthgen.evidence import Weighed, weighed
from synthgen.ledger import Reader
from synthgen.records import Json, content_id

ROOT = Path(__file__).resolve().parents[2]
ENDLESS = 10_000_000
# Nothing that a run learns reaches a one-shot prompt, and nothing but the form of an answer is checked.
ONE_SHOT = (
    "judge=none", "pool.max_depth=1", "diversity=hash", "diversity.threshold=1.0", "filters.min_chars=0",
    "filters.max_repetition=1.0", "filters.max_copy=1.0", "filters.leaks=[]", "filters.truncation=false",
)  # fmt: skip


class RunFailedError(RuntimeError):
    """A run ended in another way than at its token budget or another stop rule."""


@dataclass
class Outcome:
    """What a run made within the token budget, in the order of its slots."""

    rows: list[Json]
    candidates: int
    rejected: Counter[str] = field(default_factory=Counter)
    generated: int = 0
    judged: int = 0
    """Output tokens, of generation and of the judge."""
    stopped_by: str = ""
    worth: list[Weighed] = field(default_factory=list)
    """How much each row counts, and with which labels; empty where all count alike."""


@dataclass(frozen=True)
class Runs:
    """Runs in folders below `work`, each with `budget` output tokens."""

    data: Data
    work: Path
    budget: int
    seed: int
    overrides: Sequence[str] = ()

    def loop(self, draw: int, seeds: Sequence[Json]) -> Outcome:
        """The full loop with the shipped defaults: its accepted samples, and what a run's own student makes of them."""
        folder = self.made(draw, "loop", seeds, ())
        with Reader(folder / "ledger.sqlite") as reader:
            outcome, last = _within(reader, self.budget)
            accepted = [sample for sample in reader.samples() if sample.slot is not None and sample.slot <= last]
            trust = from_saved(reader.meta("config"), []).judge.trust
            found = weighed(reader, list(self.data.task.labels), trust, last + 1)
        outcome.worth = [found.get(sample.id, Weighed()) for sample in accepted]
        outcome.rows = [sample.data for sample in accepted]
        return outcome

    def pool(self, draw: int, seeds: Sequence[Json]) -> Outcome:
        """Every candidate of good form that prompts with the seeds alone bring."""
        folder = self.made(draw, "pool", seeds, ONE_SHOT)
        human = {content_id(row) for row in seeds}
        with Reader(folder / "ledger.sqlite") as reader:
            outcome, last = _within(reader, self.budget)
            sql = "SELECT data, parents, finish_reason FROM candidates WHERE slot <= ? ORDER BY slot, item"
            found = list(reader.rows(sql, (last,)))
        if any(not human.issuperset(json.loads(parents)) for _, parents, _ in found):
            raise RunFailedError(f"{folder}: a one-shot prompt showed more than the seeds")
        written = [json.loads(text) for text, _, reason in found if text is not None and reason != "length"]
        outcome.rows = [row for row in written if not self.data.task.problems(row)]
        return outcome

    def made(self, draw: int, name: str, seeds: Sequence[Json], settings: Sequence[str]) -> Path:
        """The folder of a run that has ended; starts it, or goes on with it, where it has not."""
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
        print(
            f"draw {draw}: synthgen {words[0]}, {name}; it says how it goes in {folder}.log",
            file=sys.stderr,
            flush=True,
        )
        code = _synthgen(words, Path(f"{folder}.log"))
        if not _has_ended(folder):
            said = Path(f"{folder}.log").read_text(encoding="utf-8", errors="replace")
            raise RunFailedError(f"synthgen {' '.join(words)}\nended with exit code {code}:\n{said[-2000:]}")
        return folder

    def _write_task(self, place: Path, seeds: Sequence[Json]) -> None:
        """The task with the draw's seeds and without an eval file, as a folder for --config-dir."""
        (place / "task").mkdir(parents=True, exist_ok=True)
        lines = [json.dumps(row, ensure_ascii=False) + "\n" for row in seeds]
        (place / "seeds.jsonl").write_text("".join(lines), encoding="utf-8")
        fields = {**self.data.fields, "seeds": str(place / "seeds.jsonl")}
        text = yaml.safe_dump(fields, sort_keys=False, allow_unicode=True)
        (place / "task" / f"{self.data.task.name}.yaml").write_text(text, encoding="utf-8")


def _synthgen(words: Sequence[str], log: Path) -> int:
    """Runs a verb in a process of its own, which an interrupt of this one drains. Returns its exit code."""
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))}
    with log.open("ab") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "synthgen", *words], env=env, stdout=out, stderr=out, start_new_session=True
        )
        try:
            return process.wait()
        except KeyboardInterrupt:
            process.send_signal(signal.SIGINT)
            process.wait()
            raise


def _has_ended(folder: Path) -> bool:
    """Whether a stop rule ended the run. Any other end is one to go on from."""
    try:
        stopped_by = json.loads((folder / "summary.json").read_text(encoding="utf-8"))["stopped_by"]
    except FileNotFoundError:
        return False
    return bool(stopped_by) and stopped_by not in ("engine", "signal", "disk", "failure", "min_free_gigabytes")


def _within(reader: Reader, budget: int) -> tuple[Outcome, int]:
    """What the ledger says of the slots that fit the token budget, and the last of them.

    A run ends what is in flight when its budget is spent, and so has some hundred tokens too many: the last slots.
    """
    outcome = Outcome([], 0, stopped_by=reader.meta("stopped_by"))
    last = -1
    sql = (
        "SELECT slot, SUM(CASE WHEN kind = 'generate' THEN completion_tokens ELSE 0 END), SUM(completion_tokens)"
        " FROM requests WHERE state = 'answered' GROUP BY slot ORDER BY slot"
    )
    for slot, generated, all_tokens in reader.rows(sql):
        if outcome.generated + outcome.judged + all_tokens > budget:
            break
        last = slot
        outcome.generated += generated
        outcome.judged += all_tokens - generated
    sql = "SELECT COALESCE(reason, 'unknown'), outcome, COUNT(*) FROM candidates WHERE slot <= ? GROUP BY 1, 2"
    for reason, how, count in reader.rows(sql, (last,)):
        outcome.candidates += count
        if how == "rejected":
            outcome.rejected[reason] += count
    return outcome, last
