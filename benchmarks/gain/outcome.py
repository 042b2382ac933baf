"""Read what a run's ledger says of the slots that a token budget pays for.

A run finishes its requests in flight when its budget is spent, so that its last slots exceed the budget; a smaller budget
ends earlier in the same ledger. Both are the same cut: slots in order, while their tokens fit.
"""

import json
import shutil
import sqlite3
from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from synthgen.config import from_saved
from synthgen.labels.pool import Weighed, weighed
from synthgen.ledger import Reader
from synthgen.records import Json

LEDGER = "ledger.sqlite"
_AFTER_CUT = (
    "DELETE FROM embeddings WHERE sample_id IN (SELECT id FROM samples WHERE slot > :last)",
    "DELETE FROM samples WHERE slot > :last",
    "DELETE FROM verdicts WHERE slot > :last",
    "DELETE FROM candidates WHERE slot > :last",
    "DELETE FROM requests WHERE slot > :last",
    "DELETE FROM slots WHERE slot > :last",
)


@dataclass
class Outcome:
    """Hold the rows that a run made within a token budget, in slot order, and their cost."""

    rows: list[Json]
    candidates: int
    rejected: Counter[str] = field(default_factory=Counter)
    generated: int = 0
    judged: int = 0
    """Output tokens, of generation and of the judge."""
    worth: list[Weighed] = field(default_factory=list)
    """Weight and label probabilities of each row; empty where all rows count alike."""
    answers: int | None = None
    """Rows that the person answered; None if nobody was asked."""


def accepted(folder: Path, labels: Sequence[str], budget: int) -> Outcome:
    """Return the samples that a run accepted within `budget`, with the weights and labels that its student would get."""
    with Reader(folder / LEDGER) as reader:
        outcome, last = _within(reader, budget)
        samples = [sample for sample in reader.samples() if sample.slot is not None and sample.slot <= last]
        trust = from_saved(reader.meta("config"), []).labels
        found = weighed(reader, list(labels), trust, last + 1)
    outcome.worth = [found.get(sample.id, Weighed()) for sample in samples]
    outcome.rows = [sample.data for sample in samples]
    return outcome


def candidates(folder: Path, budget: int) -> tuple[Outcome, set[str]]:
    """Return every candidate that was read whole within `budget`, and the ids of all samples that prompts showed."""
    with Reader(folder / LEDGER) as reader:
        outcome, last = _within(reader, budget)
        sql = "SELECT data, parents, finish_reason FROM candidates WHERE slot <= ? ORDER BY slot, item"
        found = list(reader.rows(sql, (last,)))
    outcome.rows = [json.loads(data) for data, _, reason in found if data is not None and reason != "length"]
    return outcome, {parent for _, parents, _ in found for parent in json.loads(parents)}


def copy_within(folder: Path, copy: Path, budget: int) -> None:
    """Copy a finished run's folder without the slots that exceed `budget`; the run itself is only read."""
    shutil.copytree(folder, copy, ignore=shutil.ignore_patterns(f"{LEDGER}*", ".lock"))
    with Reader(folder / LEDGER) as reader:
        _, last = _within(reader, budget)
    address = f"{(folder / LEDGER).absolute().as_uri()}?mode=ro"
    with closing(sqlite3.connect(address, uri=True)) as source, closing(sqlite3.connect(copy / LEDGER)) as target:
        source.backup(target)
        with target:
            for statement in _AFTER_CUT:
                target.execute(statement, {"last": last})


def _within(reader: Reader, budget: int) -> tuple[Outcome, int]:
    """Return the cost and rejections of the slots that fit `budget`, and the last of these slots."""
    outcome = Outcome([], 0)
    last: int = reader.one("SELECT COALESCE(MAX(slot), -1) FROM slots")  # some slots have no requests
    sql = (
        "SELECT slot, SUM(CASE WHEN kind = 'generate' THEN completion_tokens ELSE 0 END), SUM(completion_tokens)"
        " FROM requests WHERE state = 'answered' GROUP BY slot ORDER BY slot"
    )
    for slot, generated, all_tokens in reader.rows(sql):
        if outcome.generated + outcome.judged + all_tokens > budget:
            last = slot - 1
            break
        outcome.generated += generated
        outcome.judged += all_tokens - generated
    sql = "SELECT COALESCE(reason, 'unknown'), outcome, COUNT(*) FROM candidates WHERE slot <= ? GROUP BY 1, 2"
    for reason, how, count in reader.rows(sql, (last,)):
        outcome.candidates += count
        if how == "rejected":
            outcome.rejected[reason] += count
    return outcome, last
