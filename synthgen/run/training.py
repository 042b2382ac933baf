"""Train and score the student on the samples in a run's ledger."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from synthgen import student
from synthgen.errors import UserError
from synthgen.labels.answers import settled
from synthgen.labels.pool import Weighed, weighed
from synthgen.ledger import Reader
from synthgen.records import Json, Sample
from synthgen.run.paces import remember
from synthgen.run.prepare import Prepared
from synthgen.selection import left_out
from synthgen.selection.training import training_samples
from synthgen.student.clock import Paces


def train(
    prepared: Prepared,
    folder: Path,
    say: Callable[[str], None],
    again: bool,
    watch: Callable[[student.TrainingProgress], None] | None = None,
) -> Json:
    """Train the student on the ledger's samples, score it, and return its metrics.

    Repeat a finished training only if `again` is True. Report the progress to `watch`; without `watch`, pass a line to
    `say` at intervals.
    """
    config = prepared.config
    with Reader(folder / "ledger.sqlite") as reader:
        samples = training_samples(reader, config.select, config.run.validation_share, config.run.seed)
        found = weighed(reader, list(prepared.task.labels), config.labels)
        answered = len(settled(reader.people_answers()))
    metrics = student.train(
        prepared.task,
        replace(config.student, report_to=config.tracking.report_to),
        [seed.data for seed in prepared.seeds],
        [training_row(sample, found) for sample in samples.train],
        prepared.eval_rows,
        folder / "student",
        config.run.seed,
        say,
        again,
        {left_out.NOT_SELECTED: len(samples.left_out), left_out.VALIDATION: len(samples.validation)},
        watch,
    )
    if (measured := metrics.get("paces")) is not None:
        remember(prepared, Paces(**measured))
    return {**metrics, "answers": answered}


def strategy_gains(prepared: Prepared, folder: Path, say: Callable[[str], None]) -> Json | None:
    """Return the frozen student's gain by the samples of each strategy, as `student.contribution` describes it.

    Return None where this cannot be measured: without a student, labels or eval rows, or with samples of one strategy.
    """
    config, task = prepared.config, prepared.task
    if config.student.kind == "none" or task.kind != "classification" or not prepared.eval_rows:
        return None
    with Reader(folder / "ledger.sqlite") as reader:
        samples = training_samples(reader, config.select, config.run.validation_share, config.run.seed).train
        found = weighed(reader, list(task.labels), config.labels)
    groups: dict[str, list[student.TrainingRow]] = {}
    for sample in samples:
        groups.setdefault(sample.strategy, []).append(training_row(sample, found))
    if len(groups) < 2:
        return None
    say(f"measuring the student's gain by the samples of each of {len(groups)} strategies")
    from synthgen.student.contribution import contributions

    try:
        return contributions(
            task, config.student, [seed.data for seed in prepared.seeds], groups, prepared.eval_rows, config.run.seed
        )
    except UserError as error:  # the student is trained and scored, so its run must not fail for this
        say(f"the student's gain by each strategy could not be measured: {error}")
        return None


def training_row(sample: Sample, known: Mapping[str, Weighed]) -> student.TrainingRow:
    """Return a sample as a training row, with the weight and label probabilities of the label model."""
    found = known.get(sample.id, Weighed())
    return student.TrainingRow(sample.data, found.weight, found.labels, synthetic=True)
