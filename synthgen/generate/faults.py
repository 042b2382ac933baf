"""Reject candidates whose own strategy found them unusable while it made them.

A strategy of several requests learns more about a candidate than other checks can, such as that its solutions do not
agree. It names the reason in `Candidate.given` under `FAULT`.
"""

from synthgen.records import FAULT, UNSCORED, Candidate, CheckSpec, Reason, Verdict

NO_AGREEMENT = Reason(
    "no_agreement", "has an answer on which too few of its solutions agree", "generate.reason.agreement"
)
TIE = Reason("tie", "has two answers, and neither is better", "generate.prefer.margin")
CONTRADICTED = Reason("contradicted", "has two answers, and the preferred one changes with their order")
SHARE = "share"
"""Key of `given` that holds the score of the verdict."""


class ChainCheck:
    """Reject a candidate with the reason that its strategy gives."""

    spec = CheckSpec(
        "chain",
        "The strategy that made the sample in several requests found no fault in it.",
        (NO_AGREEMENT, TIE, CONTRADICTED, UNSCORED),
        "share of the solutions that agree on the answer (strategy reason), or the probability that the chosen answer is "
        "better (strategy prefer), 0 to 1",
    )
    name = spec.name

    async def __call__(self, candidate: Candidate) -> Verdict:
        score = candidate.given.get(SHARE)
        if (reason := candidate.given.get(FAULT)) is not None:
            return Verdict(check=self.name, outcome="reject", reason=reason, score=score)
        return Verdict(check=self.name, score=score)
