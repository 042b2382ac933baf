"""Accept or reject candidates: run the checks in order until one does not pass the candidate.

The arriving checks run as soon as a candidate arrives, in any order of slots. The settling checks run in slot order,
when all earlier candidates are settled. A check may be in both lists: the second time it also compares with the samples
that were accepted in the meantime.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

from synthgen.ledger import Settled
from synthgen.records import DECISION, Candidate, Check, Follower, Json, Sample, Verdict, content_id

NEAR, LABEL, RUBRIC = "near", "label", "rubric"


@dataclass(frozen=True)
class Chain:
    """Run the checks of a run and notify the followers of each accepted sample."""

    arriving: Sequence[Check]
    """The checks that run when a candidate arrives, the cheapest first."""
    settling: Sequence[Check]
    """The checks that run in slot order on candidates that passed the arriving checks."""
    followers: Sequence[Follower]
    """The objects to notify of each accepted sample, in this order."""
    relabelled: Callable[[Json, str], Json]
    """Return a sample's data with another label."""

    async def arrive(self, candidates: Sequence[Candidate]) -> None:
        """Run the arriving checks on the candidates of a reply, and store the verdicts in the candidates."""
        if len(candidates) == 1:  # the usual case; without gather it needs no task of its own
            await _ask(candidates[0], self.arriving)
        else:
            await asyncio.gather(*(_ask(candidate, self.arriving) for candidate in candidates))

    async def settle(self, candidate: Candidate) -> Settled:
        """Accept or reject a candidate for good. All slots before the candidate's slot must be settled."""
        first = tuple(candidate.verdicts)
        if not _passed(candidate):
            return Settled(candidate, first)
        passed = await _ask(candidate, self.settling)
        verdicts = (*first, *(verdict for verdict in candidate.verdicts[len(first) :] if self._recorded(verdict)))
        if not passed:
            return Settled(candidate, verdicts)
        sample = to_sample(candidate, self.relabelled)
        for follower in self.followers:
            follower.accepted(sample, candidate)
        return Settled(candidate, verdicts, sample)

    def _recorded(self, verdict: Verdict) -> bool:
        """Return True when the ledger keeps a verdict of a settling check: not for passes that say nothing new."""
        return verdict.outcome != "pass" or verdict.check not in self._silent

    @cached_property
    def _silent(self) -> frozenset[str]:
        """Return the names of the checks whose passes, when the candidate is settled, say nothing new."""
        first = {check.spec.name for check in self.arriving}
        return frozenset(first | {check.spec.name for check in self.settling if not check.spec.keeps_passes})


async def _ask(candidate: Candidate, checks: Sequence[Check]) -> bool:
    """Run checks until one does not pass the candidate. Return True when all passed it."""
    verdicts = candidate.verdicts
    for check in checks:
        verdict = await check(candidate)
        verdicts.append(verdict)
        if verdict.outcome != "pass":
            return False
    return True


def _passed(candidate: Candidate) -> bool:
    return candidate.verdicts[-1].outcome == "pass"


def to_sample(candidate: Candidate, relabelled: Callable[[Json, str], Json]) -> Sample:
    """Return an accepted candidate as a sample. Change its data where the decided label is not the one asked for.

    Quality, from 0 to 1, is the mean of the label's score, the rubric's grade and the quality that the strategy
    measured, as far as there are any. Where
    several label sources decide, the label's score is the probability that the label is right. Novelty is one minus the
    cosine to the nearest sample.
    """
    data, label = candidate.data or {}, candidate.decided_label
    changed = label is not None and label != candidate.label
    if changed:
        data = relabelled(data, str(label))
    scores = {v.check: v.details.get("settled", v.score) for v in candidate.verdicts if v.score is not None}
    grades = [scores[check] for check in (DECISION, LABEL) if check in scores][:1]
    grades += [(scores[RUBRIC] - 1) / 4] if RUBRIC in scores else []
    grades += [candidate.quality] if candidate.quality is not None else []
    return Sample(
        id=content_id(data) if changed else candidate.id,
        data=data,
        origin="synthetic",
        label=label,
        slot=candidate.slot,
        item=candidate.item,
        parents=candidate.parents,
        depth=candidate.depth,
        strategy=candidate.strategy,
        template=candidate.template,
        model=candidate.model,
        given=candidate.given,
        quality=sum(grades) / len(grades) if grades else 1.0,
        novelty=1.0 - max(0.0, scores.get(NEAR, 0.0)),
    )
