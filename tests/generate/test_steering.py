"""Steering of tasks without labels: a share of the prompts shows the seeds around which least was accepted."""

import random

import numpy as np
import pytest

from synthgen.errors import ConfigError
from synthgen.generate.pool import Pool, PoolConfig
from synthgen.generate.steer import SteerConfig
from synthgen.generate.steering import UNSTEERED, Coverage, steers
from synthgen.ledger.roster import Roster
from synthgen.records import Sample

# s0, s1, s3 and s4 lie close to each other, s2 and s5 far from them.
SEEDS = np.array(
    [[1, 0.8, 0, 0.3], [0.8, 1, 0, 0.3], [0, 0, 1, 0], [0.9, 0.8, 0, -0.3], [0.8, 0.9, 0, -0.3], [0.1, 0, 1, 0]],
    dtype=np.float64,
)
SEEDS = SEEDS / np.linalg.norm(SEEDS, axis=1, keepdims=True)
IDS = [f"s{number}" for number in range(6)]


def sample(name: str) -> Sample:
    return Sample(id=name, data={"text": name}, origin="seed")


def coverage(share: float = 1.0) -> Coverage:
    return Coverage(SteerConfig(share=share), [sample(name) for name in IDS], SEEDS, 7)


def test_the_seeds_around_which_least_was_accepted_are_worth_most() -> None:
    made, seeds = coverage(), [sample(name) for name in IDS]
    for slot in range(10):
        made.add(slot, np.asarray(SEEDS[2], dtype=np.float32))
    made.add(10, None)  # a sample whose embedding is missing lies nowhere
    steer = made.plan(0, 100)
    assert steer.strategy == "steered"
    worth = steer.seeds(seeds)
    assert worth is not None and worth["s2"] < 0.3 < worth["s0"]
    assert worth["s0"] == worth["s5"] == 1.0


def test_coverage_is_what_was_settled_before_the_slot() -> None:
    made = coverage()
    for slot in range(20):
        made.add(slot, np.asarray(SEEDS[slot % 2], dtype=np.float32))
    counted = [dict(made.plan(group, before).covered or {}) for group, before in ((0, 4), (1, 9), (2, 4))]
    assert [(found["s0"], found["s1"]) for found in counted] == [(2, 2), (5, 4), (2, 2)]
    again = coverage()
    for slot in range(9):
        again.add(slot, np.asarray(SEEDS[slot % 2], dtype=np.float32))
    assert again.plan(1, 9).covered == counted[1]


def test_a_group_that_is_not_steered_draws_seeds_at_random() -> None:
    plain = coverage(share=0.0).plan(0, 0)
    assert plain == UNSTEERED
    assert plain.strategy is None and plain.seeds([sample("s0")]) is None


def test_a_share_of_the_groups_is_steered_and_always_the_same_ones() -> None:
    found = [steers(SteerConfig(share=0.5), 7, group) for group in range(400)]
    assert 150 < sum(found) < 250
    assert found == [steers(SteerConfig(share=0.5), 7, group) for group in range(400)]
    assert found != [steers(SteerConfig(share=0.5), 8, group) for group in range(400)]
    assert not any(steers(SteerConfig(share=0.0), 7, group) for group in range(50))


def test_demonstrations_are_drawn_by_what_they_are_worth() -> None:
    seeds = [sample(name) for name in IDS[:4]]
    pool = Pool(PoolConfig(), Roster(), {seed.id: seed for seed in seeds}.__getitem__)
    for position, seed in enumerate(seeds):
        pool.add(seed, position)
    rng, worth = random.Random(0), {"s0": 0.01, "s1": 1.0, "s2": 1.0, "s3": 1.0}
    drawn = [seed.id for _ in range(200) for seed in pool.draw(rng, 2, None, 0, worth)]
    assert drawn.count("s0") < 20 < drawn.count("s1")


def test_a_share_out_of_range_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"generate\.steer\.share: must be from 0 to 1, got 1.5"):
        SteerConfig(share=1.5)
