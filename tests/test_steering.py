"""The student in the loop: what it is worth is measured on seeds it never saw, and what it confuses and lacks steers prompts."""

import asyncio
import math
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from synthgen.cli import dispatch
from synthgen.errors import ConfigError
from synthgen.generate.steer import SteerConfig
from synthgen.judge.trust import Evidence, Gold, LabelTrust, TrustConfig
from synthgen.pool import Pool, PoolConfig
from synthgen.records import Json, Sample
from synthgen.roster import Roster
from synthgen.steering import Coverage, Feedback, Steer, Steering, feedback, folds, steers

LABELS = ("sport", "science", "world")
# Two seeds a label; those of sport and science lie close to each other, those of world far from both.
SEEDS = np.array(
    [[1, 0.8, 0, 0.3], [0.8, 1, 0, 0.3], [0, 0, 1, 0], [0.9, 0.8, 0, -0.3], [0.8, 0.9, 0, -0.3], [0.1, 0, 1, 0]],
    dtype=np.float64,
)
SEEDS = SEEDS / np.linalg.norm(SEEDS, axis=1, keepdims=True)
GOLD = Gold(LABELS, SEEDS, LABELS * 2, np.eye(4)[:3])
IDS = [f"s{number}" for number in range(6)]
CFG = TrustConfig(every=8, closeness=0.0, accepted=0.5)


def sample(name: str, label: str) -> Sample:
    return Sample(id=name, data={"text": name, "label": label}, origin="seed", label=label)


def known(accepted: list[Evidence] | None = None) -> Feedback:
    trust = LabelTrust(CFG, GOLD)
    trust.restore(accepted or [])
    return feedback(GOLD, CFG, IDS, trust.rows(10**9))


def evidence(slot: int, vector: Any, label: str) -> Evidence:
    unit = np.asarray(vector, dtype=np.float32)
    return Evidence(slot, unit / np.linalg.norm(unit), label, label, {label: 1.0}, None)


def test_every_seed_is_asked_about_by_a_student_that_never_saw_it() -> None:
    """Seeds whose labels are drawn by lot cannot be known better than by chance, however many there are."""
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(300, 64))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    lot = tuple(rng.choice(LABELS, 300))
    gold = Gold(LABELS, vectors, lot, np.eye(64)[:3])
    found = feedback(gold, CFG, [str(number) for number in range(300)], [])
    assert found.accuracy < 0.45
    assert found.likelihood < math.log(0.45)


def test_folds_take_the_seeds_of_a_label_in_turns() -> None:
    assert folds(np.array([0, 0, 0, 1, 1, 1, 2])).tolist() == [0, 1, 0, 1, 0, 1, 0]
    assert folds(np.array([0, 1, 2, 3])).tolist() == [0, 1, 0, 1], "labels with one seed are not all left out at once"


def test_labels_that_are_confused_are_each_others_foils() -> None:
    found = known()
    assert found.foils("sport")["science"] > 2 * found.foils("sport")["world"]
    assert set(found.foils("world")) == {"sport", "science"}
    assert found.confused.sum(1) == pytest.approx(1)


def test_the_seed_around_which_least_was_accepted_is_shown_most() -> None:
    accepted = [evidence(slot, SEEDS[0] + 0.01 * slot / 10, "sport") for slot in range(10)]
    found = known(accepted)
    assert found.covered["s0"] == 10
    shown = Steer(covered=found.covered).seeds([sample("s0", "sport"), sample("s3", "sport")])
    assert shown is not None and shown["s3"] > 2 * shown["s0"]


def test_what_is_accepted_of_another_label_covers_no_seed_of_this_one() -> None:
    found = known([evidence(0, SEEDS[0], "world")])
    assert found.covered["s0"] == 0
    assert found.covered["s2"] + found.covered["s5"] == 1


def test_samples_are_worth_what_their_labels_are_worth() -> None:
    rng = np.random.default_rng(0)
    near = [SEEDS[number % 6] + 0.03 * rng.normal(size=4) for number in range(120)]
    right = [evidence(slot, vector, LABELS[slot % 3]) for slot, vector in enumerate(near)]
    wrong = [evidence(slot, vector, LABELS[(slot + 1) % 3]) for slot, vector in enumerate(near)]
    assert known(right).likelihood > known().likelihood > known(wrong).likelihood
    assert known(right).accuracy > known().accuracy


# -- without labels --------------------------------------------------------------------------------


def coverage(share: float = 1.0) -> Coverage:
    return Coverage(SteerConfig(share=share), [sample(name, "") for name in IDS], SEEDS, 7)


async def test_without_labels_the_seeds_around_which_least_was_accepted_are_shown() -> None:
    made, seeds = coverage(), [sample(name, "") for name in IDS]
    for slot in range(10):
        made.add(slot, np.asarray(SEEDS[2], dtype=np.float32))
    made.add(10, None)  # a sample whose embedding is missing lies nowhere
    steer = await made.plan(0, 100)
    assert steer.strategy == "steered" and steer.foils(None) is None
    worth = steer.seeds(seeds)
    assert worth is not None and worth["s2"] < 0.3 < worth["s0"]
    assert worth["s0"] == worth["s5"] == 1.0


async def test_coverage_is_what_was_settled_before_the_slot() -> None:
    made = coverage()
    for slot in range(20):
        made.add(slot, np.asarray(SEEDS[slot % 2], dtype=np.float32))
    counted = [dict((await made.plan(group, before)).covered or {}) for group, before in ((0, 4), (1, 9), (2, 4))]
    assert [(found["s0"], found["s1"]) for found in counted] == [(2, 2), (5, 4), (2, 2)]
    again = coverage()
    for slot in range(9):
        again.add(slot, np.asarray(SEEDS[slot % 2], dtype=np.float32))
    assert (await again.plan(1, 9)).covered == counted[1]


async def test_without_labels_too_a_share_stays_as_it_is() -> None:
    assert (await coverage(share=0.0).plan(0, 0)).strategy is None
    assert not await coverage().flat(100)


# -- what it steers --------------------------------------------------------------------------------


def pool() -> Pool:
    seeds = [sample(f"{label}{number}", label) for label in LABELS for number in range(4)]
    found = Pool(PoolConfig(), Roster(), {seed.id: seed for seed in seeds}.__getitem__)
    for position, seed in enumerate(seeds):
        found.add(seed, position)
    return found


def test_foils_are_drawn_by_what_they_are_worth_and_never_twice() -> None:
    rng, worth = random.Random(0), {"science": 9.0, "world": 1.0}
    drawn = [pool().foils(rng, 1, "sport", worth)[0].label for _ in range(300)]
    assert 0.82 < drawn.count("science") / 300 < 0.97
    assert {seed.label for seed in pool().foils(rng, 2, "sport", worth)} == {"science", "world"}


def test_demonstrations_are_drawn_by_what_they_are_worth() -> None:
    rng, worth = random.Random(0), {"sport0": 0.01, "sport1": 1.0, "sport2": 1.0, "sport3": 1.0}
    drawn = [seed.id for _ in range(200) for seed in pool().draw(rng, 2, "sport", 0, worth)]
    assert drawn.count("sport0") < 20 < drawn.count("sport1")


# -- in a run --------------------------------------------------------------------------------------


def steering(
    kept: dict[str, Json], trust: LabelTrust, earlier: dict[int, Json] | None = None, **knobs: Any
) -> Steering:
    seeds = [sample(name, label) for name, label in zip(IDS, LABELS * 2, strict=True)]
    flat = knobs.pop("flat_fits", None), 0.005
    return Steering(SteerConfig(**knobs), trust, seeds, 7, kept.__setitem__, earlier or {}, flat)


async def test_a_fit_is_made_once_from_what_lies_before_its_boundary_and_written_down() -> None:
    kept: dict[str, Json] = {}
    trust = LabelTrust(CFG, GOLD)
    made = steering(kept, trust)
    trust.restore([evidence(3, SEEDS[0], "sport")])
    made.begin(8)
    trust.restore([evidence(9, SEEDS[0], "sport")])
    first, again = await asyncio.gather(made.at(8), made.at(15))
    assert first is again
    assert first.accepted == 1
    assert list(kept) == ["feedback/8"]
    assert set(kept["feedback/8"]) == {"accepted", "accuracy", "likelihood", "known"}


def test_a_share_of_the_groups_is_steered_and_always_the_same_ones() -> None:
    found = [steers(SteerConfig(share=0.5), 7, group) for group in range(400)]
    assert 150 < sum(found) < 250
    assert found == [steers(SteerConfig(share=0.5), 7, group) for group in range(400)]
    assert not any(steers(SteerConfig(share=0.0), 7, group) for group in range(50))


async def test_a_group_that_is_not_steered_hears_of_nothing() -> None:
    sport = [sample("s0", "sport"), sample("s3", "sport")]
    whole, none = (steering({}, LabelTrust(CFG, GOLD), share=share) for share in (1.0, 0.0))
    steered, plain = await whole.plan(0, 0), await none.plan(0, 0)
    assert steered.strategy == "steered" and plain.strategy is None
    assert set(steered.foils("sport") or {}) == {"science", "world"} and plain.foils("sport") is None
    assert set(steered.seeds(sport) or {}) == {"s0", "s3"} and plain.seeds(sport) is None


@pytest.mark.parametrize(
    ("worth", "is_over"),
    [
        ([-1.0, -0.9, -0.8, -0.7], False),
        ([-1.0, -0.7, -0.71, -0.72], True),
        ([-1.0, -0.7, -0.72, -0.69], False),
        ([-1.0, -0.7, -0.72, -0.698], True),
        ([-0.7, -0.8], False),
    ],
)
async def test_a_run_is_over_when_so_many_fits_brought_nothing(worth: list[float], is_over: bool) -> None:
    earlier = {8 * number: {"likelihood": value} for number, value in enumerate(worth)}
    made = steering({}, LabelTrust(CFG, GOLD), earlier, flat_fits=2)
    assert await made.flat(8 * len(worth) - 1) is is_over
    assert not await steering({}, LabelTrust(CFG, GOLD), earlier).flat(8 * len(worth) - 1)


async def test_what_a_killed_session_did_not_write_down_is_worked_out_again() -> None:
    kept: dict[str, Json] = {}
    made = steering(kept, LabelTrust(CFG, GOLD), {0: {"likelihood": -1.0}}, flat_fits=1)
    await made.flat(17)
    assert sorted(kept) == ["feedback/16", "feedback/8"]


def test_a_stop_rule_without_a_student_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert dispatch(["run", "experiment=smoke", "diversity=hash", "budget.flat_fits=3"]) == 2
    assert "budget.flat_fits: follows the student in the loop, and this run has none" in capsys.readouterr().err
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("knobs", "complaint"),
    [
        ({"share": 1.5}, "generate.steer.share: must be from 0 to 1, got 1.5"),
    ],
)
def test_a_value_out_of_range_is_refused(knobs: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ConfigError, match=complaint):
        SteerConfig(**knobs)
