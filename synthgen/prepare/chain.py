"""Run a chain of steps over files, and write the result: rows, removed rows, report and summary.

Everything is built in a folder beside the target, which becomes the target in one step at the end.
"""

import fcntl
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import IO

from synthgen import __version__
from synthgen.errors import ConfigError, InputError, WriteError
from synthgen.ledger import durable
from synthgen.prepare.collect import Input, check_licences, collect, sources
from synthgen.prepare.item import Item, RowFields
from synthgen.prepare.kinds import KINDS
from synthgen.prepare.log import StepLog
from synthgen.prepare.page import page
from synthgen.prepare.settings import Settings
from synthgen.prepare.step import Context, Step
from synthgen.records import Json, to_json
from synthgen.tasks.typed import nearest

PREPARED, REMOVED, FLAGGED = "prepared.jsonl", "removed.jsonl", "flagged.jsonl"
_TEMPORARY = "tmp"


@dataclass(frozen=True)
class Preparation:
    """Hold the summary and the steps of a finished preparation."""

    summary: Json
    steps: Sequence[Step]
    logs: Sequence[StepLog]


ProgressDisplay = Callable[[StepLog, Sequence[StepLog]], AbstractContextManager[None]]
"""A context that is open while rows are read and the steps work. It gets the log of reading, and those of the steps."""


def prepare(
    files: Sequence[str], settings: Settings, out: Path, watch: ProgressDisplay = lambda *_: nullcontext()
) -> Preparation:
    """Prepare the rows of `files` and write the folder `out`, which must be new or empty.

    Raise InputError for a file that cannot be read, and WriteError where the disk refuses to write.
    """
    bases = [settings.file.parent] if settings.file else []
    found = sources(files, sql=settings.sql, bases=bases)
    check_licences(settings.collect.licence, found, settings.where("licence"))
    _check_free(out)
    try:
        with _building(out) as building:
            outcome = _run(found, settings, building, watch)
            shutil.rmtree(building / _TEMPORARY)
            durable.sync_tree(building)
            durable.swap_in(building, out)
    except OSError as error:
        why = error.strerror or str(error)
        raise WriteError(f"{out}: cannot be written: {why}; {durable.cure(error)}, then repeat the command") from error
    return outcome


@contextmanager
def _building(out: Path) -> Iterator[Path]:
    """Create a folder beside `out` that only this process uses, and remove it at the end unless it was renamed.

    Remove the one of an earlier preparation that was killed. Raise InputError while another process prepares `out`.
    """
    folder = out.with_name(f".{out.name}.new")
    out.parent.mkdir(parents=True, exist_ok=True)
    if folder.exists():
        os.close(_locked(folder, out))
        shutil.rmtree(folder)
    (folder / _TEMPORARY).mkdir(parents=True)
    lock = _locked(folder, out)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)


def _locked(folder: Path, out: Path) -> int:
    """Return the descriptor that locks a folder until it is closed, also by the end of the process."""
    lock = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(lock)
        raise InputError(
            f"{out}: another process prepares it; wait for it, or name another folder with --out"
        ) from error
    return lock


def _run(found: Sequence[Input], settings: Settings, building: Path, watch: ProgressDisplay) -> Preparation:
    fields = RowFields(settings.text, settings.label)
    bases = [settings.file.parent] if settings.file else []
    context = Context(fields, building / _TEMPORARY, settings.seed, building, bases)
    steps = list(make_steps(settings, context))
    start = monotonic()
    with (building / REMOVED).open("wb") as removed, (building / FLAGGED).open("wb") as flagged:
        logs = [StepLog(name, removed, flagged=flagged) for name in _own_names([name for name, _ in settings.steps])]
        read = StepLog("read", removed)
        names: dict[str, None] = {}
        rows: Iterable[Item] = read.measured_out(_noted(collect(found, settings.collect), names))
        for step, log in zip(steps, logs, strict=True):
            rows = log.measured_out(step(log.measured_in(rows), log))
        with watch(read, logs):
            written = _write(_noted(rows, names), building)
    if not read.rows_out:
        raise InputError(f"{', '.join(each.name for each in found)}: no rows; name files that hold some")
    _check_fields(settings, names)
    summary = {
        "synthgen": __version__,
        "files": [each.name for each in found],
        "rows": {"read": read.rows_out, "prepared": sum(written.values()), "removed": _total(logs)},
        "splits": {name: count for name, count in written.items() if name},
        "steps": {log.name: log.summary for log in logs},
        "seconds": {"read": round(read.seconds, 3), "total": round(monotonic() - start, 3)},
    }
    durable.write_synced(building / "report.html", page(summary, steps, logs).encode("utf-8", "replace"))
    durable.write_json(building / "summary.json", summary)
    return Preparation(summary, steps, logs)


def make_steps(settings: Settings, context: Context) -> Iterator[Step]:
    """Yield the steps of a chain. Raise ConfigError, with the place in the settings, for a step that cannot be made."""
    for number, (name, cfg) in enumerate(settings.steps):
        try:
            yield KINDS[name].make(cfg, context)
        except ConfigError as error:
            raise ConfigError(f"{settings.place(number)}: {error}") from error


def _noted(rows: Iterable[Item], names: dict[str, None]) -> Iterator[Item]:
    """Pass on rows, and add the names of their fields to `names`."""
    for item in rows:
        if not item.data.keys() <= names.keys():
            names.update(dict.fromkeys(item.data))
        yield item


def _check_fields(settings: Settings, names: Iterable[str]) -> None:
    """Raise ConfigError for a field that the settings name and no row has, because a step would do nothing."""
    for key, name in settings.named_fields():
        if name not in names:
            raise ConfigError(f"{settings.where(key)}: no row has the field '{name}'{nearest(name, names)}")


def _write(rows: Iterable[Item], folder: Path) -> dict[str, int]:
    """Write every row to prepared.jsonl, and to a file of its split. Return the rows of each split."""
    counts: dict[str, int] = {}
    parts: dict[str, IO[bytes]] = {}
    with (folder / PREPARED).open("wb") as whole:
        try:
            for item in rows:
                line = f"{to_json(item.data)}\n".encode()
                whole.write(line)
                if item.split:
                    if item.split not in parts:
                        parts[item.split] = (folder / f"{item.split}.jsonl").open("wb")
                    parts[item.split].write(line)
                counts[item.split or ""] = counts.get(item.split or "", 0) + 1
        finally:
            for part in parts.values():
                part.close()
    return counts


def _total(logs: Sequence[StepLog]) -> int:
    return sum(sum(log.removed.values()) for log in logs)


def _own_names(names: Sequence[str]) -> Iterator[str]:
    """Yield a name for each step, with a number where a chain has the same step twice."""
    for place, name in enumerate(names):
        before = names[:place].count(name)
        yield f"{name}_{before + 1}" if before else name


def _check_free(out: Path) -> None:
    try:
        taken = out.exists() and (not out.is_dir() or any(out.iterdir()))
    except OSError as error:
        raise InputError(f"{out}: cannot be read: {error.strerror}; choose another folder with --out") from error
    if taken:
        raise InputError(f"{out}: has content already; name a new or empty folder with --out")
