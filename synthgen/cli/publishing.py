"""Define the verb that publishes a run: push."""

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

import click

from synthgen.cli.verb import TextValue, folder_of, note, run_folder, saved, verb, wrong
from synthgen.errors import ExitCode, UserError

if TYPE_CHECKING:
    from synthgen.publish.upload import Upload


@verb(
    examples=(
        "synthgen push runs/first --to hf:OWNER/NAME --what both --license cc-by-4.0 --yes",
        "synthgen push clean --to s3://bucket/path --yes",
    ),
    exits={
        ExitCode.OK: "published; without --yes: the scan found nothing that forbids it",
        ExitCode.INTERRUPTED: "interrupted; repeat the command to continue",
    },
    notes=(
        "RUN may also be a folder with any other dataset: its files are published as they are.",
        "Without --yes, nothing is sent: the files, the visibility, the licence and the findings of the scan are printed.",
        "The token for the hub is read from $HF_TOKEN. Stores take their credentials from their own variables.",
    ),
)
@run_folder
@click.option(
    "--to",
    "target",
    metavar="TARGET",
    type=TextValue(),
    required=True,
    help="hf:OWNER/NAME, or an address of a store: s3://BUCKET/PATH, gs://..., file:///...",
)
@click.option(
    "--what",
    type=click.Choice(["dataset", "student", "both"]),
    default="dataset",
    show_default=True,
    help="What is published.",
)
@click.option("--yes", is_flag=True, help="Publish. Without it, only print what would be published.")
@click.option("--public", is_flag=True, help="Everybody may read it. Without it, a new repository is private.")
@click.option("--license", "licence", metavar="NAME", type=TextValue(), help="Licence for the card, such as cc-by-4.0.")
@click.option(
    "--format",
    "form",
    type=click.Choice(["jsonl", "csv", "parquet"]),
    default="jsonl",
    show_default=True,
    help="Format of the dataset's files.",
)
@click.option(
    "--allow",
    metavar="KIND,...",
    type=TextValue(),
    help="Publish although the scan finds these kinds, such as email,secret.",
)
@click.option(
    "--also",
    metavar="KIND,...",
    type=TextValue(),
    help="Look for these kinds too: name, address. They have no fixed form, and some findings are wrong.",
)
def push(
    run: str, target: str, what: str, yes: bool, public: bool, licence: str | None, form: str, allow: str | None, also: str | None
) -> int:  # fmt: skip
    """Publish the dataset or the student: to the Hugging Face hub, or to S3, GCS and other stores."""
    from synthgen.publish import hub, record, scan, store

    allowed, more = _kinds("--allow", allow, scan.KINDS), _kinds("--also", also, scan.ON_REQUEST)
    name = hub.repository(target)
    if name is None:
        store.check(target)
        if public:
            wrong("--public is for the hub; set the visibility of a store with its own tools")
    uploads = _parcels(run, what, form, licence)
    found = [(each.kind, scan.scan(each.files, (*scan.ALWAYS, *more), note)) for each in uploads]
    forbidden = [finding for _, findings in found for finding in findings if finding.kind not in allowed]
    if not yes:
        where = _visibility(public) if name else ""
        for line in _planned(target, name, where, uploads):
            print(line)
    for kind, findings in found:
        if findings:
            print(f"scan of the {kind}:", *(f"  {line}" for line in scan.summary(findings)), sep="\n")
    if forbidden:
        kinds = ",".join(dict.fromkeys(finding.kind for finding in forbidden))
        raise UserError(
            f"nothing was published, because the scan found {kinds}; remove it from the samples, or publish it knowingly "
            f"with --allow {','.join(dict.fromkeys([*allowed, *kinds.split(',')]))}"
        )
    if not yes:
        for each in uploads:
            if left := scan.unread(each.files):
                print(f"not read by the scan, because they are no texts: {', '.join(left)}")
        print(
            "The scan found nothing that forbids it." if not any(f for _, f in found) else "The findings are allowed."
        )
        print("Nothing was sent. To publish it, add --yes")
        return ExitCode.OK
    kept_in = _run_of(run)
    try:
        connection = hub.hub_of_environment() if name else None
        for each in uploads:
            if name and connection:
                done = hub.push(connection, name, each, public, note)
            else:
                done = store.push(target, each, note)
            print(done.line)
            if kept_in is not None:
                record.keep(kept_in, target, each, done.revision)
    except KeyboardInterrupt:
        print("interrupted; this command continues, and sends only what is missing:")
        print(f"  {shlex.join(_again(run, target, what, public, licence, form, allow, also))}")
        return ExitCode.INTERRUPTED
    return ExitCode.OK


def _parcels(run: str, what: str, form: str, licence: str | None) -> "list[Upload]":
    """Return the uploads: made from the ledger for a run, or the files of any other folder as they are."""
    from synthgen.publish import upload

    place = Path(run)
    if place.is_dir() and not (place / "ledger.sqlite").exists():
        if what != "dataset":
            wrong(f"--what {what}: {run} is no run folder, so that it has a dataset only")
        return [upload.folder_upload(place.resolve(), licence)]
    folder = folder_of(run)
    from synthgen import ledger

    ledger.check(folder / "ledger.sqlite")
    config = saved(folder)
    uploads = []
    if what != "student":
        share, seed = config.run.validation_share, config.run.seed
        uploads.append(upload.dataset_upload(folder, share, seed, form, licence, config.select))
    if what != "dataset":
        uploads.append(upload.student_upload(folder, config.student.kind, licence))
    return uploads


def _run_of(run: str) -> Path | None:
    """Return the folder of the run that is published, or whose export is; None for any other folder."""
    place = Path(run).resolve()
    return next((each for each in (place, place.parent) if (each / "ledger.sqlite").is_file()), None)


def _kinds(option: str, value: str | None, known: tuple[str, ...]) -> list[str]:
    kinds = [kind.strip() for kind in value.split(",")] if value else []
    for kind in kinds:
        if kind not in known:
            wrong(f"{option}: '{kind}' is not one of {', '.join(known)}")
    return kinds


def _visibility(public: bool) -> str:
    return "public: everybody may read it" if public else "private"


def _planned(target: str, name: str | None, visibility: str, uploads: "list[Upload]") -> list[str]:
    """Return lines with the exact files, visibility and target of a publication."""
    from synthgen.publish import hub, store

    lines = []
    for each in uploads:
        place = hub.address(name, each.kind) if name else store.place(target, each)
        lines.append(f"{each.kind} -> {place}" + (f" ({visibility})" if visibility else ""))
        lines += [f"  {each.size(file):>13,} bytes  {file}" for file in each.files]
        unnamed = "; name it with --license" if each.licence == "other" else ""
        lines.append(f"  licence: {each.licence}{unnamed}")
    return lines


def _again(
    run: str, target: str, what: str, public: bool, licence: str | None, form: str, allow: str | None, also: str | None
) -> list[str]:
    given = {"--license": licence, "--allow": allow, "--also": also}
    options = [word for option, value in given.items() if value for word in (option, value)]
    flags = ["--public"] if public else []
    return ["synthgen", "push", run, "--to", target, "--what", what, "--format", form, *options, *flags, "--yes"]
