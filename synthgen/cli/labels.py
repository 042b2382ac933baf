"""The verb for people who label: label."""

from typing import Any

import click

from synthgen.cli.students import CUT_SHORT, retrained
from synthgen.cli.verb import Text, WholeNumber, folder_of, note, run_folder, saved, verb
from synthgen.errors import ExitCode
from synthgen.safety.untrusted import printable

COUNT = 40


@verb(
    notes=("--web, --export and --import exclude one another. docs/labelling.md says more.",),
    examples=("synthgen label runs/first --count 20 --then train", "synthgen label runs/first --export ask.csv"),
    exits={
        ExitCode.OK: "the questions are answered, or you left",
        ExitCode.STOPPED: f"with --then train: {CUT_SHORT[ExitCode.STOPPED]}",
        ExitCode.INTERRUPTED: "interrupted; every answer is kept",
    },
)
@run_folder
@click.option("--count", type=WholeNumber(1, 1_000_000), default=COUNT, show_default=True, help="Questions to ask.")
@click.option("--annotator", metavar="NAME", type=Text(), help="Who answers; the default is your login name.")
@click.option("--web", is_flag=True, help="Ask on a page that this machine serves, not in the terminal.")
@click.option("--port", type=WholeNumber(0, 65535), default=0, help="Port of the page; the default is a free one.")
@click.option("--disagreements", is_flag=True, help="Ask about samples on which people disagree.")
@click.option(
    "--export", metavar="FILE", type=Text(files=True), help="Write the questions to a file for others: .jsonl or .csv."
)
@click.option("--import", "import_", metavar="FILE", type=Text(files=True), help="Read such a file with answers.")
@click.option(
    "--then",
    type=click.Choice(["train"]),
    help="Train the student again afterwards, and say what the answers were worth.",
)
def label(run: str, then: str | None, **given: Any) -> int:
    """Ask a person about the samples whose labels would teach most: in the terminal, on a page or in files."""
    folder = folder_of(run)
    from synthgen.run.labelling import closing, flow
    from synthgen.run.labelling.options import Options

    options = Options(**given, train=then is not None)
    if options.train:
        closing.check_trainable(folder, saved(folder).student.kind)
    code, lines = flow.label(folder, options, note)
    for line in lines:
        print(printable(line))
    if code or not options.train:
        return code
    before = closing.student_before(folder)
    trained = retrained(folder, [], ["synthgen", "train", run])
    if isinstance(trained, ExitCode):
        return trained
    print(closing.worth(before, trained["student"]))
    return ExitCode.OK
