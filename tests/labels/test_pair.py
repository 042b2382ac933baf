"""Counterfactuals: one that has the label of its pair after all is rejected."""

from collections.abc import Callable

import pytest

from synthgen.labels.pair import PairCheck
from synthgen.records import DECISION, PAIR, Candidate, Sample, Verdict

Make = Callable[..., Candidate]


def decided(candidate: Candidate, label: str) -> Candidate:
    candidate.verdicts = [Verdict(check=DECISION, score=0.9, details={"label": label})]
    return candidate


@pytest.mark.parametrize(
    ("label", "reason"), [("business", "same_label"), ("sport", None), ("science", None)], ids=["its", "asked", "third"]
)
async def test_the_decided_label_must_differ_from_that_of_the_pair(
    news_seeds: list[Sample], candidate: Make, label: str, reason: str | None
) -> None:
    pair = next(seed for seed in news_seeds if seed.label == "business")
    check = PairCheck({seed.id: seed for seed in news_seeds}.__getitem__)
    made = decided(candidate(label="sport", given={PAIR: pair.id}), label)
    verdict = await check(made)
    assert verdict.reason == reason
    assert verdict.details == ({"neighbour": pair.id, "label": "business"} if reason else {})


async def test_other_candidates_pass(news_seeds: list[Sample], candidate: Make) -> None:
    check = PairCheck(dict[str, Sample]().__getitem__)
    assert (await check(decided(candidate(), "business"))).outcome == "pass"
