"""Test regular expressions on fields, and that none of them can stop the loop."""

import time
from collections.abc import Callable

import pytest

from synthgen.errors import ConfigError
from synthgen.filters.declared.kinds import declared_checks
from synthgen.records import Verdict
from synthgen.tasks.task import Task


@pytest.mark.parametrize(
    ("keys", "text", "passes"),
    [
        ({"must": r"\?$"}, "Where is it?", True),
        ({"must": r"\?$"}, "Where is it? Here.", False),
        ({"must": "[？?]$"}, "它在哪里？", True),
        ({"must_not": r"(?i)\bas an ai\b"}, "As an AI model, I cannot", False),
        ({"must_not": r"(?i)\bas an ai\b"}, "as an aide to the mayor", True),
        ({"must": "^[^a-zA-Z]+$"}, "我用 WLAN 上网", False),
        ({"must": "^ORDER", "must_not": r"\d{5}"}, "ORDER 123", True),
        ({"must": "^ORDER", "must_not": r"\d{5}"}, "ORDER 12345", False),
    ],
)
def test_a_text_matches_one_pattern_and_not_the_other(
    verdict: Callable[..., Verdict], keys: dict[str, str], text: str, passes: bool
) -> None:
    found = verdict({"kind": "pattern", "field": "text", **keys}, text=text)
    assert (found.outcome, found.reason) == (("pass", None) if passes else ("reject", "pattern"))


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"must": "("}, "must: '(' is not a regular expression"),
        ({"must": "^(a|aa)+$"}, "must: '^(a|aa)+$' takes more than 0.1 s on"),
        ({"must_not": "(.*,){11}P"}, "avoid repetitions and alternatives inside a repetition"),
        ({}, "must: is missing, and must_not too"),
    ],
)
def test_a_pattern_that_is_wrong_or_slow_is_refused(
    declaring: Callable[..., Task], keys: dict[str, str], message: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        declared_checks(declaring({"kind": "pattern", "field": "text", **keys}))
    assert message in str(caught.value)


def test_a_text_on_which_a_pattern_is_slow_is_rejected_in_time(verdict: Callable[..., Verdict]) -> None:
    began = time.perf_counter()
    found = verdict({"kind": "pattern", "field": "text", "must": "^(?:(?:xy)+(?:xy)+)+z"}, text="xy" * 2000)
    assert found.reason == "slow_pattern"
    assert time.perf_counter() - began < 30
