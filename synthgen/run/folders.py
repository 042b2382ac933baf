"""Choose, check and clear the folder of a new run, and write its config.yaml."""

import re
import shlex
import shutil
from contextlib import suppress
from dataclasses import replace
from itertools import chain, count
from pathlib import Path

from synthgen.config import Config, to_json, to_yaml
from synthgen.engines.batch.records import FOLDER, waiting
from synthgen.errors import RunFolderError
from synthgen.ledger import Reader, check_writable, holder
from synthgen.ledger.durable import exporting, write_files
from synthgen.run.prepare import Prepared
from synthgen.run.refusal import is_empty
from synthgen.run.shares import FOLDER as SHARDS


def new_folder(config: Config) -> Path:
    """Return the folder of a new run. Raise RunFolderError where it cannot be used."""
    folder = Path(config.run.dir).resolve()
    if (folder / "ledger.sqlite").exists() and not is_unnamed(config) and not _is_abandoned(folder):
        raise RunFolderError(
            f"{config.run.dir} already contains a run. Continue that run:\n"
            f"  {shlex.join(['synthgen', 'resume', config.run.dir])}\n"
            "or give the new run another name: run.name=NAME (after --fork: another folder)"
        )
    check_writable(folder)
    return folder


def _is_abandoned(folder: Path) -> bool:
    """Return True for a run that ended before an engine answered, so that another run may take its name."""
    if holder(folder) is not None:
        return False
    with Reader(folder / "ledger.sqlite") as reader:
        return is_empty(reader) and not waiting(folder)


def clear(folder: Path) -> None:
    """Remove the files of an abandoned run, if there is one. The caller must hold the folder's lock."""
    if not (folder / "ledger.sqlite").exists():
        for name in (FOLDER, SHARDS):  # without their ledger, they belong to no run
            shutil.rmtree(folder / name, ignore_errors=True)
        return
    with Reader(folder / "ledger.sqlite") as reader:
        if not is_empty(reader) or waiting(folder):  # another process was faster
            raise RunFolderError(f"{folder} already contains a run; give the new run another name")
    for name in (
        "ledger.sqlite",
        "ledger.sqlite-wal",
        "ledger.sqlite-shm",
        "summary.json",
        "report.html",
        "events.jsonl",
    ):
        (folder / name).unlink(missing_ok=True)
    for name in (FOLDER, SHARDS):
        shutil.rmtree(folder / name, ignore_errors=True)


def is_unnamed(config: Config) -> bool:
    """Return True for a run that has the default name: its task and the time to the second."""
    run = config.run
    stamped = re.fullmatch(rf"{re.escape(config.task.name)}-\d{{8}}-\d{{6}}(-\d+)?", run.name)
    return stamped is not None and run.dir == f"runs/{run.name}"


def reserved(prepared: Prepared) -> Prepared:
    """Make the folder of an unnamed run under the first free name of NAME, NAME-2, NAME-3, ..."""
    config, wanted = prepared.config, prepared.config.run.name
    for name in chain([wanted], (f"{wanted}-{number}" for number in count(2))):
        folder = Path("runs", name)
        with suppress(FileExistsError):
            folder.mkdir(parents=True)
            break
    return replace(prepared, config=replace(config, run=replace(config.run, name=name, dir=str(folder))))


def write_config(prepared: Prepared, folder: Path) -> None:
    with exporting(folder / "config.yaml", f"synthgen resume {folder}"):
        write_files(folder, {"config.yaml": to_yaml(to_json(prepared.config)).encode()})
