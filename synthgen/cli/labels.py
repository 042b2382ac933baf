"""Define the verb for people who annotate samples: label."""

from typing import Any

import click

from synthgen.cli import asking
from synthgen.cli.verb import TextValue, WholeNumber, folder_of, note, run_folder, verb
from synthgen.errors import ExitCode

COUNT = 40


@verb(
    notes=("Give at most one of --web, --export and --import. docs/labelling.md explains them.",),
    examples=("synthgen label runs/first --count 20 --then train", "synthgen label runs/first --export ask.csv"),
    exits={
        ExitCode.OK: "all questions are answered, or you left",
        **asking.TRAINED_EXITS,
    },
)
@run_folder
@click.option(
    "--count", type=WholeNumber(1, 1_000_000), default=COUNT, show_default=True, help="Number of samples to ask about."
)
@click.option(
    "--annotator",
    metavar="NAME",
    type=TextValue(),
    help="Name of the person who answers; the default is your login name.",
)
@asking.web
@asking.port
@click.option("--disagreements", is_flag=True, help="Ask only about samples on which people disagree.")
@click.option(
    "--export",
    metavar="FILE",
    type=TextValue(files=True),
    help="Write the questions to a .jsonl or .csv file for other people.",
)
@click.option(
    "--import", "import_", metavar="FILE", type=TextValue(files=True), help="Read the answers from such a file."
)
@asking.then
def label(run: str, then: str | None, **given: Any) -> int:
    """Ask a person about the most informative samples, in the terminal, on a web page or through files."""
    folder = folder_of(run)
    from synthgen.run.labelling import flow
    from synthgen.run.labelling.options import LabelOptions

    options = LabelOptions(**given, train=then is not None)
    return asking.session(run, folder, options.train, lambda: flow.label(folder, options, note))
