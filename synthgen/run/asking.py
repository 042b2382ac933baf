"""Use people's annotations in a session: stop the run to ask for them, and calibrate the judge on them."""

from pathlib import Path

from synthgen.judge.labelled import Rated
from synthgen.labels.answers import rated
from synthgen.ledger import Reader
from synthgen.run.budget import BudgetConfig, StopRules
from synthgen.run.prepare import Prepared
from synthgen.student.adapter import rows_trained_on

ASK_AFTER = "ask_after"
"""Name of the stop rule, and of the ledger key that records that the rule has stopped the run."""


class AskAfter:
    """Stop the run once to wait for annotations, unless a person has given some already."""

    def __init__(self, cfg: BudgetConfig, rules: StopRules, path: Path) -> None:
        self._after = cfg.ask_after
        self._rules = rules
        self._path = path

    def __call__(self) -> str | None:
        if self._after is None or self._rules.accepted < self._after:
            return None
        with Reader(self._path) as reader:
            if not reader.meta(ASK_AFTER) and not reader.people_answers():
                return ASK_AFTER
        self._after = None  # the rule can no longer apply, so the ledger need not be read again
        return None


def calibration_rows(prepared: Prepared, path: Path) -> list[Rated]:
    """Return the rows to calibrate the rubric judge on: the config's rated rows, and samples that people annotated."""
    if not prepared.config.judge.grades(prepared.task):
        return prepared.rated
    adapter = prepared.adapters.judge
    learnt = rows_trained_on(adapter.folder) if adapter and adapter.folder else frozenset()
    with Reader(path) as reader:
        samples = [sample for sample in reader.samples() if sample.origin == "synthetic"]
        return rated(samples, reader.people_answers(), prepared.task.label_field, prepared.rated, learnt)
