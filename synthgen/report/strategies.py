"""Compute figures of each strategy: its candidates and samples, their cost, novelty and labels, and the student's gain.

The same figures, but for the student's gain, are computed for each model of a mix (`figures_by`).
"""

from collections.abc import Iterator, Mapping
from typing import Any

from synthgen.generate.kinds import StrategiesConfig
from synthgen.labels.answers import NOT_A_SAMPLE, settled
from synthgen.labels.pool import known_label, saved_labels, weighing
from synthgen.ledger import Reader
from synthgen.records import GOOD, Json
from synthgen.report import plain
from synthgen.report.view import rounded

GAINS = "strategy_gains"
"""Ledger key of the student's gain by each strategy, as `student.contribution` describes it."""
WEIGHTS = "strategy_weights"
"""Ledger key of the strategies' shares in each round, where `generate.adapt` is true."""
_MOST_ROUNDS = 12  # columns of the table of shares

_SLOTS = "SELECT {0}, COUNT(DISTINCT grp), COUNT(*) FROM slots WHERE {0} IS NOT NULL GROUP BY 1 ORDER BY 1"
_CANDIDATES = (
    "SELECT s.{0}, COUNT(*), SUM(c.outcome = 'accepted') FROM candidates c JOIN slots s USING (slot) GROUP BY 1"
)
_REJECTED = (
    "SELECT s.{0}, COALESCE(c.reason, 'unknown'), COUNT(*) FROM candidates c JOIN slots s USING (slot)"
    " WHERE c.outcome = 'rejected' AND s.{0} IS NOT NULL GROUP BY 1, 2 ORDER BY 3 DESC, 2"
)
_TOKENS = (
    "SELECT s.{0}, SUM(r.completion_tokens), SUM(r.prompt_tokens - r.cached_tokens + r.completion_tokens)"
    " FROM requests r JOIN slots s USING (slot) WHERE r.state = 'answered' GROUP BY 1"
)
_SAMPLES = "SELECT s.{0}, a.id, a.label, a.novelty FROM samples a JOIN slots s USING (slot) ORDER BY a.position"


def strategy_figures(ledger: Reader, with_student: bool = True) -> dict[str, Json]:
    """Return the `strategies` of `summary.json`: figures by the name of the strategy.

    `share` is the share of the groups that the config asks for. Tokens are those of generator and judge. Like
    `tokens.per_accepted`, `tokens_per_accepted` counts computed tokens: uncached prompt tokens and output tokens.
    `student_gain` is the loss of the frozen student without the strategy's samples. It is null where it was not
    measured, and where `with_student` is False.
    """
    gains = ((ledger.meta(GAINS) if with_student else None) or {}).get("gains") or {}
    found = figures_by(ledger, "strategy", ledger.config("generate.strategies", StrategiesConfig).shares())
    return {name: {**row, "student_gain": gains.get(name)} for name, row in found.items()}


def strategy_weights(ledger: Reader) -> list[Json]:
    """Return {slot, shares} for each round of a run whose weights adapt; empty for another run."""
    return ledger.meta(WEIGHTS) or []


def shown_rounds(rounds: list[Json]) -> list[Json]:
    """Return at most twelve rounds, evenly spaced, the first and the last among them."""
    most = min(_MOST_ROUNDS, len(rounds))
    return [rounds[round(number * (len(rounds) - 1) / max(1, most - 1))] for number in range(most)]


def figures_by(ledger: Reader, column: str, shares: Mapping[str, float]) -> dict[str, Json]:
    """Return figures by the value of a column of the slots. `shares` are those that the config asks for."""
    candidates = {name: (n, accepted) for name, n, accepted in ledger.rows(_CANDIDATES.format(column))}
    tokens = {name: (output or 0, computed or 0) for name, output, computed in ledger.rows(_TOKENS.format(column))}
    rejected: dict[str, dict[str, int]] = {}
    for name, reason, count in ledger.rows(_REJECTED.format(column)):
        rejected.setdefault(name, {})[reason] = count
    quality = _quality(ledger, column)
    found = {}
    for name, groups, slots in ledger.rows(_SLOTS.format(column)):
        n, accepted = candidates.get(name, (0, 0))
        output, computed = tokens.get(name, (0, 0))
        found[name] = {
            "share": rounded(shares.get(name)),
            "groups": groups,
            "slots": slots,
            "candidates": n,
            "accepted": accepted,
            "acceptance": rounded(accepted / n) if n else None,
            "rejected": rejected.get(name, {}),
            "output_tokens": output,
            "tokens_per_accepted": rounded(computed / accepted) if accepted else None,
            **quality.get(name, _NOTHING),
        }
    return found


_NOTHING = {"novelty": None, "label_right": None, "answered": 0, "answers_right": None}


def _quality(ledger: Reader, column: str) -> dict[str, Json]:
    """Return the means over accepted samples by the value of a column.

    `label_right` is the label model's probability of the label that the sample has in the dataset, with people's
    answers among its sources. `answers_right` is the share of the answered samples to which people gave the label with
    which the sample was accepted.
    """
    labels = list((ledger.meta("task") or {}).get("labels") or {})
    cfg = saved_labels(ledger)
    weighed = weighing(ledger, labels, cfg)
    probable = weighed.samples if weighed.figures else {}
    answers = settled(ledger.people_answers())
    lists: dict[str, dict[str, list[float]]] = {}
    for name, key, label, novelty in ledger.rows(_SAMPLES.format(column)):
        found = lists.setdefault(name, {"novelty": [], "label_right": [], "answers_right": []})
        found["novelty"].append(novelty)
        if key in probable and (known := probable[key].labels):
            found["label_right"].append(known.get(known_label(str(label), known, cfg), 0.0))
        if (answer := answers.get(key)) is not None:
            found["answers_right"].append(0.0 if answer is NOT_A_SAMPLE else answer.get(label if labels else GOOD, 0.0))
    return {
        name: {what: _mean(values) for what, values in found.items()} | {"answered": len(found["answers_right"])}
        for name, found in lists.items()
    }


def _mean(values: list[float]) -> float | None:
    return rounded(sum(values) / len(values)) if values else None


def lines(figures: dict[str, Json], weights: list[Json]) -> Iterator[str]:
    """Yield a closing line about each of several strategies or models; nothing where there is only one.

    `weights` are the shares by round of strategies whose weights adapt.
    """
    if len(figures) < 2:
        return
    for name, row in figures.items():
        yield f"{plain.one_line(name)} {'; '.join([_cost(row), *_worth(row), *_moved(name, weights)])}"


def _cost(row: Json) -> str:
    of = f"of {plain.count(row['candidates'])} candidates accepted"
    if not row["accepted"]:
        return f"none {of}"
    cost = f"{plain.count(row['tokens_per_accepted'])} tokens per accepted sample"
    return f"{plain.count(row['accepted'])} {of} ({plain.percent(row['acceptance'])}), {cost}"


def _worth(row: Json) -> Iterator[str]:
    if row.get("novelty") is not None:
        yield f"novelty {plain.figure(row['novelty'], 2)}"
    if row.get("label_right") is not None:
        yield f"{plain.percent(row['label_right'])} of labels right by estimate"
    if row.get("answered"):
        yield f"people confirmed {plain.percent(row['answers_right'])} of {plain.count(row['answered'])}"
    if main := main_rejection(row):
        yield f"mostly rejected as {main}"
    if gain := row.get("student_gain"):
        yield f"student {difference(gain)} by its samples"


def main_rejection(row: Json) -> str:
    """Return `near_duplicate (12)`, the most frequent reason for which candidates were rejected; empty without one."""
    rejected: dict[str, int] = row.get("rejected") or {}
    if not rejected:
        return ""
    reason = max(rejected, key=lambda each: (rejected[each], each))
    return f"{plain.one_line(reason)} ({plain.count(rejected[reason])})"


def difference(gain: Json) -> str:
    """Return `+1.2 points of accuracy (-0.4 to +2.8)`, the student's gain by a strategy's samples."""
    share = gain["is_share"]
    mean, low, high = (gain[key] and plain.signed(gain[key], share) for key in ("mean", "low", "high"))
    return (
        f"{mean or '0'}{' points of' if share else ''} {plain.metric_name(gain['metric'])} ({low or 0} to {high or 0})"
    )


def _moved(name: Any, weights: list[Json]) -> Iterator[str]:
    if weights and name in weights[0]["shares"]:
        first, last = weights[0]["shares"][name], weights[-1]["shares"][name]
        yield f"weight moved from {plain.percent(first)} to {plain.percent(last)}"
