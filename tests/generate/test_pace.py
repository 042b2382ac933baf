"""Short runs: enough slots are planned ahead to keep an endpoint with few places in use."""

import heapq
import random
import statistics
from collections.abc import Callable
from itertools import count

import pytest

from synthgen.generate.balance import Shares
from synthgen.generate.planner import Goal, Planner

PLACES, ANSWER, CLIENT = 4, 0.05, 0.03  # seconds an answer takes, and the client between two requests of a slot


class Endpoint:
    """An endpoint with few places, simulated in virtual time. A slot is a generation and one or two judge questions."""

    def __init__(self, target: int, seed: int) -> None:
        self.rng = random.Random(seed)
        self.shares = Shares([f"label {number}" for number in range(4)], target)
        self.planner = Planner(self.shares, 64, 16)
        self.now = self.busy = 0.0
        self.held = 0
        self.numbers = count()
        self.events: list[tuple[float, int, Callable[[], None]]] = []
        self.queue: list[tuple[int, int, int, Callable[[], None]]] = []
        self.labels: dict[int, str | None] = {}
        self.judged: dict[int, bool] = {}

    def run(self) -> float:
        """Return the share of the places in use from the first request to the last answer that is needed."""
        self.planner.begin(Goal(self.shares.target))
        self.start_planned()
        while self.shares.needed:
            self.serve()
            self.now, _, then = heapq.heappop(self.events)
            then()
        return (self.busy - self.held * ANSWER / 2) / (self.now * PLACES)

    def after(self, seconds: float, then: Callable[[], None]) -> None:
        heapq.heappush(self.events, (self.now + seconds, next(self.numbers), then))

    def ask(self, priority: int, slot: int, then: Callable[[], None]) -> None:
        heapq.heappush(self.queue, (priority, slot, next(self.numbers), then))

    def serve(self) -> None:
        while self.queue and self.held < PLACES:
            then = heapq.heappop(self.queue)[3]
            self.held += 1
            self.busy += ANSWER
            self.after(ANSWER, lambda then=then: self.answered(then))  # type: ignore[misc]

    def answered(self, then: Callable[[], None]) -> None:
        self.held -= 1
        then()

    def start_planned(self) -> None:
        while self.planner.pending:
            group = self.planner.pending.popleft()
            for slot in range(group.first, group.first + group.size):
                self.labels[slot] = group.label
                self.ask(1, slot, lambda slot=slot: self.after(CLIENT, lambda: self.judge(slot)))  # type: ignore[misc]

    def judge(self, slot: int) -> None:
        def graded() -> None:
            self.judged[slot] = self.rng.random() < 0.9
            self.settle()

        twice = self.rng.random() < 0.33
        self.ask(0, slot, (lambda: self.ask(0, slot, graded)) if twice else graded)

    def settle(self) -> None:
        while self.planner.frontier in self.judged and self.shares.needed:
            slot = self.planner.frontier
            label = self.labels[slot]
            if self.judged[slot] and self.shares.lacks(label):
                self.shares.add(label)
            self.planner.settle(label, 1, [label] if self.judged[slot] else [])
        self.start_planned()


@pytest.mark.parametrize("target", [20, 30, 40, 60, 100])
def test_four_places_are_in_use_for_four_fifths_of_a_short_run(target: int) -> None:
    assert statistics.mean(Endpoint(target, seed).run() for seed in range(30)) >= 0.85
