"""Define the verbs that keep datasets as versions: version, log, diff, merge."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from synthgen.cli.verb import TextValue, note, verb, wrong
from synthgen.errors import ExitCode
from synthgen.safety.untrusted import printable

_NAMES = (
    "A dataset is a run, a folder or file of rows (JSON Lines, JSON, CSV, TSV or Parquet), hf:OWNER/NAME[:SPLIT][@REVISION], or"
    " a version: NAME@3, NAME for the newest one, or the beginning of its content hash. docs/versions.md explains versions."
)
_store = click.option(
    "--store",
    metavar="DIR",
    type=TextValue(files=True),
    default="versions",
    show_default=True,
    help="Folder of the versions.",
)
_target = click.option(
    "--target", metavar="FIELD,...", type=TextValue(),
    help="The target fields; all others are input. [default: the task's, or `label`]",
)  # fmt: skip
_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


def _dataset(name: str, **more: Any) -> Callable[[Any], Any]:
    return click.argument(name, metavar=name.upper(), type=TextValue(files=True), **more)


@verb(
    notes=(_NAMES,),
    examples=(
        'synthgen version runs/first --name news -m "first run"',
        "synthgen version news@1 --checkout news-1",
    ),
    exits={
        ExitCode.OK: "the version is made, or the dataset is unchanged",
        ExitCode.INTERRUPTED: "interrupted; no version was made",
    },
)
@_dataset("dataset", help="The dataset to freeze, or with --checkout the version to write.")
@click.option("-m", "--message", metavar="TEXT", default="", help="What is new in this version.")
@click.option("--name", metavar="NAME", type=TextValue(), help="Name of the dataset. [default: that of the folder]")
@click.option("--licence", metavar="NAME", type=TextValue(), help="Licence of the rows that name none.")
@click.option("--guide", metavar="FILE", type=TextValue(files=True), help="The annotation guide that was in force.")
@click.option("--checkout", metavar="DIR", type=TextValue(files=True), help="Write the rows of a version to a folder.")
@_store
def version(
    dataset: str,
    message: str,
    name: str | None,
    licence: str | None,
    guide: str | None,
    checkout: str | None,
    store: str,
) -> int:
    """Freeze a dataset as a version, or write the rows of a version to a folder."""
    from synthgen import versions
    from synthgen.versions import words

    library = versions.Library(versions.Store(Path(store)))
    if checkout:
        if message or name or licence or guide:
            wrong("--checkout only writes a version; leave out -m, --name, --licence and --guide")
        found = library.version(dataset)
        splits = versions.check_out(found, Path(checkout))
        parts = ", ".join(f"{split} {count:,}" for split, count in splits.items())
        print(printable(f"{found.label} in {checkout}: {parts}"))
        return ExitCode.OK
    for line in words.of_frozen(versions.freeze_dataset(library, dataset, message, name, licence, guide, note)):
        print(printable(line))
    return ExitCode.OK


@verb(
    notes=("NAME@3 or a content hash prints all that is known about one version.",),
    examples=("synthgen log news", "synthgen log news@2 --json"),
    exits={},
)
@click.argument("name", metavar="[NAME]", required=False, type=TextValue(), help="A dataset, or one version of it.")
@_json
@_store
def log(name: str | None, as_json: bool, store: str) -> int:
    """List the versions in a store, the newest first, or show one of them."""
    from synthgen import versions
    from synthgen.versions import words

    library = versions.Library(versions.Store(Path(store)))
    listed = library.listed(name)
    if as_json:
        print(json.dumps([each.meta for each in listed], ensure_ascii=False, indent=2))
        return ExitCode.OK
    one = name is not None and name not in library.store.names()
    for line in words.of_version(listed[0]) if one else words.of_log(listed):
        print(printable(line))
    return ExitCode.OK


@verb(
    notes=(_NAMES,),
    examples=("synthgen diff news@1 news@2", "synthgen diff old.csv hf:OWNER/NAME@main --target intent --rows"),
    exits={ExitCode.OK: "the datasets were compared"},
)
@_dataset("a", help="The earlier dataset.")
@_dataset("b", help="The later dataset.")
@click.option("--rows", is_flag=True, help="List every row that was added (+), removed (-), changed (~) or moved (>).")
@_json
@_target
@_store
def diff(a: str, b: str, rows: bool, as_json: bool, target: str | None, store: str) -> int:
    """Compare two datasets: rows, splits, labels, lengths and students."""
    from synthgen import versions
    from synthgen.versions import words
    from synthgen.versions.reading import workspace

    library = versions.Library(versions.Store(Path(store)))
    with workspace() as work:
        found = versions.compare(library.dataset(a, work), library.dataset(b, work), _fields(target))
        _warn(a, b)
        if as_json:
            print(json.dumps(words.diff_json(found, rows), ensure_ascii=False, indent=2))
            return ExitCode.OK
        for line in words.of_diff(found):
            print(printable(line))
        if rows and found.changes:
            print()
            for line in words.of_rows(found):
                print(line)
    return ExitCode.OK


@verb(
    notes=(
        "Only rows of different datasets are compared. The first dataset has precedence.",
        _NAMES,
    ),
    examples=(
        "synthgen merge news@2 reviews.jsonl --out both",
        "synthgen merge runs/first runs/second --on-conflict drop --near meaning --out both",
    ),
    exits={ExitCode.OK: "the datasets are merged", ExitCode.INTERRUPTED: "interrupted; DIR was not written"},
)
@click.argument("datasets", metavar="DATASET DATASET...", nargs=-1, required=True, help="Two datasets or more.")
@click.option("--out", metavar="DIR", type=TextValue(files=True), required=True, help="Folder to write; new or empty.")
@click.option(
    "--on-conflict", type=click.Choice(["first", "drop", "error"]), default="first", show_default=True,
    help="Equal texts with different targets: keep the first dataset's, drop them all, or write nothing.",
)  # fmt: skip
@click.option(
    "--near", type=click.Choice(["words", "meaning", "none"]), default="words", show_default=True,
    help="Find near-duplicates by shared substrings, by embeddings, or not at all.",
)  # fmt: skip
@click.option("--threshold", type=float, help="Least similarity of near-duplicates. [default: 0.8; meaning: 0.95]")
@click.option(
    "--embedder", metavar="NAME", type=TextValue(), help="Embedder of --near meaning. [default: the bundled one]"
)
@_target
@_store
def merge(
    datasets: tuple[str, ...], out: str, store: str, target: str | None, embedder: str | None, **rules: Any
) -> int:
    """Merge datasets into one, each row once, with the lineage of every row."""
    if len(datasets) < 2:
        wrong("give two datasets or more")
    if embedder and rules["near"] != "meaning":
        wrong("--embedder is for --near meaning")
    from synthgen import versions
    from synthgen.versions import words
    from synthgen.versions.reading import workspace

    if embedder:
        rules["embedder"] = embedder
    cfg = versions.MergeConfig(target=_fields(target), **rules)
    library = versions.Library(versions.Store(Path(store)))
    with workspace() as work:
        merged = versions.merge([library.dataset(name, work) for name in datasets], cfg, Path(out), work, note)
    _warn(*datasets)
    for line in words.of_merge(merged, out):
        print(printable(line))
    return ExitCode.OK


def _warn(*names: str) -> None:
    """Warn of runs whose people answered after their dataset was written."""
    from synthgen.versions.reading import stale

    for name in names:
        if warning := stale(Path(name)):
            note(warning)


def _fields(target: str | None) -> tuple[str, ...]:
    return tuple(name.strip() for name in target.split(",") if name.strip()) if target else ()
