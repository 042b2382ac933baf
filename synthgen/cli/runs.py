"""The verbs that make runs and look at them: run, resume, validate, preview, status."""

import contextlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from synthgen.cli.composing import NOTES, compose, overrides
from synthgen.cli.verb import Text, folder_of, meanings, note, parted, run_and_overrides, run_folder, saved, verb
from synthgen.errors import ExitCode
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

    The run's folder is runs/NAME. A run is never written over: `synthgen resume` goes on with it.
    """

    def work(config: "Config", bases: list[Path]) -> int:
        from synthgen.run.lifecycle import start

        return start(config, bases, note)

    return compose("run", words, flags, work)


@verb(
    notes=(
        f"A resume may change {in_words()}. GROUP=NAME (student=frozen) takes a file of conf/GROUP. "
        "With --fork every key may be changed.",
    ),
    examples=(
        "synthgen resume runs/first budget.target=2000",
        "synthgen resume runs/first --fork runs/second generate.temperature=1.1",
    ),
    exits=_ENDS,
)
@run_and_overrides("settings that are changed")
@click.option(
    "--fork", metavar="NEW_RUN", type=Text(files=True), help="Start a new run here, from what RUN has accepted."
)
def resume(words: tuple[str, ...], fork: str | None) -> int:
    """Go on where a run stopped, or start a new run from what it accepted.

    Answers that are in the ledger are used again; only lost ones are asked for again.
    """
    given, changes = parted(words)
    folder = folder_of(given)
    from synthgen.run import lifecycle

    config = saved(folder, changes)
    if fork is None:
        return lifecycle.resume(folder, config, note)
    config.run.dir, config.run.name = fork, Path(fork).name
    if not any(change.startswith("run.seed=") for change in changes):
        config.run.seed += 1  # the same seed would ask for the same again
    return lifecycle.fork(folder, config, note)


@verb(
    notes=NOTES,
    examples=("synthgen validate task=voice_intent", "synthgen validate --config-dir mine task=reviews"),
    exits={ExitCode.OK: "everything is in order"},
)
@overrides()
def validate(words: tuple[str, ...], **flags: Any) -> int:
    """Check config, task, prompts, grammar and seeds, without starting an engine."""

    def work(config: "Config", bases: list[Path]) -> int:
        from synthgen.run.fitting import fit_prompts
        from synthgen.run.prepare import check_adapters, check_tracking, compile_grammars, prepare

        check_tracking(config)
        prepared = prepare(config, bases)
        check_adapters(prepared)
        compile_grammars(prepared)
        fitted = fit_prompts(prepared)
        task = prepared.task
        print(f"task {task.name} ({task.kind}): {len(prepared.seeds)} seeds, {len(prepared.eval_rows)} eval rows")
        print(f"prompts {prepared.prompts.folder}; {len(prepared.grammars())} grammars compile")
        for check in prepared.declared:
            print(printable(f"check {check.says}: all seeds and eval rows pass"))
        if why := prepared.structured_outputs.why:
            print(why)
        print(f"engine {config.engine.kind}, {prepared.in_flight} in flight; target {prepared.target}")
        for line in [*prepared.notices(), *fitted.notes]:
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
        ExitCode.OK: "the candidates were made",
        ExitCode.STOPPED: "a full disk stopped it",
        **meanings(ExitCode.ENGINE_FAILED),
        ExitCode.INTERRUPTED: "interrupted",
    },
)
@overrides()
def preview(words: tuple[str, ...], **flags: Any) -> int:
    """Make a few candidates for real, and show prompts, checks, and how long the run would take.

    It keeps nothing. `budget.candidates` says how many it makes.
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
@click.option("--watch", is_flag=True, help="Show it again and again, until Ctrl-C.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, one line each time.")
def status(run: str, watch: bool, as_json: bool) -> int:
    """Show where a run stands, also while it is at work.

    It reads the ledger and disturbs nothing.
    """
    folder = folder_of(run)
    from synthgen.run import status as state
    from synthgen.run.display import following

    looks = state.watched(folder) if watch else [state.status(folder)]
    with contextlib.suppress(KeyboardInterrupt):  # how one leaves
        if as_json:
            for found in looks:
                print(escaped(json.dumps(found, ensure_ascii=False)), flush=True)
        else:
            following(state.lines(found) for found in looks)
    return ExitCode.OK
