"""A training that is not finished yet: what is done of it, kept in a folder beside the student's.

    .student.work/
      bound.json          what the work is bound to; anything else than this and it is discarded
      clock.json          the time that it has taken so far, and the paces that were measured
      NAME.json           a finished training: its scores, and the checksums of the model it saved
      NAME/step-*/        checkpoints of the one that is going on
      model/              what becomes the student's folder, as a whole, in the end

A killed training finds here all but the steps since the last checkpoint. Leaves what a training is
to `arms`, and what a checkpoint is to `checkpoint`.
"""

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from synthgen.ledger.durable import (
    agrees,
    is_refused_write,
    manifest,
    read_json,
    recover,
    swap_in,
    sync_tree,
    training_into,
    write_json,
)
from synthgen.records import Json
from synthgen.student.checkpoint import Checkpoints
from synthgen.student.scores import Floats

METRICS_FILE = "metrics.json"
CARD_FILE = "README.md"
LOGS_FOLDER = "logs"
_BOUND, _CLOCK = "bound.json", "clock.json"
_BESIDE = (METRICS_FILE, CARD_FILE, LOGS_FOLDER)
"""What stands in the model's folder and is no part of the model."""


@dataclass(frozen=True)
class Done:
    """Hold a finished training: its scores on the eval rows (None without any), and its seconds.
    ended it before its last one."""

    scores: Floats | None
    seconds: float
    cut: int | None = None


class Work:
    """Hold the unfinished training beside the student's folder `out`."""

    def __init__(self, out: Path, checkpoint_seconds: float, say: Callable[[str], None]) -> None:
        self.folder = _work_folder(out)
        self.model = self.folder / "model"
        self._out = out
        self._checkpoint_seconds = checkpoint_seconds
        self._say = say
        self._complained = False

    def open(self, bound: Json) -> None:
        """Continue work that is bound to the same inputs; discard any other and begin anew."""
        before = read_json(self.folder / _BOUND)
        if before == bound and self.model.is_dir():
            return
        if before is not None and before != bound:
            self._say(f"the unfinished training had other {changed(before, bound)}; it begins anew")
        self.discard()
        self.model.mkdir(parents=True)
        write_json(self.folder / _BOUND, bound)

    def done(self, name: str) -> Done | None:
        """Return the training `name`, if it is finished and its saved model is whole."""
        kept = read_json(self.folder / f"{name}.json")
        if kept is None or (kept["model"] is not None and not agrees(self.model, kept["model"], _BESIDE)):
            return None
        scores = kept["scores"]
        return Done(None if scores is None else np.asarray(scores, dtype=np.float64), kept["seconds"], kept.get("cut"))

    def times(self) -> Json | None:
        """Return what `keep_times` kept."""
        return read_json(self.folder / _CLOCK)

    def keep_times(self, times: Json) -> None:
        """Keep the time that was taken. A disk that refuses costs no more than that time."""
        try:
            write_json(self.folder / _CLOCK, times)
        except OSError as error:
            if not is_refused_write(error):
                raise
            self._complain(f"{self.folder / _CLOCK}: could not be written ({error})")

    def checkpoints(self, name: str) -> Checkpoints:
        return Checkpoints(self.folder / name, self._checkpoint_seconds, self._complain)

    def logs(self, name: str, report_to: str) -> Path:
        """Return where the trainer of `name` may write: the student's folder if a tracker does, else a scratch one."""
        return self.folder / name / LOGS_FOLDER if report_to == "none" else self.model / LOGS_FOLDER / name

    def save(self, save: Callable[[Path], None]) -> None:
        """Let `save` fill the model's folder, and sync it to disk."""
        for leftover in self.model.iterdir():  # of a save that was cut short
            if leftover.name != LOGS_FOLDER:
                shutil.rmtree(leftover) if leftover.is_dir() else leftover.unlink()
        save(self.model)
        sync_tree(self.model)

    def finish(self, name: str, done: Done, saved: bool) -> None:
        """Keep the scores of `name`; delete its checkpoints."""
        kept = {
            "scores": None if done.scores is None else _with_nulls(done.scores),
            "seconds": done.seconds,
            "cut": done.cut,
            "model": manifest(self.model, _BESIDE) if saved else None,
        }
        write_json(self.folder / f"{name}.json", kept)
        shutil.rmtree(self.folder / name, ignore_errors=True)

    def publish(self, metrics: Json, card: str) -> Json:
        """Put model, `metrics` and card in the place of the student; the metrics hold the model's checksums."""
        metrics = metrics | {"files": manifest(self.model, _BESIDE)}
        write_json(self.model / METRICS_FILE, metrics)
        (self.model / CARD_FILE).write_text(card, encoding="utf-8", errors="replace")
        sync_tree(self.model)
        swap_in(self.model, self._out)
        self.discard()
        return metrics

    def discard(self) -> None:
        """Remove all of it, its binding first."""
        (self.folder / _BOUND).unlink(missing_ok=True)
        shutil.rmtree(self.folder, ignore_errors=True)

    @contextmanager
    def kept(self) -> Iterator[None]:
        """Keep what is done when an error or a signal ends the block; a refused write raises WriteError."""
        try:
            with training_into(self._out):
                yield
        except BaseException:
            if not any(self.folder.glob("*-[0-9]*.json")) and not any(self.folder.glob("*/step-*")):
                self.discard()
            raise

    def _complain(self, problem: str) -> None:
        if not self._complained:
            self._complained = True
            self._say(problem)


def finished(out: Path, bound: Json, say: Callable[[str], None]) -> Json | None:
    """The metrics of the student in `out`, where it is whole and was trained on just this; else says why not."""
    recover(out)
    metrics = read_json(out / METRICS_FILE)
    if metrics is None:
        return None
    if metrics.get("bound") != bound:
        say(f"the student was trained with other {changed(metrics.get('bound') or {}, bound)}; it is trained anew")
        return None
    if not agrees(out, metrics.get("files"), _BESIDE):
        say(f"{out}: not the files that the training left; it is trained anew")
        return None
    return metrics


def changed(before: Json, now: Json) -> str:
    """Describe the parts that differ."""
    return ", ".join(name for name in now if before.get(name) != now[name]) or "parts"


def _with_nulls(scores: Floats) -> Any:
    """Nested lists; JSON knows no NaN."""
    values = scores.astype(object)
    values[np.isnan(scores)] = None
    return values.tolist()


def _work_folder(out: Path) -> Path:
    return out.with_name(f".{out.name}.work")
