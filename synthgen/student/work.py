"""Keep the finished parts of an unfinished training in a folder beside the student's folder.

    .student.work/
      bound.json          the inputs of the training; work for other inputs is discarded
      clock.json          the time that the training has taken so far, and the measured time per unit of work
      NAME.json           a finished fit: its scores, and the checksums of the model that it saved
      NAME/step-*/        checkpoints of the current fit
      model/              the files that replace the student's folder at the end, all at once

After a kill, only the steps since the last checkpoint are lost. `arms` runs the fits, and
`checkpoint` writes the checkpoints.
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
"""Files in the model's folder that are no part of the model."""


@dataclass(frozen=True)
class Done:
    """Hold a finished fit: its scores on the eval rows (None without eval rows) and its seconds.

    `cut` is the step at which the limit ended the fit early, or None.
    """

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
        """Continue the work if it is for the same inputs. Otherwise discard it and start again."""
        before = read_json(self.folder / _BOUND)
        if before == bound and self.model.is_dir():
            return
        if before is not None and before != bound:
            self._say(f"the unfinished training had other {changed(before, bound)}; it starts again from the beginning")
        self.discard()
        self.model.mkdir(parents=True)
        write_json(self.folder / _BOUND, bound)

    def done(self, name: str) -> Done | None:
        """Return the fit `name` if it is finished and its saved model is complete, else None."""
        kept = read_json(self.folder / f"{name}.json")
        if kept is None or (kept["model"] is not None and not agrees(self.model, kept["model"], _BESIDE)):
            return None
        scores = kept["scores"]
        return Done(None if scores is None else np.asarray(scores, dtype=np.float64), kept["seconds"], kept.get("cut"))

    def times(self) -> Json | None:
        """Return the times that `keep_times` stored, or None."""
        return read_json(self.folder / _CLOCK)

    def keep_times(self, times: Json) -> None:
        """Store the times. If the disk refuses the write, report it and continue: only the times are lost."""
        try:
            write_json(self.folder / _CLOCK, times)
        except OSError as error:
            if not is_refused_write(error):
                raise
            self._complain(f"{self.folder / _CLOCK}: could not be written ({error})")

    def checkpoints(self, name: str) -> Checkpoints:
        return Checkpoints(self.folder / name, self._checkpoint_seconds, self._complain)

    def logs(self, name: str, report_to: str) -> Path:
        """Return the folder for the logs of `name`: inside the student's folder for a tracker, else a temporary one."""
        return self.folder / name / LOGS_FOLDER if report_to == "none" else self.model / LOGS_FOLDER / name

    def save(self, save: Callable[[Path], None]) -> None:
        """Empty the model's folder, let `save` fill it, and sync it to disk."""
        for leftover in self.model.iterdir():  # from an interrupted save
            if leftover.name != LOGS_FOLDER:
                shutil.rmtree(leftover) if leftover.is_dir() else leftover.unlink()
        save(self.model)
        sync_tree(self.model)

    def finish(self, name: str, done: Done, saved: bool) -> None:
        """Store the scores of `name` and delete its checkpoints."""
        kept = {
            "scores": None if done.scores is None else _with_nulls(done.scores),
            "seconds": done.seconds,
            "cut": done.cut,
            "model": manifest(self.model, _BESIDE) if saved else None,
        }
        write_json(self.folder / f"{name}.json", kept)
        shutil.rmtree(self.folder / name, ignore_errors=True)

    def publish(self, metrics: Json, card: str) -> Json:
        """Replace the student's folder by the model, `metrics` and card. Return the metrics with all checksums."""
        metrics = metrics | {"files": manifest(self.model, _BESIDE)}
        write_json(self.model / METRICS_FILE, metrics)
        (self.model / CARD_FILE).write_text(card, encoding="utf-8", errors="replace")
        sync_tree(self.model)
        swap_in(self.model, self._out)
        self.discard()
        return metrics

    def discard(self) -> None:
        """Remove the work folder, its binding first, so that a half-removed folder is never continued."""
        (self.folder / _BOUND).unlink(missing_ok=True)
        shutil.rmtree(self.folder, ignore_errors=True)

    @contextmanager
    def kept(self) -> Iterator[None]:
        """Keep the finished parts when an error or a signal ends the block. Raise WriteError for a refused write."""
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
    """Return the metrics of the student in `out` if it is complete and trained on the same inputs.

    Otherwise report why not and return None.
    """
    recover(out)
    metrics = read_json(out / METRICS_FILE)
    if metrics is None:
        return None
    if metrics.get("bound") != bound:
        say(f"the student was trained with other {changed(metrics.get('bound') or {}, bound)}; it is trained again")
        return None
    if not agrees(out, metrics.get("files"), _BESIDE):
        say(f"{out}: the student's files have changed since its training; it is trained again")
        return None
    return metrics


def changed(before: Json, now: Json) -> str:
    """Describe the parts that differ."""
    return ", ".join(name for name in now if before.get(name) != now[name]) or "parts"


def _with_nulls(scores: Floats) -> Any:
    """Return nested lists with None for NaN, because JSON has no NaN."""
    values = scores.astype(object)
    values[np.isnan(scores)] = None
    return values.tolist()


def _work_folder(out: Path) -> Path:
    return out.with_name(f".{out.name}.work")
