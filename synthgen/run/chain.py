"""The one way in which a candidate is accepted or rejected: checks, asked until one does not pass it.

Some are asked as soon as a candidate arrives, in any order of slots. The others are asked in slot order, when everything
before the candidate is settled. A check may be in both lists: asked again, it finds what was accepted meanwhile.
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
    """Asks the checks of a run and tells those that follow of each accepted sample."""

    arriving: Sequence[Check]
    """Asked when a candidate arrives, the cheapest first."""
    settling: Sequence[Check]
    """Asked of those that passed, in slot order."""
    followers: Sequence[Follower]
    """Told of each accepted sample, in this order."""
    relabelled: Callable[[Json, str], Json]
    """Gives a sample's data with another label."""

    async def arrive(self, candidates: Sequence[Candidate]) -> None:
        """Ask the first checks about a reply's candidates; their verdicts tell how that ended."""
        if len(candidates) == 1:  # the usual case, which needs no task of its own
            await _ask(candidates[0], self.arriving)
        else:
            await asyncio.gather(*(_ask(candidate, self.arriving) for candidate in candidates))

    async def settle(self, candidate: Candidate) -> Settled:
        """Accept or reject for good a candidate that has arrived; all slots before its own are settled."""
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
        """Tell whether the ledger keeps a verdict of the second list: no pass of a check that has passed already."""
        return verdict.outcome != "pass" or verdict.check not in self._silent

    @cached_property
    def _silent(self) -> frozenset[str]:
        """Return the names of the checks whose passes in slot order say nothing new."""
        first = {check.spec.name for check in self.arriving}
        return frozenset(first | {check.spec.name for check in self.settling if not check.spec.keeps_passes})


async def _ask(candidate: Candidate, checks: Sequence[Check]) -> bool:
    """Ask checks until one does not pass the candidate; return whether all did."""
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
    """Return an accepted candidate as a sample, with other data where another label than the one asked for was decided.

    Quality is the mean of the scores of the judge's checks, from 0 to 1; of a label, how surely it is right in a prompt.
    Novelty is the distance to the nearest sample.
    """
    data, label = candidate.data or {}, candidate.decided_label
    changed = label is not None and label != candidate.label
    if changed:
        data = relabelled(data, str(label))
    scores = {v.check: v.details.get("settled", v.score) for v in candidate.verdicts if v.score is not None}
    grades = [scores[check] for check in (DECISION, LABEL) if check in scores][:1]
    grades += [(scores[RUBRIC] - 1) / 4] if RUBRIC in scores else []
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
        quality=sum(grades) / len(grades) if grades else 1.0,
        novelty=1.0 - max(0.0, scores.get(NEAR, 0.0)),
    )
