"""Counterfactuals: rejected where they have the label of their pair after all, or few of its words."""

from collections.abc import Callable

import pytest

from synthgen.diversity.pair import PairCheck
from synthgen.records import DECISION, PAIR, Candidate, Sample, Verdict
from synthgen.tasks.task import Task

Make = Callable[..., Candidate]
OLD = Sample(
    id="p", data={"text": "Shares in the club fell on Monday.", "label": "business"}, origin="seed", label="business"
)


@pytest.fixture
def check(news_task: Task) -> PairCheck:
    return PairCheck(0.5, news_task.text, {"p": OLD}.__getitem__)


@pytest.mark.parametrize(
    ("label", "reason"), [("business", "same_label"), ("sport", None), ("science", None)], ids=["its", "asked", "third"]
)
async def test_the_decided_label_must_differ_from_that_of_the_pair(
    check: PairCheck, candidate: Make, label: str, reason: str | None
) -> None:
    made = candidate("Players of the club fell on Monday.", given={PAIR: "p"})
    assert (await check(made)).outcome == "pass"  # before its label is decided
    made.verdicts = [Verdict(check=DECISION, score=0.9, details={"label": label})]
    verdict = await check(made)
    assert (verdict.reason, verdict.details["neighbour"]) == (reason, "p")


@pytest.mark.parametrize(("settled", "reason"), [(0.02, "label_unproved"), (0.6, None)])
async def test_a_label_supported_only_by_the_request_is_not_proved(
    check: PairCheck, candidate: Make, settled: float, reason: str | None
) -> None:
    made = candidate("Players of the club fell on Monday.", given={PAIR: "p"})
    made.verdicts = [Verdict(check=DECISION, score=0.6, details={"label": "sport", "settled": settled})]
    assert (await check(made)).reason == reason


async def test_a_text_with_other_words_is_no_counterfactual(check: PairCheck, candidate: Make) -> None:
    verdict = await check(candidate("The striker scored twice.", given={PAIR: "p"}))
    assert (verdict.reason, verdict.details) == ("not_minimal", {"neighbour": "p"})
    assert 0 <= (verdict.score or 0) < 0.5


async def test_other_candidates_pass(check: PairCheck, candidate: Make) -> None:
    assert await check(candidate(label="business")) == Verdict(check="pair")
