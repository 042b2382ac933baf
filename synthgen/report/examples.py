"""Choose the examples for the report page: rejected candidates, accepted samples, acceptance over time.

It reads the ledger and returns plain data. The same ledger gives the same rows.
"""

import json
import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from synthgen.ledger import Reader
from synthgen.records import Json, Sample
from synthgen.report.plain import REASONS, shorten
from synthgen.report.settings import threshold
from synthgen.report.view import TaskView
from synthgen.run.checks import words
from synthgen.tasks.task import as_text

PER_REASON = 3
ACCEPTED = 30
WINDOWS = 24
LEAST_SLOTS = 10
MAX_CHARS = 600
SEED = 0

# Ids are content hashes, so the first few in their order are a random draw that is always the same.
# The last verdict on a rejected candidate is the one that rejected it.
_EXAMPLES = (
    "SELECT c.label, c.text, c.data, v.score, v.details FROM candidates c LEFT JOIN verdicts v"
    " ON v.slot = c.slot AND v.item = c.item AND v.position ="
    " (SELECT MAX(position) FROM verdicts WHERE slot = c.slot AND item = c.item)"
    " WHERE c.outcome = 'rejected' AND c.\"check\" IS ? AND c.reason IS ? ORDER BY c.id, c.slot, c.item LIMIT ?"
)


@dataclass(frozen=True)
class RejectedExample:
    """Hold one rejected candidate. `near` is the text of its near-duplicate match, if any."""

    fields: list[tuple[str, str]]
    label: str | None
    score: float | None
    near: str | None
    notes: list[tuple[str, Any]]


@dataclass(frozen=True)
class Rejection:
    """Hold all candidates that one check rejected for one reason."""

    check: str
    reason: str
    meaning: str
    count: int
    share: float
    threshold: tuple[str, float] | None
    examples: list[RejectedExample]


@dataclass(frozen=True)
class SlotWindow:
    """Hold the numbers of candidates and accepted samples in a range of slots."""

    first: int
    last: int
    candidates: int
    accepted: int


def rejections(ledger: Reader, task: TaskView, settings: dict[str, float]) -> list[Rejection]:
    """Return rejections by check and reason, most frequent first, each with a few examples."""
    groups = list(
        ledger.rows(
            "SELECT \"check\", reason, COUNT(*) AS n FROM candidates WHERE outcome = 'rejected'"
            " GROUP BY 1, 2 ORDER BY n DESC, 1, 2"
        )
    )
    total = sum(n for _, _, n in groups)
    return [
        Rejection(
            check=check or "unknown",
            reason=reason or "unknown",
            meaning=words(check, reason) or REASONS.get(reason or "unknown", ""),
            count=n,
            share=n / total,
            threshold=threshold(settings, check, reason),
            examples=[_example(ledger, task, row) for row in ledger.rows(_EXAMPLES, (check, reason, PER_REASON))],
        )
        for check, reason, n in groups
    ]


def accepted(samples: Sequence[Sample]) -> list[Sample]:
    """Return up to ACCEPTED synthetic samples, drawn with a fixed seed, in the order of their acceptance."""
    synthetic = [sample for sample in samples if sample.origin == "synthetic"]
    if len(synthetic) <= ACCEPTED:
        return synthetic
    return [synthetic[i] for i in sorted(random.Random(SEED).sample(range(len(synthetic)), ACCEPTED))]


def windows(ledger: Reader) -> list[SlotWindow]:
    """Divide the run into at most WINDOWS equal ranges of slots, none shorter than LEAST_SLOTS."""
    slots = (ledger.one("SELECT MAX(slot) FROM candidates") or 0) + 1
    size = max(LEAST_SLOTS, -(-slots // WINDOWS))
    sql = "SELECT slot / ?, COUNT(*), SUM(outcome = 'accepted') FROM candidates GROUP BY 1 ORDER BY 1"
    return [SlotWindow(w * size, min((w + 1) * size, slots) - 1, n, took) for w, n, took in ledger.rows(sql, (size,))]


def shown_fields(task: TaskView, data: Json) -> list[tuple[str, str]]:
    """Return the non-empty fields of a sample without its label, each truncated to MAX_CHARS."""
    return [(name, shorten(as_text(value), MAX_CHARS)) for name, value in task.free(data)]


def _example(ledger: Reader, task: TaskView, row: tuple[Any, ...]) -> RejectedExample:
    label, text, data, score, details = row
    notes = json.loads(details) if details else {}
    near = _near(ledger, task, notes)
    fields = shown_fields(task, json.loads(data)) if data else []
    return RejectedExample(fields or [("", shorten(text, MAX_CHARS))], label, score, near, _notes(notes))


def _near(ledger: Reader, task: TaskView, notes: Json) -> str | None:
    """Return the text of the near-duplicate match, from the notes or looked up by its id."""
    neighbour = notes.pop("neighbour", None)
    text = notes.pop("text", None)
    if text is None and neighbour is not None:
        data = ledger.one("SELECT data FROM samples WHERE id = ?", (neighbour,))
        text = task.text(json.loads(data)) if data else None
    return None if text is None else shorten(as_text(text), MAX_CHARS)


def _notes(notes: Json) -> list[tuple[str, Any]]:
    """Return the other details of a verdict, with only the three highest probabilities."""
    probabilities = notes.pop("probabilities", None)
    likeliest: list[tuple[str, Any]] = []
    if isinstance(probabilities, dict):
        likeliest = sorted(probabilities.items(), key=lambda pair: -pair[1])[:3]
        notes.pop("answer", None)
    return [*likeliest, *((name, _note(value)) for name, value in notes.items())]


def _note(value: Any) -> Any:
    return value if isinstance(value, int | float) else shorten(as_text(value), 160)
