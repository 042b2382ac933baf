"""Define the verbs about the models that synthgen trains: adapt, train, evaluate, predict."""

import json
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from synthgen.cli.composing import NOTES, compose, overrides
from synthgen.cli.verb import (
    WholeNumber,
    complain,
    folder_of,
    meanings,
    note,
    run_and_overrides,
    run_folder,
    saved,
    selecting,
    verb,
    wrong,
)
from synthgen.errors import ExitCode, UserError, WorkersError, WriteError
from synthgen.safety.untrusted import escaped, printable

if TYPE_CHECKING:
    from synthgen.config import Config
    from synthgen.records import Json
    from synthgen.run.prepare import Prepared

ROLES = ("judge", "generator")
CUT_SHORT = {
    ExitCode.STOPPED: "stopped by a full disk; the last line is the command that continues",
    ExitCode.ENGINE_FAILED: "a worker of the student ended; the last line is the command that continues",
    ExitCode.INTERRUPTED: "interrupted; the last line is the command that continues",
}
"""Exit codes of a training that did not finish, with their meanings."""
_FILE = "File of rows (JSON Lines, JSON, CSV or Parquet), or hf:OWNER/DATASET."
_FILE_TYPE = click.Path()


@verb(
    notes=NOTES,
    examples=(
        "synthgen adapt judge task=news_topic judge.calibration=rated.jsonl",
        "synthgen adapt generator --config-dir mine task=reviews adapt.dir=adapters/reviews",
    ),
    exits=meanings(ExitCode.INTERRUPTED),
)
@overrides(
    "judge|generator [OVERRIDES]", "The adapter to train, and the settings of the run that will use it, in any order."
)
def adapt(words: tuple[str, ...], **flags: Any) -> int:
    """Train a LoRA adapter on rated samples and seeds, for judge.adapter or generate.adapter."""
    roles = [word for word in words if "=" not in word]
    if len(roles) != 1 or roles[0] not in ROLES:
        wrong("give the adapter to train: judge or generator")
    role = roles[0]

    def work(config: "Config", bases: list[Path]) -> int:
        from synthgen.run import adapt as adapting

        for line in adapting.summary(role, adapting.adapt(role, config, bases, note)):
            print(line)
        return ExitCode.OK

    return compose(f"adapt {role}", [word for word in words if word != role], flags, work)


@verb(
    examples=("synthgen train runs/first", "synthgen train runs/first select.method=k_center select.size=200"),
    exits=CUT_SHORT,
)
@run_and_overrides("select.* keys, which choose the samples")
@click.option(
    "--json", "as_json", is_flag=True, help="Print all metrics as JSON instead of the closing lines of a run."
)
def train(words: tuple[str, ...], as_json: bool) -> int:
    """Train and score the student again, with people's answers.

    It continues a training that was interrupted.
    """
    run, overrides = selecting(words)
    folder = folder_of(run)
    trained = retrained(folder, overrides, ["synthgen", "train", *words, *(["--json"] if as_json else [])])
    if isinstance(trained, ExitCode):
        return trained
    if as_json:
        print(json.dumps(trained["student"], ensure_ascii=False, indent=2))
        return ExitCode.OK
    from synthgen.report import student_lines

    for line in student_lines(trained, folder):
        print(printable(line))
    return ExitCode.OK


def retrained(folder: Path, overrides: Sequence[str], again: Sequence[str]) -> "Json | ExitCode":
    """Train the student again and return the summary; if the training stops early, print `again`, return the code."""
    from synthgen.run import lifecycle

    try:
        return lifecycle.retrain(folder, saved(folder, overrides), bool(overrides), note)
    except KeyboardInterrupt:
        code = ExitCode.INTERRUPTED
    except WorkersError as error:
        complain(str(error))
        code = ExitCode.ENGINE_FAILED
    except WriteError as error:
        complain(str(error))
        code = ExitCode.STOPPED
    print(shlex.join(again))
    return code


@verb(
    examples=(
        "synthgen evaluate runs/first --judge --bias",
        "synthgen evaluate runs/first more.jsonl --worst 20 > figures.json",
    ),
    exits=meanings(ExitCode.ENGINE_FAILED, ExitCode.INTERRUPTED),
)
@run_folder
@click.argument(
    "file", metavar="[FILE]", required=False, type=_FILE_TYPE, help=f"{_FILE} The default is the task's eval file."
)
@click.option(
    "--worst", metavar="N", type=WholeNumber(0, 10_000), default=10, show_default=True,
    help="Show the N rows with the worst answers.",
)  # fmt: skip
@click.option(
    "--judge", is_flag=True,
    help="Let the run's judge compare the answers with those of the untrained model (win_rate); this starts the run's engine.",
)  # fmt: skip
@click.option(
    "--bias", is_flag=True,
    help="Also swap pronouns and names in the rows, count the answers that change, and add the table to report and card.",
)  # fmt: skip
def evaluate(run: str, file: str | None, worst: int, judge: bool, bias: bool) -> int:
    """Score the student on the task's eval file, or on FILE.

    The figures are printed as JSON. A short table of the metrics and the worst answers goes to standard error.
    """
    folder = folder_of(run)
    from synthgen import student
    from synthgen.report import evaluation
    from synthgen.run.prepare import prepare
    from synthgen.tasks.rows import find_source
    from synthgen.tasks.seeds import length_hint, read_samples

    prepared = prepare(saved(folder), [], begun=True)
    rows, source = prepared.eval_rows, prepared.task.eval
    if file is not None:
        source = find_source(file, [], "FILE")
        rows = read_samples(source, prepared.task, "eval")
    if not rows:
        raise UserError("the task has no eval file; name one: synthgen evaluate RUN FILE")
    if hint := length_hint(rows, source, prepared.task):
        note(printable(hint))
    cfg, model = prepared.config.student, _student(folder)
    metrics = student.evaluate(prepared.task, cfg, model, rows, worst=worst)
    if judge:
        metrics = _judged(metrics, prepared, folder, model, rows)
    if bias:
        metrics["bias"] = student.bias(prepared.task, cfg, model, rows)
    for line in evaluation.lines(metrics):
        note(printable(line))
    if bias:
        _keep_bias(folder, prepared, metrics["bias"])
    print(json.dumps(metrics, ensure_ascii=False, indent=2))
    return ExitCode.OK


def _keep_bias(folder: Path, prepared: "Prepared", figures: "Json") -> None:
    """Show the figures of the student's bias, and write them to ledger, report and card."""
    from synthgen.report import bias
    from synthgen.run import lifecycle

    for line in bias.lines(figures):
        note(printable(line))
    lifecycle.keep_bias(folder, prepared.config, figures)


def _judged(metrics: "Json", prepared: "Prepared", folder: Path, model: Path, rows: Sequence["Json"]) -> "Json":
    """Return the metrics with the win rate over the untrained model."""
    from synthgen import student
    from synthgen.run.winning import chances

    pairs = student.rivals(prepared.task, prepared.config.student, model, rows)
    found = student.win_rate(
        chances(prepared, folder, pairs, lambda text: note(printable(text))), prepared.config.student
    )
    counts = {name: found.pop(name) for name in ("judged", "unscored")}
    left = {name: why for name, why in metrics.get("metrics_left_out", {}).items() if name != "win_rate"}
    details = {**metrics.get("metric_details", {}), "win_rate": counts}
    figures = {**metrics["figures"], "win_rate": found}
    rest = {name: value for name, value in metrics.items() if name != "metrics_left_out"}
    return {**rest, "figures": figures, "metric_details": details, **({"metrics_left_out": left} if left else {})}


@verb(
    examples=(
        "synthgen predict runs/first new.jsonl > predicted.jsonl",
        "synthgen predict runs/first hf:fancyzhx/ag_news",
    ),
    exits=meanings(ExitCode.INTERRUPTED),
)
@run_folder
@click.argument("file", metavar="FILE", type=_FILE_TYPE, help=f"{_FILE} Only the task's input fields are needed.")
def predict(run: str, file: str) -> int:
    """Print the student's predictions, one line of JSON for each row of FILE.

    In a dialogue a row may have the turns so far; the student answers the last one.
    """
    folder = folder_of(run)
    from synthgen import student
    from synthgen.run.prepare import prepare
    from synthgen.tasks.rows import find_source
    from synthgen.tasks.seeds import read_inputs

    prepared = prepare(saved(folder), [], begun=True)
    rows = read_inputs(find_source(file, [], "FILE"), prepared.task, student.answers_to(prepared.task))
    answers = student.predict(prepared.task, prepared.config.student, _student(folder), rows)
    for row, answer in zip(rows, answers, strict=True):
        print(escaped(json.dumps({**row, **answer}, ensure_ascii=False)))
    return ExitCode.OK


def _student(folder: Path) -> Path:
    model = folder / "student"
    if not (model / "config.json").is_file():
        raise UserError(
            f"{model}: there is no student yet; train one with: "
            f"{shlex.join(['synthgen', 'resume', str(folder), 'student=auto'])}"
        )
    return model
