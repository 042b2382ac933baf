"""Define the verbs that write files from the ledger: report, export."""

from pathlib import Path

import click

from synthgen.cli.verb import Text, folder_of, note, run_and_overrides, run_folder, saved, selecting, verb
from synthgen.errors import ExitCode


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
        "synthgen export runs/first --format csv",
        "synthgen export runs/first select.method=k_center select.size=200 --out mine",
    ),
    exits={},
)
@run_and_overrides("select.* keys, which choose the samples")
@click.option(
    "--format", "form", type=click.Choice(["jsonl", "csv", "parquet"]), default="jsonl", show_default=True,
    help="Format of the rows. csv and parquet are written to dataset-FORMAT/ beside dataset/.",
)  # fmt: skip
@click.option("--out", metavar="DIR", type=Text(files=True), help="Write to this folder instead.")
def export(words: tuple[str, ...], form: str, out: str | None) -> int:
    """Write dataset/ again, from the ledger, or write the dataset as CSV or Parquet."""
    run, overrides = selecting(words)
    folder = folder_of(run)
    from synthgen import ledger
    from synthgen import report as reports

    ledger.check(folder / "ledger.sqlite")
    config = saved(folder, overrides)
    with ledger.Reader(folder / "ledger.sqlite") as reader:
        # a fork of an older version that ended before it wrote its seeds
        if config.task.seeds is not None and not reader.seeds():
            note(f"warning: {folder}: the ledger lacks the run's seeds; add them with: synthgen resume {folder}")
    beside = None if form == "jsonl" else folder / f"dataset-{form}"
    place = Path(out).absolute() if out else beside
    if not out:  # the export itself checks a folder that the user names
        _say_damage(reports.damage(place or folder / "dataset"))
    share, seed = config.run.validation_share, config.run.seed
    print(reports.export_dataset(folder, share, seed, form=form, out=place, select=config.select))
    return ExitCode.OK


def _say_damage(found: list[str]) -> None:
    for line in found:
        note(f"{line}; synthgen writes it again from the ledger")
