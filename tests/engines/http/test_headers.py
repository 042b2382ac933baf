"""Tests of the answer headers that say when more requests may be sent."""

import time
from email.utils import formatdate

import pytest

from synthgen.engines.http.headers import quota_returns_in, retry_after, seconds_of


@pytest.mark.parametrize(("value", "seconds"), [("2", 2.0), ("0.5", 0.5), ("-5", 0.0)])
def test_retry_after_is_a_number_of_seconds(value: str, seconds: float) -> None:
    assert retry_after({"Retry-After": value}.get) == seconds


def test_retry_after_may_be_a_date() -> None:
    wait = retry_after({"Retry-After": formatdate(time.time() + 30, usegmt=True)}.get)
    assert wait is not None
    assert 28 < wait <= 30


@pytest.mark.parametrize("value", ["inf", "nan", "1e400", "soon", "", "Wed, 21 Oct 99999 07:28:00 GMT"])
def test_a_retry_after_that_names_no_time_is_ignored(value: str) -> None:
    assert retry_after({"Retry-After": value}.get) is None


@pytest.mark.parametrize(
    ("text", "seconds"), [("6m0s", 360.0), ("120ms", 0.12), ("3", 3.0), ("inf", None), ("x", None)]
)
def test_a_quota_returns_after_the_time_in_its_header(text: str, seconds: float | None) -> None:
    assert seconds_of(text) == seconds
    headers = {"x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": text}
    assert quota_returns_in(headers.get) == (seconds or 0.0)
