"""Provide the shared parts of the verbs that ask people: options of a session, and the training that may follow it."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click

from synthgen.cli.students import CUT_SHORT, retrained
from synthgen.cli.verb import WholeNumber, saved
from synthgen.errors import ExitCode
from synthgen.safety.untrusted import printable

Session = Callable[[], tuple[int, list[str]]]
"""Run a session, and return its exit code and its closing lines."""
TRAINED_EXITS = {
    ExitCode.STOPPED: f"with --then train: {CUT_SHORT[ExitCode.STOPPED]}",
    ExitCode.INTERRUPTED: "interrupted; every answer is kept",
}

web = click.option("--web", is_flag=True, help="Ask on a web page that this machine serves, not in the terminal.")
port = click.option(
    "--port", type=WholeNumber(0, 65535), default=0, help="Port of the web page; the default is any free port."
)
then = click.option(
    "--then",
    type=click.Choice(["train"]),
    help="Train the student again afterwards, and show how much the answers improved it.",
)


def session(run: str, folder: Path, train: bool, ask: Session) -> int:
    """Ask people, print the closing lines, and train the student again if `train`. Return the exit code."""
    from synthgen.run.labelling import closing

    if train:
        closing.check_trainable(folder, saved(folder).student.kind)
    code, lines = ask()
    _print(lines)
    if code or not train:
        return code
    before = closing.student_before(folder)
    trained: Any = retrained(folder, [], ["synthgen", "train", run])
    if isinstance(trained, ExitCode):
        return trained
    _print([closing.student_change(before, trained["student"])])
    return ExitCode.OK


def _print(lines: Sequence[str]) -> None:
    for line in lines:
        print(printable(line))
