"""The chain of checks: who is asked when, what the ledger keeps, and who hears of an accepted sample."""

from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from synthgen.records import Candidate, CheckSpec, Json, Sample, Verdict
from synthgen.run.chain import Chain

Make = Callable[..., Candidate]
DECIDED = Verdict(check="trust", score=0.8, details={"label": "world"})


@dataclass
class Asked:
    """Gives its answers one after another, and notes what it was shown."""

    name: str
    answers: list[Verdict] = field(default_factory=list)
    keeps_passes: bool = True
    saw: list[list[str]] = field(default_factory=list)

    @property
    def spec(self) -> CheckSpec:
        return CheckSpec(self.name, "", (), keeps_passes=self.keeps_passes)

    async def __call__(self, candidate: Candidate) -> Verdict:
        self.saw.append([verdict.check for verdict in candidate.verdicts])
        return self.answers.pop(0) if self.answers else Verdict(check=self.name)


class Heard:
    def __init__(self) -> None:
        self.samples: list[Sample] = []

    def accepted(self, sample: Sample, candidate: Candidate) -> None:
        self.samples.append(sample)


def labelled(data: Json, label: str) -> Json:
    return {**data, "label": label}


def rejects(check: str) -> Verdict:
    return Verdict(check=check, outcome="reject", reason="why", score=0.5)


async def test_checks_are_asked_in_order_until_one_rejects(candidate: Make) -> None:
    first, second, third = Asked("a"), Asked("b", [rejects("b")]), Asked("c")
    heard, one = Heard(), candidate()
    chain = Chain([first, second, third], [third], [heard], labelled)
    await chain.arrive([one])
    entry = await chain.settle(one)
    assert [verdict.check for verdict in entry.verdicts] == ["a", "b"]
    assert (entry.sample, heard.samples, third.saw) == (None, [], [])


async def test_an_undecided_check_does_not_pass_a_candidate(candidate: Make) -> None:
    one = candidate()
    chain = Chain([Asked("a", [Verdict(check="a", outcome="unscored", reason="unscored")])], [], [], labelled)
    await chain.arrive([one])
    assert (await chain.settle(one)).sample is None


async def test_a_check_sees_the_verdicts_of_earlier_checks(candidate: Make) -> None:
    first, later, one = Asked("a"), Asked("b"), candidate()
    chain = Chain([first], [later], [], labelled)
    await chain.arrive([one])
    await chain.settle(one)
    assert later.saw == [["a"]]


async def test_a_check_that_is_asked_again_is_recorded_again_only_where_it_rejects(candidate: Make) -> None:
    near = Asked("near", [Verdict(check="near", score=0.2), Verdict(check="near", score=0.7), *map(rejects, ["near"])])
    chain = Chain([near], [near], [], labelled)
    one = candidate()
    await chain.arrive([one])
    entry = await chain.settle(one)
    assert [verdict.score for verdict in entry.verdicts] == [0.2]
    assert entry.sample is not None
    assert entry.sample.novelty == pytest.approx(0.3), "the nearest of those that were accepted meanwhile counts"
    near.answers.insert(0, Verdict(check="near"))
    two = candidate()
    await chain.arrive([two])
    assert [verdict.outcome for verdict in (await chain.settle(two)).verdicts] == ["pass", "reject"]


async def test_passes_of_a_check_that_does_not_keep_them_are_not_recorded(candidate: Make) -> None:
    one = candidate()
    chain = Chain([Asked("a")], [Asked("budget", keeps_passes=False)], [], labelled)
    await chain.arrive([one])
    assert [verdict.check for verdict in (await chain.settle(one)).verdicts] == ["a"]


async def test_a_sample_has_the_decided_label_and_reaches_all_followers(candidate: Make) -> None:
    heard, later, one = [Heard(), Heard()], Asked("budget", keeps_passes=False), candidate(label="sport")
    chain = Chain([Asked("a")], [Asked("trust", [DECIDED]), later], heard, labelled)
    await chain.arrive([one])
    assert one.decided_label == "sport"
    entry = await chain.settle(one)
    assert one.decided_label == "world"
    assert entry.sample is not None
    assert (entry.sample.label, entry.sample.data["label"], entry.sample.quality) == ("world", "world", 0.8)
    assert entry.sample.id != one.id
    assert [each.samples for each in heard] == [[entry.sample]] * 2
