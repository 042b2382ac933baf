"""Plans: balanced, tapered to what is needed, and the same however a run was interrupted."""

import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synthgen.generate.balance import Shares
from synthgen.generate.planner import GENERATIONS, Goal, Group, Planner

Rate = Callable[[str | None], float]


@dataclass
class Run:
    """A run whose slots are settled as soon as they are planned; what comes of a slot follows from its number and label."""

    labels: list[str]
    goal: Goal
    in_flight: int = 64
    group_size: int = 16
    rate: Rate = lambda _: 0.7
    strays: float = 0.0
    known: list[tuple[int, int, int, str | None]] = field(default_factory=list)
    """Groups that a ledger has."""
    rounds: int | None = None

    def __post_init__(self) -> None:
        self.shares = Shares(self.labels, self.goal.target)
        self.planner = Planner(self.shares, self.in_flight, self.group_size, known=self.known, rounds=self.rounds)
        self.slots: list[str | None] = []
        self.groups: list[Group] = []
        self.accepted: Counter[str | None] = Counter()
        self.surplus = 0
        for _, _, size, label in self.known:
            self.slots += [label] * size

    def go(self, slots: int = 10**6) -> str | None:
        """Settles so many slots, or until the run is over; returns the rule that ended it."""
        for _ in range(slots):
            if not self.shares.needed:
                return "target"
            if reason := self.planner.hopeless():
                return reason
            self.take()
            slot = self.planner.frontier
            asked = self.slots[slot]
            passed = self.passed(slot, asked)
            for label in passed:
                if self.shares.lacks(label):
                    self.shares.add(label)
                    self.accepted[label] += 1
                else:
                    self.surplus += 1
            self.planner.settle(asked, 1, passed)
        self.take()
        return None

    def take(self) -> None:
        """Writes what was planned into the ledger."""
        while self.planner.pending:
            group = self.planner.pending.popleft()
            assert group.first == len(self.slots)
            self.groups.append(group)
            self.slots += [group.label] * group.size

    def passed(self, slot: int, asked: str | None) -> list[str | None]:
        rng = random.Random(f"{slot}/{asked}")
        if rng.random() >= self.rate(asked):
            return []
        return [rng.choice(self.labels) if rng.random() < self.strays else asked]

    @property
    def unused(self) -> float:
        """The share of slots that were planned in vain."""
        return (len(self.slots) - self.planner.frontier + self.surplus) / len(self.slots)

    @property
    def generations(self) -> int:
        found, slot = 0, self.planner.frontier - 1
        while slot >= 0:
            found, slot = found + 1, self.planner.horizon(slot) - 1
        return found


def started(labels: int, target: int, candidates: int | None = None, attempts: int | None = 20, **knobs: Any) -> Run:
    run = Run([f"label {number}" for number in range(labels)], Goal(target, None, candidates, attempts), **knobs)
    run.planner.begin(run.goal)
    return run


@settings(max_examples=60)
@given(
    labels=st.integers(0, 40), target=st.integers(1, 200), rate=st.floats(0.3, 1.0), strays=st.floats(0.0, 0.2),
    in_flight=st.integers(1, 512),
)  # fmt: skip
def test_every_label_gets_its_share_whatever_the_target(
    labels: int, target: int, rate: float, strays: float, in_flight: int
) -> None:
    run = started(labels, target, in_flight=in_flight, rate=lambda _: rate, strays=strays if labels else 0.0)
    assert run.go() == "target"
    counts = [run.accepted[label] for label in run.shares.labels]
    assert sum(counts) == target
    assert max(counts) - min(counts) <= 1


@pytest.mark.parametrize("labels", [3, 10, 40])
@pytest.mark.parametrize("target", [60, 120, 200])
@pytest.mark.parametrize("rate", [0.5, 0.9])
def test_a_tenth_at_most_is_asked_for_in_vain_and_there_are_eight_generations(
    labels: int, target: int, rate: float
) -> None:
    run = started(labels, target, in_flight=512, rate=lambda _: rate, strays=0.1)
    assert run.go() == "target"
    assert run.unused <= 0.1
    assert run.generations >= 8


def test_a_large_run_has_twice_the_requests_in_flight_ahead_in_groups_of_full_size() -> None:
    run = started(4, 24 * 64, in_flight=64)
    run.go(400)
    assert len(run.slots) - run.planner.frontier > 2 * 64
    assert run.groups[0].size == 16
    assert max(group.first - group.horizon for group in run.groups) <= 2 * 64


def test_the_first_groups_go_to_each_label_in_turn_and_the_last_ones_are_small() -> None:
    run = started(4, 200)
    assert run.go() == "target"
    assert len({group.label for group in run.groups[:4]}) == 4
    assert run.groups[0].size > 1
    assert run.groups[-1].size == 1


def test_a_prompt_shows_what_was_accepted_at_most_one_generation_ago() -> None:
    run = started(10, 1000, in_flight=512)
    assert run.go() == "target"
    ahead = max(group.first + group.size - group.horizon for group in run.groups)
    assert ahead <= 1.1 * run.planner.frontier / GENERATIONS


@pytest.mark.parametrize("rate", [0.5, 0.9])
def test_a_run_in_four_rounds_needs_few_batches(rate: float) -> None:
    run = started(4, 4000, in_flight=10_000, rate=lambda _: rate, rounds=4)
    batches = []
    while run.shares.needed:
        run.take()
        batches.append(len(run.slots) - run.planner.frontier)
        run.go(batches[-1])
    assert 4 <= len(batches) <= 9
    assert sum(batches[:4]) > 0.75 * len(run.slots)


def test_a_hard_label_is_asked_for_more_often_but_at_most_twice_while_others_lack_samples() -> None:
    run = started(4, 400, rate=lambda label: 0.15 if label == "label 0" else 0.9)
    run.go(150)
    share = run.slots.count("label 0") / len(run.slots)
    assert 1.4 / 4 < share < 2.2 / 4
    assert run.go() == "target"


def test_a_label_that_cannot_be_filled_ends_the_run_once_the_others_are_full() -> None:
    run = started(3, 30, rate=lambda label: 0.0 if label == "label 1" else 0.9)
    assert run.go() == "unfilled_labels"
    assert [run.accepted[label] for label in run.shares.labels] == [10, 0, 10]
    assert run.slots.count("label 1") == 20 * 10 + 50
    assert run.unused < 0.05  # what is given up is not asked for to the last


def test_a_label_is_never_given_up_where_nothing_says_when() -> None:
    run = started(2, 4, attempts=None, rate=lambda label: 0.0 if label == "label 1" else 0.9)
    assert run.go(2000) is None


def test_a_label_whose_requests_bring_no_candidate_is_given_up_sooner() -> None:
    run = started(2, 4, rate=lambda _: 1.0)
    for _ in range(400):
        run.take()
        if run.planner.hopeless():
            break
        label = run.slots[run.planner.frontier]
        if label == "label 0" and run.shares.lacks(label):
            run.shares.add(label)
        run.planner.settle(label, int(label == "label 0"), [label] if label == "label 0" else [])
    assert 20 <= run.slots.count("label 1") <= 30


def test_no_more_slots_are_planned_than_the_budget_of_candidates_allows() -> None:
    run = started(4, 10**9, candidates=50, in_flight=64)
    run.take()
    assert len(run.slots) == 50


@settings(max_examples=60)
@given(
    labels=st.integers(0, 12), target=st.integers(1, 120), kept=st.floats(0.0, 1.0), settled=st.integers(0, 200),
    grown=st.integers(0, 60),
)  # fmt: skip
def test_an_interrupted_run_plans_the_slots_that_an_uninterrupted_one_plans(
    labels: int, target: int, kept: float, settled: int, grown: int
) -> None:
    """Killed with some of the groups in the ledger that it had planned, begun again, and grown to another target."""
    whole = started(labels, target, strays=0.1 if labels else 0.0)
    whole.go(settled)
    cut_at = whole.planner.frontier
    on_disk = [(group.number, group.first, group.size, group.label) for group in whole.groups]
    needed = sum(first < cut_at for _, first, _, _ in on_disk)
    on_disk = on_disk[: needed + round(kept * (len(on_disk) - needed))]
    again = started(labels, target, strays=whole.strays, known=on_disk)
    again.go(cut_at)
    again.planner.take_known()
    for run in (whole, again):
        run.planner.begin(Goal(target + grown, attempts=20))
        assert run.go() == "target"
    assert again.slots == whole.slots
    assert [again.planner.horizon(slot) for slot in range(len(whole.slots))] == [
        whole.planner.horizon(slot) for slot in range(len(whole.slots))
    ]
    assert again.accepted == whole.accepted


def test_groups_of_an_older_version_stand_and_the_run_continues_behind_them() -> None:
    old = [(number, 16 * number, 16, f"label {number % 2}") for number in range(6)]
    run = started(2, 80, known=old)
    run.go(40)
    run.planner.take_known()
    assert run.go() == "target"
    assert [group.number for group in run.groups] == list(range(6, 6 + len(run.groups)))
    assert sorted(run.accepted.values()) == [40, 40]


def test_long_slots_leave_room_for_more_slots_ahead() -> None:
    ahead = []
    for longest in (1.0, 2.5):
        planner = Planner(Shares([None], 10_000), 4, 2, longest=longest)
        planner.begin(Goal(10_000))
        ahead.append(sum(group.size for group in planner.pending))
    assert ahead == [2 * 4 + 2, 2.5 * 2 * 4 + 2]
