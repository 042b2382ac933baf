"""Define the verb for the topics of the strategy `taxonomy`."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from synthgen.cli.composing import NOTES, compose, overrides
from synthgen.cli.verb import TextValue, folder_of, meanings, note, verb, wrong
from synthgen.errors import ExitCode

if TYPE_CHECKING:
    from synthgen.config import Config


@verb(
    notes=(
        "The file has the topics of each label as lists of lists. Edit it, and use it with generate=taxonomy "
        "generate.taxonomy.tree=FILE. With a RUN, --out writes the topics of the run. generate.taxonomy.depth and .width "
        "set the size of the tree.",
        *NOTES,
    ),
    examples=(
        "synthgen taxonomy task=news_topic generate.taxonomy.width=6 --out topics.yaml",
        "synthgen taxonomy runs/first",
    ),
    exits={
        ExitCode.OK: "the topics were written or shown",
        **meanings(ExitCode.ENGINE_FAILED),
        ExitCode.INTERRUPTED: "interrupted",
    },
)
@overrides(
    "[RUN | OVERRIDES]", "The folder of a run whose topics are shown, or settings for new topics: task=voice_intent."
)
@click.option("--out", metavar="FILE", type=TextValue(files=True), help="Write the topics to this new YAML file.")
def taxonomy(words: tuple[str, ...], out: str | None, **flags: Any) -> int:
    """Let the model write topics for the strategy `taxonomy`, or show those of a run.

    New topics are written to --out, or printed; no sample is generated. With a RUN, its topics are shown, each with the
    number of its requests and accepted samples.
    """
    place = Path(out) if out else None
    if place is not None and place.exists():
        wrong(f"--out {out}: exists already, and may have your changes; give another name, or remove it")
    if place is not None and not place.parent.is_dir():  # the model would write the topics in vain
        wrong(f"--out {out}: there is no folder {place.parent}; make it, or give another name")
    run = next((word for word in words if "=" not in word and not word.startswith("~")), None)
    if run is not None and (Path(run).is_dir() or "/" in run):
        if len(words) > 1 or any(flags.values()):
            wrong("a RUN is shown as it is; give either a RUN or overrides and flags")
        folder = folder_of(run)
        from synthgen.run.topics import show_topics

        return show_topics(folder, place, note)

    def work(config: "Config", bases: list[Path]) -> int:
        from synthgen.run.topics import write_topics

        return write_topics(config, bases, place, note)

    return compose("taxonomy", words, flags, work)
