"""Check that a counterfactual has another label than the sample from which it differs in little else."""

from collections.abc import Callable

from synthgen.records import PAIR, Candidate, CheckSpec, Reason, Sample, Verdict


class PairCheck:
    """Reject a candidate that has the label of its pair, the sample named in `given[PAIR]`.

    The near-duplicate check lets such a candidate resemble its pair, which is right only if their labels differ. Call
    this when the candidate's label is decided. `find` returns a sample by its id.
    """

    spec = CheckSpec(
        "pair",
        "A sample that was made to differ from another one in its label has another label.",
        (Reason("same_label", "has the label of the sample from which it should differ"),),
        keeps_passes=False,
    )
    name = spec.name

    def __init__(self, find: Callable[[str], Sample]) -> None:
        self._find = find
        self._passed = Verdict(check=self.name)

    async def __call__(self, candidate: Candidate) -> Verdict:
        pair = candidate.given.get(PAIR)
        if pair is None:
            return self._passed
        label = self._find(pair).label
        if candidate.decided_label != label:
            return self._passed
        details = {"neighbour": pair, "label": label}
        return Verdict(check=self.name, outcome="reject", reason="same_label", details=details)
