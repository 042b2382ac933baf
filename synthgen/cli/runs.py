"""Define the verbs that check, make and show runs: run, resume, validate, preview, status, runs."""

import contextlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from synthgen.cli.composing import NOTES, compose, overrides
from synthgen.cli.verb import TextValue, folder_of, meanings, note, parted, run_and_overrides, run_folder, saved, verb
from synthgen.errors import ExitCode, UserError
from synthgen.run.resumable import in_words
from synthgen.safety.untrusted import escaped, printable

if TYPE_CHECKING:
    from synthgen.config import Config

_ENDS = {
    ExitCode.OK: "the target is reached",
    **meanings(ExitCode.STOPPED, ExitCode.ENGINE_FAILED, ExitCode.INTERRUPTED),
}


@verb(
    notes=NOTES,
    examples=(
        "synthgen run experiment=smoke",
        "synthgen run --config-dir mine task=reviews budget.target=500 run.name=first",
    ),
    exits=_ENDS,
)
@overrides()
def run(words: tuple[str, ...], **flags: Any) -> int:
    """Generate until the target or a budget is reached, then train the student and write the report.

    The run folder is runs/NAME. `synthgen run` never overwrites a run; `synthgen resume` continues it.
    """

    def work(config: "Config", bases: list[Path]) -> int:
        from synthgen.run.lifecycle import start

        if config.shards > 1:
            from synthgen.cluster.shards.sharded import Sharded

            return start(config, bases, note, Sharded)
        return start(config, bases, note)

    return compose("run", words, flags, work)


@verb(
    notes=(
        f"A resume may change {in_words()}. GROUP=NAME (student=frozen) selects a file of conf/GROUP. "
        "With --fork, every key may be changed.",
    ),
    examples=(
        "synthgen resume runs/first budget.target=2000",
        "synthgen resume runs/first --fork runs/second generate.temperature=1.1",
    ),
    exits=_ENDS,
)
@run_and_overrides("the settings to change")
@click.option(
    "--fork",
    metavar="NEW_RUN",
    type=TextValue(files=True),
    help="Start a new run in this folder with the accepted samples of RUN.",
)
def resume(words: tuple[str, ...], fork: str | None) -> int:
    """Continue a run where it stopped, or start a new run from its accepted samples.

    Answers in the ledger are reused. Only requests without an answer are sent again.
    """
    given, changes = parted(words)
    folder = folder_of(given)
    from synthgen.run import lifecycle

    config = saved(folder, changes)
    if fork is None and config.shards > 1:
        from synthgen.cluster.shards.sharded import Sharded

        return lifecycle.resume(folder, config, note, Sharded)
    if fork is None:
        return lifecycle.resume(folder, config, note)
    config.shards = 1  # a fork begins with the merged samples, in one loop
    config.run.dir, config.run.name = fork, Path(fork).name
    if not any(change.startswith("run.seed=") for change in changes):
        config.run.seed += 1  # with the same seed the fork would send the same requests again
    return lifecycle.fork(folder, config, note)


@verb(
    notes=NOTES,
    examples=("synthgen validate task=voice_intent", "synthgen validate --config-dir mine task=reviews"),
    exits={ExitCode.OK: "everything is in order"},
)
@overrides()
def validate(words: tuple[str, ...], **flags: Any) -> int:
    """Check config, task, prompts, grammars and seeds without starting an engine."""

    def work(config: "Config", bases: list[Path]) -> int:
        from synthgen.run.declared import check_embedded, results
        from synthgen.run.fitting import fit_prompts
        from synthgen.run.notices import notices
        from synthgen.run.preflight import check_adapters, check_tracking, check_workers, compile_grammars
        from synthgen.run.prepare import prepare
        from synthgen.run.shares import goals

        check_tracking(config)
        prepared = prepare(config, bases)
        check_adapters(prepared)
        check_workers(prepared)
        check_embedded(prepared)
        compile_grammars(prepared)
        fitted = fit_prompts(prepared)
        task = prepared.task
        seeds = f"{len(prepared.seeds)} seeds" if prepared.seeds else "no seeds"
        print(f"task {task.name} ({task.kind}): {seeds}, {len(prepared.eval_rows)} eval rows")
        grammars = len(prepared.grammars())
        print(
            f"prompts {prepared.prompts.folder}; {grammars} {'grammar compiles' if grammars == 1 else 'grammars compile'}"
        )
        for line in results(prepared):
            print(printable(line))
        if why := prepared.structured_outputs.why:
            print(why)
        print(f"engine {config.engine.kind}, {prepared.in_flight} in flight; target {prepared.target}")
        if config.shards > 1:
            targets = [goal.target for goal in goals(config, list(task.asked), prepared.target)]
            print(f"shards {config.shards}: {min(targets):,} to {max(targets):,} samples each")
        for line in [*notices(prepared), *fitted.notes]:
            print(printable(line))
        print("everything is in order; nothing was started")
        return ExitCode.OK

    return compose("validate", words, flags, work)


@verb(
    notes=NOTES,
    examples=(
        "synthgen preview experiment=smoke",
        "synthgen preview --config-dir mine task=reviews budget.candidates=32",
    ),
    exits={
        ExitCode.OK: "the candidates were generated",
        ExitCode.STOPPED: "a full disk stopped it",
        **meanings(ExitCode.ENGINE_FAILED),
        ExitCode.INTERRUPTED: "interrupted",
    },
)
@overrides()
def preview(words: tuple[str, ...], **flags: Any) -> int:
    """Generate a few candidates, show the prompts and the checks, and estimate how long the run takes.

    It keeps nothing. `budget.candidates` sets the number of candidates.
    """

    def work(config: "Config", bases: list[Path]) -> int:
        from synthgen.run.preview import preview as previewed

        return previewed(config, bases, note)

    return compose("preview", words, flags, work)


@verb(
    examples=("synthgen status runs/first --watch", "synthgen status runs/first --json"),
    exits={ExitCode.OK: "the status was shown, whatever it is"},
)
@run_folder
@click.option("--watch", is_flag=True, help="Update the status until Ctrl-C.")
@click.option("--json", "as_json", is_flag=True, help="Print each status as one line of JSON.")
def status(run: str, watch: bool, as_json: bool) -> int:
    """Show the status of a run, also while it is working.

    It only reads the ledger and does not disturb the run.
    """
    folder = folder_of(run)
    from synthgen.run import status as state
    from synthgen.run.display import following

    looks = state.watched(folder) if watch else [state.status(folder)]
    with contextlib.suppress(KeyboardInterrupt):  # the user ends --watch with Ctrl-C
        if as_json:
            for found in looks:
                print(escaped(json.dumps(found, ensure_ascii=False)), flush=True)
        else:
            following(state.lines(found) for found in looks)
    return ExitCode.OK


@verb(
    notes=(
        "Columns: tokens are those computed per accepted sample, cached is the cached share of the prompt tokens, student is the "
        "score of the student, and gain what the samples added to it. A figure that a run does not have is shown as -.",
    ),
    examples=("synthgen runs 'runs/*' --sort=-student", "synthgen runs 'runs/sweep-*' --csv > sweep.csv"),
    exits={},
)
@click.argument("globs", nargs=-1, required=True, metavar="GLOB...", help="Folders of runs, such as 'runs/**'.")
@click.option(
    "--sort", "column", metavar="COLUMN", help="Sort by this column; write --sort=-COLUMN for the largest first."
)
@click.option("--csv", "as_csv", is_flag=True, help="Print CSV.")
def runs(globs: tuple[str, ...], column: str | None, as_csv: bool) -> int:
    """Compare several runs in a table, such as those of a sweep.

    Folders without a ledger are skipped, so that 'runs/**' finds the runs at any depth.
    """
    import glob

    from synthgen.report import table

    found = sorted({Path(path) for pattern in globs for path in glob.glob(pattern, recursive=True)})  # noqa: PTH207, as patterns may be absolute
    folders = [path for path in found if (path / "ledger.sqlite").is_file()]
    if not folders:
        raise UserError(f"{' '.join(globs)}: no run found there; give folders of runs, such as 'runs/*'")
    rows = table.rows(folders)
    if column is not None:
        rows = table.ordered(rows, column)
    if as_csv:
        print(table.as_csv(rows), end="")
    else:
        for line in table.as_lines(rows):
            print(printable(line))
    return ExitCode.OK
