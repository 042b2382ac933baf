"""What `synthgen label` says at its end: how far people agree, what to do next, what the answers were worth."""

import shlex
from pathlib import Path

from synthgen.errors import RunFolderError
from synthgen.labels import answers as people
from synthgen.ledger import Reader, holder
from synthgen.records import Json
from synthgen.report import plain
from synthgen.run.budget import BudgetConfig, relative, resume_command
from synthgen.run.labelling.options import Options


def check_trainable(folder: Path, student: str) -> None:
    """Raise RunFolderError where `--then train` cannot train: before somebody has worked for it."""
    if student == "none":
        raise RunFolderError("--then train: this run has no student (student=none); leave it out")
    if (pid := holder(folder)) is not None:
        raise RunFolderError(
            f"--then train: process {pid} is at work in {folder}, and trains its student itself; leave it out"
        )


def student_before(folder: Path) -> Json | None:
    """Return the figures of the student that the run has, None where it has none."""
    with Reader(folder / "ledger.sqlite") as reader:
        found: Json | None = reader.meta("student")
        return found


def standing(reader: Reader, folder: Path) -> list[str]:
    """Return how far several people agree, where they answered the same samples."""
    found = people.agreement(reader.people_answers())
    if found is None:
        return []
    lines = [f"agreement of {people.in_words(found)}"]
    if found.open:
        lines += [f"to settle the {found.open} on which no answer has a majority:", command(folder, "--disagreements")]
    return lines


def next_step(reader: Reader, folder: Path, options: Options) -> list[str]:
    """Return what makes use of the answers, the command last."""
    if holder(folder) is not None:
        return ["the run that is at work uses the answers when it ends"]
    if options.train:
        return []
    config = reader.meta("config")
    if (reason := reader.meta("stopped_by")) != "target":
        return [
            "go on with the run, which uses the answers:",
            resume_command(folder, BudgetConfig(**config["budget"]), reason),
        ]
    if config["student"]["kind"] == "none":
        return ["renew the dataset with the answers:", shlex.join(["synthgen", "export", relative(folder)])]
    return [
        "renew the student and the dataset with the answers:",
        shlex.join(["synthgen", "train", relative(folder)]),
    ]


def worth(before: Json | None, after: Json) -> str:
    """Return what the answers were worth, from a student's figures before and after they were used."""
    labels = (after.get("answers") or 0) - ((before or {}).get("answers") or 0)
    said = plural(labels, "label")
    if not plain.arms(after).get("synthetic"):
        return f"{said}: what they are worth cannot be measured without held-out rows (task.eval)"
    share = plain.is_share(after)
    now, rows = (
        after["synthetic"]["mean"],
        f"held-out rows ({plain.metric_name(after['metric'])}, {after['eval_rows']} rows)",
    )
    if before is None or not plain.arms(before).get("synthetic"):
        return f"{said}: {_score(now, share)} on {rows}; there was no student before to compare with"
    return f"{said}: {_score(before['synthetic']['mean'], share)} to {_score(now, share)} on {rows}"


def _score(value: float, share: bool) -> str:
    return f"{100 * value:.1f}" if share else f"{value:.3f}"


def command(folder: Path, *arguments: str) -> str:
    return shlex.join(["synthgen", "label", relative(folder), *arguments])


def plural(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
