"""Compare each label's accepted samples with its share of the target, and find the main loss of unfilled labels."""

import math
from collections.abc import Mapping, Sequence

from synthgen.ledger import Reader
from synthgen.records import LABEL_FULL, OTHER_LABEL, OVER_TARGET, Json
from synthgen.report import plain
from synthgen.report.view import rounded

_CUT_SHORT = ("target", "signal", "engine", "disk", None)
"""Reasons for the end of a run after which unfilled labels are expected."""
_SHOWN = 10
_NO_CANDIDATE = "no_candidate"
_WORDS = {
    OTHER_LABEL: "mostly taken for another label",
    _NO_CANDIDATE: "most requests brought no candidate",
}
_LOSSES = (
    f"SELECT t.label, CASE WHEN c.slot IS NULL THEN '{_NO_CANDIDATE}'"
    f" WHEN s.label <> t.label THEN '{OTHER_LABEL}' ELSE c.reason END AS why, COUNT(*)"
    " FROM slots t LEFT JOIN candidates c ON c.slot = t.slot"
    " LEFT JOIN samples s ON s.slot = c.slot AND s.item = c.item"
    " WHERE t.state <> 'planned' AND t.label IS NOT NULL GROUP BY 1, 2"
    f" HAVING why NOT IN {(LABEL_FULL, OVER_TARGET)} ORDER BY 3 DESC, 2"
)


def label_shares(ledger: Reader, labels: Sequence[str], accepted: Mapping[str, int]) -> Json:
    """Return the `labels` of `summary.json`: each label's accepted samples, its share of the target, its main loss.

    The main loss is the most frequent outcome of requests for the label that gave no sample with it: the reason of a
    rejection, `other_label`, or `no_candidate` if the engine returned none. It is null if there was no loss.
    """
    target = ledger.meta("target")
    losses: dict[str, str] = {}
    for label, why, _ in ledger.rows(_LOSSES):
        losses.setdefault(label, why)
    quotas = ((ledger.meta("config") or {}).get("budget") or {}).get("quotas")
    even = target / len(labels) if target and labels else None
    shares = {label: float(quotas.get(label, 0)) if quotas else even for label in labels}
    return {
        label: {"accepted": accepted[label], "share": rounded(shares[label]), "main_loss": losses.get(label)}
        for label in labels
    }


def unfilled(summary: Json) -> list[str]:
    """Return a sentence for each label below its share in a finished run, the worst first."""
    if summary["stopped_by"] in _CUT_SHORT:
        return []
    short = {
        label: row
        for label, row in summary["labels"].items()
        if row["share"] and row["accepted"] < math.floor(row["share"])
    }
    found = [
        f"{plain.one_line(label)}: {plain.count(row['accepted'])} of {plain.count(math.floor(row['share']))}{_why(row)}"
        for label, row in sorted(short.items(), key=lambda pair: pair[1]["accepted"])
    ]
    more = len(found) - _SHOWN
    return found if more <= 0 else [*found[:_SHOWN], f"and {plain.count(more)} more labels"]


def _why(row: Json) -> str:
    loss = row["main_loss"]
    return f", {loss_words(loss)}" if loss else ""


def loss_words(loss: str) -> str:
    """Return `mostly near_duplicate`."""
    return _WORDS.get(loss) or f"mostly {plain.one_line(loss)}"
