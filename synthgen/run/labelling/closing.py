"""Make the closing lines of `synthgen label`: people's agreement, the next command, and the gain by the answers."""

import shlex
from pathlib import Path

from synthgen.errors import RunFolderError
from synthgen.labels import answers as people
from synthgen.ledger import Reader, holder
from synthgen.records import Json
from synthgen.report import plain
from synthgen.run.budget import BudgetConfig
from synthgen.run.continuation import relative, resume_command
from synthgen.run.labelling.options import LabelOptions


def check_trainable(folder: Path, student: str) -> None:
    """Raise RunFolderError where `--then train` cannot train, before a person starts to work."""
    if student == "none":
        raise RunFolderError("--then train: this run has no student (student=none); leave the option out")
    if (pid := holder(folder)) is not None:
        raise RunFolderError(
            f"--then train: process {pid} is working in {folder} and trains the student itself; leave the option out"
        )


def student_before(folder: Path) -> Json | None:
    """Return the figures of the run's student; None where there is none."""
    with Reader(folder / "ledger.sqlite") as reader:
        found: Json | None = reader.meta("student")
        return found


def agreement_lines(reader: Reader, folder: Path) -> list[str]:
    """Return lines about the agreement of several people on samples that they all answered."""
    found = people.agreement(reader.people_answers())
    if found is None:
        return []
    lines = [f"agreement of {people.in_words(found)}"]
    if found.open:
        lines += [f"to decide the {found.open} on which no answer has a majority:", command(folder, "--disagreements")]
    return lines


def next_step(reader: Reader, folder: Path, options: LabelOptions) -> list[str]:
    """Return lines that explain how to use the answers; the last one is the command."""
    if holder(folder) is not None:
        return ["the run is still working; it uses the answers when it ends"]
    if options.train:
        return []
    config = reader.meta("config")
    if (reason := reader.meta("stopped_by")) != "target":
        return [
            "continue the run with the answers:",
            resume_command(folder, reader.config("budget", BudgetConfig), reason, config["engine"].get("budget_usd")),
        ]
    if config["student"]["kind"] == "none":
        return ["write the dataset again with the answers:", shlex.join(["synthgen", "export", relative(folder)])]
    return [
        "train the student and write the dataset again with the answers:",
        shlex.join(["synthgen", "train", relative(folder)]),
    ]


def student_change(before: Json | None, after: Json) -> str:
    """Return a line that compares the student's figures before and after the answers were used."""
    labels = (after.get("answers") or 0) - ((before or {}).get("answers") or 0)
    said = plural(labels, "label")
    if not plain.arms(after).get("synthetic"):
        return f"{said}: their effect cannot be measured without held-out rows (task.eval)"
    share = plain.is_share(after)
    now, rows = (
        after["synthetic"]["mean"],
        f"held-out rows ({plain.metric_name(after['metric'])}, {after['eval_rows']} rows)",
    )
    if before is None or not plain.arms(before).get("synthetic"):
        return f"{said}: {_score(now, share)} on {rows}; there was no earlier student to compare with"
    return f"{said}: {_score(before['synthetic']['mean'], share)} to {_score(now, share)} on {rows}"


def _score(value: float, share: bool) -> str:
    return f"{100 * value:.1f}" if share else f"{value:.3f}"


def command(folder: Path, *arguments: str) -> str:
    return shlex.join(["synthgen", "label", relative(folder), *arguments])


def plural(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
