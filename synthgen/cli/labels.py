"""Define the verb for people who annotate samples: label."""

from typing import Any

import click

from synthgen.cli.students import CUT_SHORT, retrained
from synthgen.cli.verb import Text, WholeNumber, folder_of, note, run_folder, saved, verb
from synthgen.errors import ExitCode
from synthgen.safety.untrusted import printable

COUNT = 40


@verb(
    notes=("Give at most one of --web, --export and --import. docs/labelling.md explains them.",),
    examples=("synthgen label runs/first --count 20 --then train", "synthgen label runs/first --export ask.csv"),
    exits={
        ExitCode.OK: "all questions are answered, or you left",
        ExitCode.STOPPED: f"with --then train: {CUT_SHORT[ExitCode.STOPPED]}",
        ExitCode.INTERRUPTED: "interrupted; every answer is kept",
    },
)
@run_folder
@click.option(
    "--count", type=WholeNumber(1, 1_000_000), default=COUNT, show_default=True, help="Number of samples to ask about."
)
@click.option(
    "--annotator", metavar="NAME", type=Text(), help="Name of the person who answers; the default is your login name."
)
@click.option("--web", is_flag=True, help="Ask on a web page that this machine serves, not in the terminal.")
@click.option(
    "--port", type=WholeNumber(0, 65535), default=0, help="Port of the web page; the default is any free port."
)
@click.option("--disagreements", is_flag=True, help="Ask only about samples on which people disagree.")
@click.option(
    "--export",
    metavar="FILE",
    type=Text(files=True),
    help="Write the questions to a .jsonl or .csv file for other people.",
)
@click.option("--import", "import_", metavar="FILE", type=Text(files=True), help="Read the answers from such a file.")
@click.option(
    "--then",
    type=click.Choice(["train"]),
    help="Train the student again afterwards, and show how much the answers improved it.",
)
def label(run: str, then: str | None, **given: Any) -> int:
    """Ask a person about the most informative samples, in the terminal, on a web page or through files."""
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
