"""Define the verbs for several people who annotate samples: guide, review."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from synthgen.cli import asking
from synthgen.cli.composing import compose
from synthgen.cli.verb import FOLDER, TextValue, WholeNumber, folder_of, note, run_folder, saved, verb, wrong
from synthgen.errors import ExitCode

if TYPE_CHECKING:
    from synthgen.config import Config

NO_FLAGS: dict[str, Any] = {
    "multirun": False, "cfg": None, "resolve": False, "package": None, "info": None, "hydra_help": False,
    "shell_completion": False, "run": False, "config_path": None, "config_name": None, "experimental_rerun": None, "config_dir": (),
}  # fmt: skip
_TOOLS = click.Choice(["label-studio", "argilla", "doccano"])
_METHODS = click.Choice(["random", "stratified", "uncertain"])


@verb(
    notes=("docs/review.md shows a guide.",),
    examples=("synthgen guide voice_intent --out guide", "synthgen guide --run runs/first"),
    exits={ExitCode.OK: "the guide is written"},
)
@click.argument("task", metavar="[TASK]", required=False, help="Name of a task, such as voice_intent.")
@click.option(
    "--run",
    "run",
    metavar="RUN",
    type=FOLDER,
    help="Take the task of this run, with examples from its answers and its uncertain samples. The guide becomes the one in force for RUN.",
)
@click.option(
    "--out",
    metavar="DIR",
    type=TextValue(files=True),
    help="Write the guide to this folder. [default: guide-TASK, or RUN/guide]",
)
@click.option("--config-dir", "-cd", metavar="DIR", type=FOLDER, help="Also search this folder for tasks.")
def guide(task: str | None, run: str | None, out: str | None, config_dir: str | None) -> int:
    """Write the annotation guide of a task, in Markdown and HTML.

    Its hash names the version. Answers of synthgen label and review carry the hash of the guide in force.
    """
    from synthgen.annotate import in_force
    from synthgen.run.continuation import relative
    from synthgen.run.reviewing import guides

    if run is None:
        if task is None:
            wrong("TASK is missing; give the name of a task, or --run RUN")

        def work(config: "Config", bases: list[Path]) -> int:
            made = guides.of_task(config, bases)
            paths = in_force.write(Path(out or f"guide-{made.name}"), made)
            print(f"guide {made.hash}: {', '.join(map(str, paths))}")
            return ExitCode.OK

        flags = {**NO_FLAGS, "config_dir": (config_dir,) if config_dir else ()}
        return compose("guide", [f"task={task}"], flags, work)
    folder = folder_of(run)
    made = guides.of_run(folder)
    if task is not None and task != made.name:
        wrong(f"--run {run}: is a run of the task {made.name}, not {task}; leave TASK out")
    paths = in_force.put_in_force(folder, made)
    if out is not None:
        paths += in_force.write(Path(out), made)
    print(f"guide {made.hash}, in force for {relative(folder)}: {', '.join(relative(path) for path in paths)}")
    return ExitCode.OK


@verb(
    notes=(
        "Without options it shows the state of the review. Give one of --sample, --annotator, --agreement, "
        "--adjudicate, --to and --from; --sample may be joined with --to. docs/review.md explains them.",
    ),
    examples=(
        "synthgen review runs/first --sample uncertain --count 40 --annotators anna,ben,carla",
        "synthgen review runs/first --annotator anna --web",
    ),
    exits={
        ExitCode.OK: "done, or you left",
        **asking.TRAINED_EXITS,
    },
)
@run_folder
@click.option("--sample", type=_METHODS, help="Choose a new batch in this way, and assign it to --annotators.")
@click.option(
    "--count",
    type=WholeNumber(1, 1_000_000),
    help="Samples of the batch [default: 20], or questions of a session [default: all].",
)
@click.option(
    "--overlap",
    type=WholeNumber(1, 20),
    default=2,
    show_default=True,
    help="Number of people who answer each sample of the batch.",
)
@click.option(
    "--annotators", metavar="NAME,...", type=TextValue(), help="People of the batch, with commas between the names."
)
@click.option(
    "--annotator",
    metavar="NAME",
    type=TextValue(),
    help="Ask this person about the samples assigned to them; with --from: the person of answers without a name.",
)
@asking.web
@asking.port
@click.option("--agreement", is_flag=True, help="Show how far people agree, and how reliable each of them is.")
@click.option("--json", "as_json", is_flag=True, help="Show the state or the agreement as JSON.")
@click.option(
    "--adjudicate",
    metavar="majority|NAME",
    type=TextValue(),
    help="Decide disagreements by majority, or ask this person about them. All answers are kept.",
)
@click.option("--to", type=_TOOLS, help="Write the samples of all batches for this tool.")
@click.option("--from", "from_", type=_TOOLS, help="Read the answers of this tool.")
@click.option(
    "--out", metavar="DIR", type=TextValue(files=True), help="With --to: write files to this new or empty folder."
)
@click.option(
    "--file",
    metavar="FILE",
    type=TextValue(files=True),
    help="With --from: read this file, or the folder that --to wrote.",
)
@click.option(
    "--url",
    metavar="URL",
    type=TextValue(),
    help="With --to or --from label-studio: use the API of this server. The token comes from the environment variable LABEL_STUDIO_API_KEY.",
)
@click.option(
    "--project",
    metavar="ID",
    type=WholeNumber(1, 2**31),
    help="With --url: the project. [default: a new one; for --from, the one that --to made]",
)
@asking.then
def review(run: str, then: str | None, **given: Any) -> int:
    """Let several people annotate samples: assign batches, ask, measure agreement, decide disagreements."""
    folder = folder_of(run)
    from synthgen.run.prepare import prepare
    from synthgen.run.reviewing import flow
    from synthgen.run.reviewing.options import ReviewOptions

    options = ReviewOptions(**given, train=then is not None)

    def ask() -> tuple[int, list[str]]:
        return flow.review(folder, options, note, lambda: prepare(saved(folder), [], begun=True))

    return asking.session(run, folder, options.train, ask)
