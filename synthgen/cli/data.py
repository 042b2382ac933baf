"""Define the verbs that write files from the ledger: report, export."""

from pathlib import Path
from typing import Any

import click

from synthgen.cli.verb import TextValue, folder_of, note, run_and_overrides, run_folder, saved, selecting, verb, wrong
from synthgen.errors import ExitCode

_PARTS = "task.export."
FORMATS = (
    "jsonl", "csv", "parquet", "xlsx", "datasets", "alpaca", "sharegpt", "openai", "trl-messages", "trl-prompt-completion",
    "dpo", "kto", "bio", "conll", "brat", "doccano", "squad", "wmt",
)  # fmt: skip
"""The names of all formats. `synthgen.formats.kinds` has them too, and takes long to import."""


@verb(
    examples=("synthgen report runs/first", "synthgen report runs/first && xdg-open runs/first/report.html"), exits={}
)
@run_folder
def report(run: str) -> int:
    """Write summary.json, report.html and events.jsonl again, from the ledger."""
    folder = folder_of(run)
    from synthgen import ledger
    from synthgen import report as reports
    from synthgen.config import to_yaml

    ledger.check(folder / "ledger.sqlite")
    _say_damage(reports.damage(folder))
    for line in reports.last_lines(reports.write_reports(folder, to_yaml), folder):
        print(line)
    return ExitCode.OK


@verb(
    examples=(
        "synthgen export runs/first --format csv select.method=k_center select.size=200 --out mine",
        "synthgen export clean/train.jsonl --task mine/task/reviews.yaml --format alpaca --out reviews",
    ),
    exits={},
    notes=(
        "jsonl, csv and parquet hold the samples as they are and fit every task, as xlsx and datasets do. "
        "docs/formats.md lists all formats and what each needs.",
        "With --task, RUN is a file of rows, or a folder with train.jsonl, validation.jsonl, test.jsonl or prepared.jsonl.",
    ),
)
@run_and_overrides("select.* keys, which choose the samples, or task.export.* keys, which name their parts")
@click.option(
    "--format", "form", type=click.Choice(FORMATS), default="jsonl", show_default=True, metavar="FORMAT",
    help=f"Format of the samples: {', '.join(FORMATS)}. All but jsonl are written to dataset-FORMAT/ beside dataset/.",
)  # fmt: skip
@click.option("--out", metavar="DIR", type=TextValue(files=True), help="Write to this folder instead.")
@click.option(
    "--task",
    metavar="TASK",
    type=TextValue(files=True),
    help="Task of the rows: a YAML file, or a shipped task's name.",
)
@click.option("--skip", is_flag=True, help="Leave out samples that the format cannot hold, and list them.")
def export(words: tuple[str, ...], form: str, out: str | None, task: str | None, skip: bool) -> int:
    """Write dataset/ again, from the ledger, or write the samples in a format for trainers, tools or spreadsheets."""
    if task is not None:
        return _export_rows(words, form, out, task, skip)
    run, overrides = selecting(words, ("select.", _PARTS))
    folder = folder_of(run)
    from synthgen import ledger
    from synthgen import report as reports
    from synthgen.report.tables import FORMATS as TABLES

    ledger.check(folder / "ledger.sqlite")
    config = saved(folder, [word for word in overrides if not word.startswith(_PARTS)])
    with ledger.Reader(folder / "ledger.sqlite") as reader:
        # a fork of an older version that ended before it wrote its seeds
        if config.task.seeds is not None and not reader.seeds():
            note(f"warning: {folder}: the ledger lacks the run's seeds; add them with: synthgen resume {folder}")
    beside = None if form == "jsonl" else folder / f"dataset-{form}"
    place = Path(out).absolute() if out else beside
    if not out:  # the export itself checks a folder that the user names
        _say_damage(reports.damage(place or folder / "dataset"))
    share, seed = config.run.validation_share, config.run.seed
    if form in TABLES:
        print(reports.export_dataset(folder, share, seed, form=form, out=place, select=config.select))
        return ExitCode.OK
    from synthgen.formats.export import RunExport, export_run

    assert place is not None
    parts = {**config.task.export, **_parts(overrides)}
    _say_left_out(export_run(folder, form, place, RunExport(share, seed, parts, config.select, skip)))
    print(place)
    return ExitCode.OK


def _export_rows(words: tuple[str, ...], form: str, out: str | None, task: str, skip: bool) -> int:
    """Export the rows of a file or folder as samples of `task`."""
    files, overrides = selecting(words, (_PARTS,))
    if out is None:
        wrong("--out is missing; with --task, name the folder to write")
    from synthgen.formats.files import export_files, task_of

    cfg = task_of(task)
    cfg.export = {**cfg.export, **_parts(overrides)}
    place = Path(out).absolute()
    _say_left_out(export_files(files, form, place, cfg, skip))
    print(place)
    return ExitCode.OK


def _parts(overrides: list[str]) -> dict[str, Any]:
    """Return the parts that overrides name. A value takes the place of the task's own as a whole."""
    from synthgen.safety.overrides import values

    given = [word for word in overrides if word.startswith(_PARTS)]
    return {key.removeprefix(_PARTS): value for key, value in values(given)}


def _say_left_out(lines: list[str]) -> None:
    if lines:
        note(f"left out {len(lines)} sample{'s' if len(lines) > 1 else ''} that the format cannot hold:")
    for line in lines[:10]:
        note(f"  {line}")
    if len(lines) > 10:
        note(f"  ... and {len(lines) - 10} more")


def _say_damage(found: list[str]) -> None:
    for line in found:
        note(f"{line}; synthgen writes it again from the ledger")
