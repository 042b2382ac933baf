"""Define the verb that cleans rows of any files: prepare."""

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

import click

from synthgen.cli.verb import TextValue, verb, wrong
from synthgen.errors import ExitCode, WriteError

if TYPE_CHECKING:
    from synthgen.prepare import Preparation


@verb(
    examples=(
        "synthgen prepare hf:OWNER/NAME notes.md --config prepare.yaml --out clean",
        "synthgen prepare reviews.csv --sql sqlite:///shop.db --query 'SELECT body AS text FROM mails' --out clean",
    ),
    exits={ExitCode.OK: "the rows are prepared", ExitCode.INTERRUPTED: "interrupted; DIR was not written"},
    notes=(
        "The files may be JSON Lines, JSON, CSV and TSV, each with .gz or without, Parquet, text, Markdown, HTML, PDF and DOCX.",
    ),
)
@click.argument("files", metavar="FILES...", nargs=-1, help="Files, or datasets as hf:OWNER/NAME.")
@click.option("--out", metavar="DIR", type=TextValue(files=True), required=True, help="Folder to write; new or empty.")
@click.option(
    "--config", metavar="FILE", type=TextValue(files=True),
    help="Steps and settings: a YAML file, or the name of a shipped one. [default: default]",
)  # fmt: skip
@click.option(
    "--steps", metavar="NAME,...", type=TextValue(), help="Run only these steps, in this order, with usual settings."
)
@click.option(
    "--sql", metavar="URL", type=TextValue(),
    help="Read rows from a database too: an SQLAlchemy URL without a password, or env:NAME for one in a variable.",
)  # fmt: skip
@click.option("--query", metavar="SELECT", type=TextValue(), help="The query whose rows --sql reads.")
@click.option(
    "--write-quotas", metavar="CONFIGS", type=TextValue(files=True),
    help="Write CONFIGS/budget/quotas.yaml: what each label lacks, for synthgen run --config-dir CONFIGS budget=quotas.",
)  # fmt: skip
def prepare(
    files: tuple[str, ...],
    out: str,
    config: str | None,
    steps: str | None,
    sql: str | None,
    query: str | None,
    write_quotas: str | None,
) -> int:
    """Clean the rows of any files: repair, personal data, duplicates, outliers, splits."""
    if config and steps:
        wrong("--config and --steps exclude each other; list the steps in the file")
    if bool(sql) != bool(query):
        wrong("--sql and --query belong together; give both")
    from dataclasses import replace

    from synthgen import prepare as preparing
    from synthgen.prepare.progress import shown
    from synthgen.prepare.settings import by_names, with_quotas
    from synthgen.prepare.sql import queries

    names = [name.strip() for name in steps.split(",")] if steps else []
    settings = by_names(names) if names else preparing.load(config or "default")
    if sql:
        settings = replace(settings, sql=[*settings.sql, *queries({"url": sql, "query": query}, "--sql")])
    if write_quotas:
        settings = with_quotas(settings)
    if not files and not settings.sql:
        wrong("FILES is missing; name files, or a database with --sql and --query")
    try:
        outcome = preparing.prepare(files, settings, Path(out).absolute(), shown)
    except KeyboardInterrupt:
        given = {"--config": config, "--steps": steps, "--sql": sql, "--query": query, "--write-quotas": write_quotas}
        options = [each for option, value in given.items() if value for each in (option, value)]
        print(f"interrupted; {out} was not written. To start again:")
        print(f"  {shlex.join(['synthgen', 'prepare', *files, *options, '--out', out])}")
        return ExitCode.INTERRUPTED
    for line in _told(outcome, Path(out)):
        print(line)
    if write_quotas:
        print(_quotas_told(Path(out), Path(write_quotas)))
    return ExitCode.OK


def _told(outcome: "Preparation", out: Path) -> list[str]:
    """Return a line for each step, and one for the result."""
    summary = outcome.summary
    rows: list[tuple[str, ...]] = [("step", "rows in", "removed", "changed", "seconds", "reasons")]
    for log in outcome.logs:
        reasons = ", ".join(f"{code} {count:,}" for code, count in (*log.removed.items(), *log.changed.items()))
        counts = (log.rows_in, sum(log.removed.values()), sum(log.changed.values()))
        rows.append((log.name, *(f"{count:,}" for count in counts), f"{log.seconds:.2f}", reasons))
    widths = [max(len(row[column]) for row in rows) for column in range(5)]
    lines = []
    for first, *numbers, reasons in rows:
        cells = [first.ljust(widths[0]), *(text.rjust(width) for text, width in zip(numbers, widths[1:], strict=True))]
        lines.append("  ".join([*cells, reasons]).rstrip())
    counts = summary["rows"]
    splits = "".join(f", {name} {count:,}" for name, count in summary["splits"].items())
    lines.append(f"{counts['prepared']:,} of {counts['read']:,} rows in {out / 'prepared.jsonl'}{splits}")
    lines.append(f"report: {out / 'report.html'}")
    return lines


def _quotas_told(out: Path, configs: Path) -> str:
    """Copy the quotas to a folder of configs.

    Return lines with the samples that labels lack, and the command that generates them.
    """
    from synthgen.ledger import durable
    from synthgen.prepare.balance import QUOTAS, quotas_file

    file = quotas_file(out)
    if not file.exists():
        return "no label lacks rows; no quotas were written"
    target = quotas_file(configs)
    try:
        if target.resolve() != file.resolve():
            target.parent.mkdir(parents=True, exist_ok=True)
            durable.write_files(target.parent, {target.name: file.read_bytes()})
    except OSError as error:
        raise WriteError(f"{target}: cannot be written: {error.strerror}; it is in {file}, too") from error
    command = shlex.join(["synthgen", "run", "--config-dir", str(configs), f"budget={QUOTAS}"])
    return f"what the labels lack: {target}; to generate it: {command} task=..."
