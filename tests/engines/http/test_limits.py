"""Test how many requests at once an endpoint is sent: up while it answers, down by half when it refuses, then to the number
that it takes."""

import random

import pytest

from synthgen.engines.http.limits import Limit, RateLimit


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def serve(limit: Limit, capacity: int, answers: int) -> tuple[int, float]:
    """Keep a server that refuses above `capacity` as full as `limit` allows; refusals, and the mean number at work."""
    rng = random.Random(0)
    working: list[int] = []
    refused, served, busy, limit.held = 0, 0, 0, 0
    while served < answers:
        while limit.has_room():
            limit.held += 1
            ticket = limit.ticket()
            if len(working) < capacity:
                working.append(ticket)
            else:
                refused += 1
                limit.refused(ticket)
                limit.held -= 1
        busy += len(working)
        working.pop(rng.randrange(len(working)))
        served += 1
        limit.answered()
        limit.held -= 1
    return refused, busy / answers


@pytest.mark.parametrize("capacity", [1, 4, 32, 200])
def test_the_limit_finds_what_a_server_takes_and_stays_there(capacity: int) -> None:
    limit = Limit(256)
    serve(limit, capacity, 20 * capacity)  # the way up
    refused, busy = serve(limit, capacity, 40 * capacity)
    assert refused <= 0.04 * 40 * capacity + 1
    assert busy >= 0.9 * capacity


def test_few_requests_are_refused_on_the_way_up() -> None:
    refused, _ = serve(Limit(64), 4, 60)
    assert refused < 6


def test_the_limit_rises_to_its_bound_where_nothing_is_refused() -> None:
    limit = Limit(64)
    refused, busy = serve(limit, 1000, 400)
    assert (refused, limit.size) == (0, 64)
    assert busy > 40


def test_the_limit_doubles_with_every_round_of_answers_until_something_is_refused() -> None:
    limit = Limit(64)
    for size in (4, 8, 16, 32, 64, 64):
        assert limit.size == size
        limit.held = size
        for _ in range(size):
            limit.answered()
            limit.held = int(limit.size)


def test_pauses_that_refusals_cost_take_little_of_the_time() -> None:
    clock, capacity, answer, after = Clock(), 32, 0.2, 1.0
    limit, ends, served, begun = Limit(512, clock), list[float](), 0, clock.now
    while clock.now < begun + 60:
        while limit.has_room():
            if len(ends) < capacity:
                limit.held += 1
                ends.append(clock.now + answer * (1 + 0.001 * len(ends)))
            else:
                limit.held += 1
                limit.refused(limit.ticket(), after)
                limit.held -= 1
        clock.now = min(ends, default=limit.paused_until)
        if ends:
            ends.remove(clock.now)
            served += 1
            limit.answered()
            limit.held -= 1
    assert served * answer / (60 * capacity) >= 0.9


def test_an_endpoint_that_takes_more_later_is_given_more() -> None:
    limit = Limit(256)
    serve(limit, 8, 200)
    serve(limit, 64, 4000)
    assert limit.size >= 32


def test_requests_that_are_refused_together_let_the_limit_fall_once() -> None:
    limit = Limit(64)
    limit.held = 4
    tickets = [limit.ticket() for _ in range(4)]
    for ticket in tickets[2:]:
        limit.refused(ticket)
        limit.held -= 1
    assert limit.size == 2


def test_a_limit_that_is_not_used_does_not_rise() -> None:
    limit = Limit(64)
    limit.held = 1
    for _ in range(100):
        limit.answered()
    assert limit.size == 4


def test_a_limit_without_a_bound_stays_so() -> None:
    limit = Limit(None)
    limit.held = 500
    limit.refused(limit.ticket())
    assert limit.has_room()


def test_nothing_is_sent_while_the_endpoint_wants_to_be_left_alone() -> None:
    clock = Clock()
    limit = Limit(64, clock)
    limit.held = 1
    limit.refused(limit.ticket(), after=2.0)
    limit.held = 0
    assert not limit.has_room()
    clock.now += 2.3
    assert limit.has_room()


def test_refusals_without_an_answer_between_them_make_the_pauses_longer() -> None:
    clock, pauses = Clock(), []
    limit = Limit(64, clock)
    for _ in range(12):
        limit.held = 1
        limit.refused(limit.ticket())
        limit.held = 0
        pauses.append(max(0.0, limit.paused_until - clock.now))
        clock.now = max(clock.now, limit.paused_until)
    assert pauses[0] == 0
    assert 0.25 <= pauses[1] < pauses[3] < pauses[5]
    assert pauses[-1] <= 33


def test_requests_and_tokens_a_minute_are_spread_over_it() -> None:
    clock = Clock()
    pace = RateLimit(120, 6000, clock)
    sent = 0
    while clock.now < 160:
        while pace.wait() == 0:
            pace.spend(10)
            sent += 1
        clock.now += 0.05
    assert 118 <= sent <= 124
    assert pace.counts_tokens
    pace.spend(6000)
    assert 55 < pace.wait() < 65
    pace.settle(5900)
    assert pace.wait() < 2
