"""Check that a counterfactual differs from its pair in its label and in little else."""

from collections.abc import Callable

from synthgen.diversity.overlap import overlap
from synthgen.records import DECISION, PAIR, Candidate, CheckSpec, Json, Reason, Sample, Verdict

_PROVED = 0.5
"""Least cautious probability of a counterfactual's label. Its text is nearly that of a sample with another label, so the
request for the label is no evidence."""


class PairCheck:
    """Reject a candidate that has the label of its pair, the sample named in `given[PAIR]`, or few of its words.

    The near-duplicate check lets such a candidate resemble its pair, which is right only if their labels differ. Call
    this when a candidate arrives, so that no model is asked about one with other words, and again when its label is
    decided. `find` returns a sample by its id, and `text` the text of a sample.
    """

    spec = CheckSpec(
        "pair",
        "A counterfactual has another label than the sample that it changes, and keeps most of its words.",
        (
            Reason("same_label", "has the same label as the sample that it changes"),
            Reason("label_unproved", "has another label than that sample only because its prompt asked for it"),
            Reason("not_minimal", "keeps too few words of the sample that it changes", "diversity.pair_overlap"),
        ),
        "lexical overlap with the other sample, or the cautious probability of the label, 0 to 1",
    )
    name = spec.name

    def __init__(self, least: float, text: Callable[[Json], str], find: Callable[[str], Sample]) -> None:
        self._least = least
        self._text = text
        self._find = find
        self._passed = Verdict(check=self.name)

    async def __call__(self, candidate: Candidate) -> Verdict:
        if (pair := candidate.given.get(PAIR)) is None:
            return self._passed
        other = self._find(pair)
        if candidate.decided_label == other.label:
            return self._no("same_label", None, neighbour=pair, label=other.label)
        if (proved := _proved(candidate)) is not None and proved < _PROVED:
            return self._no("label_unproved", proved, neighbour=pair)
        shared = round(overlap(self._text(candidate.data or {}), self._text(other.data)), 6)
        if shared < self._least:
            return self._no("not_minimal", shared, neighbour=pair)
        return Verdict(check=self.name, score=shared, details={"neighbour": pair})

    def _no(self, reason: str, score: float | None, **details: str | None) -> Verdict:
        return Verdict(check=self.name, outcome="reject", reason=reason, score=score, details=details)


def _proved(candidate: Candidate) -> float | None:
    """Return the probability of the decided label as far as more than the request supports it; None if undecided."""
    found = [verdict.details.get("settled") for verdict in candidate.verdicts if verdict.check == DECISION]
    return found[-1] if found else None
