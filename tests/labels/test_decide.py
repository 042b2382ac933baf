"""Deciding labels while a run goes on: what becomes of a candidate, and from which samples that follows."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest
from planted import LABELS, planted

from synthgen.errors import ConfigError
from synthgen.labels.config import LabelsConfig, decides
from synthgen.labels.decide import LabelDecider, LabelRecord
from synthgen.records import Candidate, Json, Sample, Verdict
from synthgen.tasks.task import Task

Make = Callable[..., Candidate]
CASE = planted(texts=400, prompt=0.6, noise=0.3)
SCIENCE, SPORT = (np.eye(16)[LABELS.index(label)].astype(np.float32) for label in ("science", "sport"))
BETWEEN = 1.3 * SCIENCE + SPORT
BETWEEN /= np.linalg.norm(BETWEEN)


def accepted(first: int = 0, last: int = 400, offset: int = 0) -> list[LabelRecord]:
    """Return accepted samples of slots from `first`; with an `offset` the prompt asked for another label throughout."""
    return [
        LabelRecord(slot, CASE.texts.vectors[slot].astype(np.float32), asked, asked, {asked: 1.0}, id=f"sample {slot}")
        for slot in range(first, last)
        for asked in [LABELS[(CASE.truth[slot] + offset) % 4] if offset else LABELS[CASE.texts.intents[slot]]]
    ]


def decider(rows: list[LabelRecord], known: Callable[[int], int] = lambda slot: slot, **knobs: Any) -> LabelDecider:
    made = LabelDecider(LabelsConfig(**({"every": 8} | knobs)), CASE.anchors, known)
    made.restore(rows)
    return made


def said(check: str, label: str, share: float = 0.97) -> Verdict:
    others = (1 - share) / (len(LABELS) - 1)
    shares = {other: share if other == label else others for other in LABELS}
    return Verdict(check=check, details={"answer": label, "probabilities": shares})


# -- what becomes of a candidate -------------------------------------------------------------------


async def decided(made: LabelDecider, candidate: Candidate, *verdicts: Verdict) -> Verdict:
    candidate.verdicts = list(verdicts)
    return await made(candidate)


async def test_a_label_that_the_sources_agree_on_is_kept(candidate: Make) -> None:
    found = await decided(decider(accepted()), candidate(slot=400, label="sport", embedding=SPORT))
    assert (found.check, found.outcome, found.details["label"], found.details["head"]) == (
        "trust", "pass", "sport", "sport",
    )  # fmt: skip
    assert found.score == found.details["probabilities"]["sport"] > 0.9
    assert sum(found.details["probabilities"].values()) == pytest.approx(1, abs=0.001)


async def test_another_label_is_given_where_it_is_likelier(candidate: Make) -> None:
    """The prompts of this run were right in six of ten, so that one alone does not outweigh what the text is like."""
    found = await decided(decider(accepted()), candidate(slot=400, label="sport", embedding=SCIENCE))
    assert (found.outcome, found.details["label"]) == ("pass", "science")
    assert found.score == found.details["probabilities"]["science"] > 0.4


async def test_another_label_has_to_be_likely_enough(candidate: Make) -> None:
    made = decider(accepted(), relabel=1.0, keep=0.0)
    found = await decided(made, candidate(slot=400, label="sport", embedding=SCIENCE))
    assert (found.outcome, found.details["label"]) == ("pass", "sport")
    assert found.score == found.details["probabilities"].get("sport", 0.0) < 0.3


async def test_a_candidate_whose_label_is_improbable_is_rejected(candidate: Make) -> None:
    made = decider(accepted(), relabel=1.0, keep=0.5)
    found = await decided(made, candidate(slot=400, label="sport", embedding=SCIENCE))
    assert (found.outcome, found.reason) == ("reject", "label")
    assert found.score is not None and found.score < 0.5


async def test_the_label_check_is_a_label_source(candidate: Make) -> None:
    made = decider(accepted())
    doubtful = candidate(slot=400, label="sport", embedding=BETWEEN)
    labels = [(await decided(made, doubtful, said("label", label))).details["probabilities"] for label in LABELS]
    assert labels[1]["science"] > labels[2]["science"] + 0.2
    assert labels[2]["sport"] > labels[1]["sport"] + 0.2


async def test_an_unscored_label_check_is_no_label_source(candidate: Make) -> None:
    made, doubtful = decider(accepted()), candidate(slot=400, label="sport", embedding=BETWEEN)
    silent = await decided(made, doubtful)
    assert await decided(made, doubtful, Verdict(check="label", details={"skipped": "sure"})) == silent


# -- who is asked ----------------------------------------------------------------------------------


async def test_the_label_check_is_asked_only_about_what_is_in_doubt(candidate: Make) -> None:
    made = decider(accepted(), audit=0.0)
    assert await made.is_sure(candidate(slot=400, label="sport", embedding=SPORT))
    assert not await made.is_sure(candidate(slot=400, label="sport", embedding=SCIENCE))
    assert not await made.is_sure(candidate(slot=400, label="sport", embedding=BETWEEN))


async def test_the_label_check_is_always_asked_where_seeds_and_meanings_give_another_label(candidate: Make) -> None:
    made = decider(accepted(), audit=0.0, sure=0.0)
    assert await made.is_sure(candidate(slot=400, label="sport", embedding=SPORT))
    assert not await made.is_sure(candidate(slot=400, label="sport", embedding=SCIENCE))


@pytest.mark.parametrize(
    ("knobs", "low", "high"), [({}, 0.2, 0.3), ({"audit": 0.5}, 0.44, 0.56), ({"audit": 1.0}, 1, 1)]
)
async def test_a_random_share_of_candidates_is_asked_about_without_doubt(
    knobs: dict[str, float], low: float, high: float, candidate: Make
) -> None:
    made = decider(accepted(), **knobs)
    asked = [
        not await made.is_sure(candidate(f"Text {number}.", slot=400, label="sport", embedding=SPORT))
        for number in range(400)
    ]
    assert low <= np.mean(asked) <= high


async def test_without_a_threshold_every_candidate_is_asked_about(candidate: Make) -> None:
    made = decider(accepted(), audit=0.0, sure=None)
    assert not await made.is_sure(candidate(slot=400, label="sport", embedding=SPORT))


async def test_questions_depend_only_on_slots_that_are_decided_for_good(candidate: Make) -> None:
    """Slots from 64 on are still under way while slot 100 is: that the prompt errs in them changes nothing yet."""
    mixed = [SPORT + share * SCIENCE for share in np.linspace(0, 1, 6)]
    texts = [candidate(slot=100, label="sport", embedding=each / np.linalg.norm(each)) for each in mixed]

    async def asked(known: Callable[[int], int], *parts: list[LabelRecord]) -> list[bool]:
        made = decider([row for part in parts for row in part], known, audit=0.0, sure=0.99)
        return [await made.is_sure(text) for text in texts]

    sure, later = accepted(0, 64, offset=4), accepted(64, 100, offset=1)
    settled = await asked(lambda slot: slot - 36, sure)
    assert settled == await asked(lambda slot: slot - 36, sure, later)
    assert settled != await asked(lambda slot: slot, sure, later), "they do once they are settled"


# -- what a fit is made from -----------------------------------------------------------------------


def test_refits_come_at_fixed_slots_and_lag_by_at_most_an_eighth_of_the_run() -> None:
    made = decider([], every=64)
    assert [made.boundary(slot) for slot in (0, 63, 64, 130, 1023, 1024, 1151, 1152)] == [
        0, 0, 64, 128, 960, 1024, 1024, 1152,
    ]  # fmt: skip
    boundaries = [made.boundary(slot) for slot in range(0, 60_000, 7)]
    assert boundaries == sorted(boundaries)
    assert all(slot - found < max(64, slot / 8) for slot, found in zip(range(0, 60_000, 7), boundaries, strict=True))
    assert len(set(boundaries)) < 120, "a long run is not fitted anew all the time"


async def test_only_samples_before_the_boundary_are_used(candidate: Make) -> None:
    early, late = accepted(0, 64), accepted(64, 72, offset=1)
    found = [await decider(rows).at(71) for rows in (early, early + late)]
    assert (len(found[0].posterior), len(found[1].posterior)) == (64, 64)
    assert (found[0].posterior == found[1].posterior).all()
    sport = candidate(slot=71, label="sport", embedding=BETWEEN)
    assert await decided(decider(early), sport) == await decided(decider(early + late), sport)


async def test_slots_between_two_boundaries_share_a_fit() -> None:
    made = decider(accepted(0, 80))
    assert await made.at(64) is await made.at(71)
    assert await made.at(72) is not await made.at(71)


def test_the_latest_samples_in_the_window_are_used() -> None:
    made = decider(accepted(), window=50)
    assert [row.slot for row in made.rows(200)] == list(range(150, 200))
    assert made.window > 50, "a session that goes on may begin some slots back"


async def test_a_resumed_session_has_the_fit_of_the_one_before(candidate: Make) -> None:
    made, again = decider(accepted(0, 40)), decider([])
    new = candidate(slot=40, label="sport", embedding=SPORT)
    check = said("label", "science")
    new.verdicts = [check]
    verdict = await made(new)
    new.verdicts.append(verdict)
    made.accepted(Sample(id="sample 40", data={}, origin="synthetic"), new)
    shares: Json = verdict.details["probabilities"]
    restored = LabelRecord(
        40, SPORT, "sport", verdict.details["label"], shares, check.details["probabilities"], "sample 40"
    )
    again.restore([*accepted(0, 40), restored])
    first, second = made.fit(41), again.fit(41)
    assert len(first.posterior) == 41
    assert (first.posterior == second.posterior).all()


def test_peoples_answers_count_from_the_next_fit_on() -> None:
    answers: dict[str, Mapping[str, float]] = {}
    made = LabelDecider(LabelsConfig(), CASE.anchors, people=lambda: answers)
    made.restore(accepted(0, 40))
    before = made.fit(40)
    answers |= {
        "sample 3": {"science": 1.0},
        "sample 7": {"sport": 0.5, "world": 0.5},
        "of another run": {"sport": 1.0},
    }
    after = made.fit(40)
    assert before.posterior[3].max() < 1
    assert after.posterior[3].tolist() == [0, 1, 0, 0] and after.posterior[7].tolist() == [0, 0, 0.5, 0.5]


# -- where labels are decided ----------------------------------------------------------------------


def test_labels_are_decided_from_several_sources_with_a_semantic_embedder(news_task: Task) -> None:
    assert decides(LabelsConfig(), news_task, "minilm")
    assert not decides(LabelsConfig(), news_task, "hash")
    assert not decides(LabelsConfig(enabled=False), news_task, "minilm")


@pytest.mark.parametrize(
    ("knobs", "complaint"),
    [
        ({"relabel": 1.2}, "labels.relabel: must be from 0 to 1, got 1.2"),
        ({"renew": -0.1}, "labels.renew: must be from 0 to 1, got -0.1"),
        ({"keep": 2}, "labels.keep: must be from 0 to 1, got 2"),
        ({"sure": 1.1}, "labels.sure: must be from 0 to 1, got 1.1"),
        ({"audit": -1}, "labels.audit: must be from 0 to 1, got -1"),
        ({"weight": -0.5}, "labels.weight: must be 0 or more, or null, got -0.5"),
        ({"every": 0}, "labels.every: must be 1 or more, got 0"),
        ({"window": 0}, "labels.window: must be 1 or more, got 0"),
    ],
)
def test_a_value_out_of_range_is_refused(knobs: dict[str, float], complaint: str) -> None:
    with pytest.raises(ConfigError, match=complaint):
        LabelsConfig(**knobs)  # type: ignore[arg-type]
