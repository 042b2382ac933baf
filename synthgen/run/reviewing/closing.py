"""Write the commands and closing lines of `synthgen review`."""

import shlex
from pathlib import Path

from synthgen.annotate import adjudicate
from synthgen.ledger import Reader
from synthgen.run.continuation import relative
from synthgen.run.labelling.closing import plural

__all__ = ["command", "disagreement_lines", "plural"]


def command(folder: Path, *arguments: str) -> str:
    return shlex.join(["synthgen", "review", relative(folder), *arguments])


def disagreement_lines(reader: Reader, folder: Path) -> list[str]:
    """Return lines about open disagreements, and the command that decides them."""
    answers = reader.people_answers()
    if not (found := adjudicate.disputed(answers)):
        return []
    return [
        f"people differ on {plural(len(found), 'sample')}; decide them:",
        deciding(folder, len(adjudicate.by_majority(answers, None, 0.0)[0])),
    ]


def deciding(folder: Path, majorities: int) -> str:
    """Return the command that decides disagreements: by majority where some have one, or else by a third person."""
    return command(folder, "--adjudicate", adjudicate.MAJORITY if majorities else "NAME")
