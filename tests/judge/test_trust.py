"""Labels by several voices: what they come to together, and what becomes of a candidate by it."""

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from synthgen.errors import ConfigError
from synthgen.judge.trust import Evidence, Gold, LabelTrust, TrustConfig
from synthgen.judge.voices import reliability, together
from synthgen.records import Candidate, Verdict

LABELS = ("sport", "science", "world")
GOLD = Gold(LABELS, np.eye(6)[:3], LABELS, np.eye(6)[:3])


def vector(*weights: float) -> Any:
    """A unit vector that leans to the labels by these weights."""
    found = np.zeros(6)
    found[: len(weights)] = weights
    return (found / np.linalg.norm(found)).astype(np.float32)


def trust(**knobs: Any) -> LabelTrust:
    return LabelTrust(TrustConfig(**knobs), GOLD)


async def decided(
    trust: LabelTrust, made: Callable[..., Candidate], where: Any, label: str, asked: dict[str, float] | None = None
) -> Verdict:
    await trust.reach(0)
    verdicts = [Verdict(check="label", details={"probabilities": asked})] if asked else []
    return trust.decide(made(label=label, embedding=where), verdicts)


# -- voices ----------------------------------------------------------------------------------------


def test_a_voice_that_contradicts_what_is_believed_is_believed_less() -> None:
    believed = np.repeat(np.eye(2), 50, axis=0)
    right, wrong = reliability(believed, believed), reliability(believed, believed[::-1])
    base = np.array([[0.5, 0.5]])
    said = np.array([[1.0, 0.0]])
    assert together(base, {"v": said}, {"v": right})[0, 0] > 0.7
    assert together(base, {"v": said}, {"v": wrong})[0, 0] < 0.35


def test_a_voice_counts_less_than_one_that_errs_by_itself_would() -> None:
    """Head and voices read the same words: taken at their word they are surer than they are right."""
    base, said = np.array([[0.5, 0.5]]), np.array([[1.0, 0.0]])
    seen = reliability(np.repeat(np.eye(2), 50, axis=0), np.repeat(np.eye(2), 50, axis=0))
    by_itself = seen[0, 0] / seen[:, 0].sum()
    assert 0.5 < together(base, {"v": said}, {"v": seen})[0, 0] < by_itself - 0.1


def test_a_voice_that_was_not_asked_changes_nothing() -> None:
    base = np.array([[0.7, 0.2, 0.1]])
    found = together(base, {"v": np.zeros((1, 3))}, {"v": reliability(base, base)})
    assert found == pytest.approx(base, abs=1e-6)


def test_a_voice_of_which_nothing_is_known_is_taken_to_be_right_more_often_than_not() -> None:
    for labels in (2, 7, 77):
        alone = reliability(np.zeros((0, labels)), np.zeros((0, labels)))
        assert alone.sum(1) == pytest.approx(1)
        assert 0.4 < alone[0, 0] < 0.8


# -- decisions -------------------------------------------------------------------------------------


async def test_a_candidate_where_its_label_belongs_keeps_it(candidate: Callable[..., Candidate]) -> None:
    verdict = await decided(trust(), candidate, vector(1, 0.1), "sport")
    assert (verdict.outcome, verdict.details["label"], verdict.details["head"]) == ("pass", "sport", "sport")
    assert verdict.score == verdict.details["probabilities"]["sport"] > 0.9


async def test_a_candidate_that_is_another_labels_gets_that_one(candidate: Callable[..., Candidate]) -> None:
    verdict = await decided(trust(), candidate, vector(0.1, 1), "sport")
    assert (verdict.outcome, verdict.details["label"]) == ("pass", "science")


async def test_a_candidate_of_no_likely_label_is_dropped(candidate: Callable[..., Candidate]) -> None:
    verdict = await decided(trust(keep=0.9), candidate, vector(1, 1, 1), "sport")
    assert (verdict.outcome, verdict.reason) == ("reject", "label")


async def test_the_label_check_is_heard_where_the_head_is_in_doubt(candidate: Callable[..., Candidate]) -> None:
    between, says = vector(1, 1), {"science": 0.99, "sport": 0.01}
    silent = await decided(trust(), candidate, between, "sport")
    heard = await decided(trust(), candidate, between, "sport", says)
    assert heard.details["probabilities"]["science"] > silent.details["probabilities"]["science"] + 0.08


async def test_the_model_is_asked_only_where_head_and_intent_are_in_doubt(candidate: Callable[..., Candidate]) -> None:
    clear, unclear = (
        candidate(label="sport", embedding=vector(1, 0.1)),
        candidate(label="sport", embedding=vector(1, 1)),
    )
    other = candidate(label="world", embedding=vector(1, 0.1))
    assert [await trust().is_sure(one) for one in (clear, unclear, other)] == [True, False, False]
    assert not await trust(sure=None).is_sure(clear)


async def test_what_is_asked_hangs_on_what_is_settled_for_sure_alone(candidate: Callable[..., Candidate]) -> None:
    """A later sample that is in by chance already must not change what is asked: a resumed run would ask otherwise."""
    far = vector(0, 0, 0, 1)
    late = LabelTrust(TrustConfig(), GOLD, lambda slot: slot - 64)
    late.restore(Evidence(slot, far, "world", "world", {"world": 1.0}, None) for slot in range(32))
    made = candidate(label="world", embedding=far)
    assert not await late.is_sure(made.model_copy(update={"slot": 64}))
    assert await late.is_sure(made.model_copy(update={"slot": 128}))


def test_only_what_was_settled_before_a_boundary_is_learned_from() -> None:
    known = trust()
    known.restore(Evidence(slot, vector(0, 0, 0, 1), "world", "world", {"world": 1.0}, None) for slot in range(64, 96))
    unseen = np.asarray([vector(0, 0, 0, 1)], dtype=np.float64)
    before, after = known.fit(64).base(unseen)[0], known.fit(128).base(unseen)[0]
    assert after[2] > 0.9 > before[2]


def test_boundaries_follow_from_the_slot_alone_and_grow_apart() -> None:
    known = trust(every=64, window=512)
    found = [known.boundary(slot) for slot in range(20_000)]
    assert found == sorted(found)
    assert all(boundary <= slot for slot, boundary in enumerate(found))
    assert found[63:65] == [0, 64]
    assert max(later - before for before, later in itertools.pairwise(found)) <= 512


@pytest.mark.parametrize(
    ("knobs", "complaint"),
    [
        ({"relabel": 1.1}, "judge.trust.relabel: must be from 0 to 1, got 1.1"),
        ({"weight": -1.0}, "judge.trust.weight: must be 0 or more, got -1.0"),
        ({"every": 0}, "judge.trust.every: must be 1 or more, got 0"),
    ],
)
def test_a_value_out_of_range_is_refused(knobs: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ConfigError, match=complaint):
        TrustConfig(**knobs)
