"""Rates: events a second, of late."""

import pytest

from synthgen.numerics.rate import Rate


def test_a_steady_stream_has_its_rate_and_a_pause_ends_it() -> None:
    now = [0.0]
    rate = Rate(lambda: now[0])
    for _ in range(400):
        now[0] += 0.005
        rate.add(1)
    assert rate.per_second() == pytest.approx(200, rel=0.05)
    now[0] += 2.0
    assert rate.per_second() < 1
