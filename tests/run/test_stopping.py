"""Each rule ends a run for its reason, and for no other."""

import datetime

import pytest

from synthgen.errors import ConfigError
from synthgen.run.budget import BudgetConfig, StopRules, deadline
from synthgen.run.continuation import continuation_overrides

NOON = datetime.datetime(2030, 1, 31, 12, 0)


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_the_target_ends_a_run_and_nothing_more_is_wanted() -> None:
    rules = StopRules(BudgetConfig(target=2), [])
    rules.settled(None, 0.5)
    rules.settled(None, None)
    assert (rules.reached(), rules.wants(None)) == (None, True)
    rules.settled(None, 0.5)
    assert (rules.reached(), rules.wants(None)) == ("target", False)


def test_only_thinking_in_a_row_ends_a_run_long_before_the_acceptance_rate_does() -> None:
    rules = StopRules(BudgetConfig(), [])
    for reason in [*["thinking_only"] * 31, "stop", *["thinking_only"] * 31]:
        rules.replied(reason)
        assert rules.reached() is None
    rules.replied("thinking_only")
    assert rules.reached() == "thinking_only"


def test_a_target_for_each_label_wants_no_more_of_a_full_one() -> None:
    rules = StopRules(BudgetConfig(target=100, per_label=1), ["a", "b"])
    assert rules.target == 2
    rules.settled("a", 0.5)
    assert (rules.wants("a"), rules.wants("b")) == (False, True)
    rules.settled("b", 0.5)
    assert rules.reached() == "target"


def test_a_label_target_needs_labels() -> None:
    with pytest.raises(
        ConfigError, match=r"budget\.per_label: only classification tasks and tasks with task\.assign have labels"
    ):
        StopRules(BudgetConfig(per_label=3), [])


def test_a_low_acceptance_rate_ends_a_run_once_the_window_is_full() -> None:
    rules = StopRules(BudgetConfig(min_acceptance=0.25, window=8), [])
    for _ in range(7):
        rules.settled(None, None)
        assert rules.reached() is None
    rules.settled(None, 0.1)
    assert rules.reached() == "min_acceptance"


def test_what_is_rejected_for_number_alone_is_no_loss_of_quality() -> None:
    rules = StopRules(BudgetConfig(min_acceptance=0.5, window=4), ["a", "b"])
    for similarity, surplus in ((0.1, False), (None, True), (None, True), (0.1, False), (None, True), (0.1, False)):
        rules.settled("a", similarity, surplus)
    rules.settled("b", None)
    assert (rules.candidates, rules.reached()) == (7, None)
    rules.settled("b", None)
    rules.settled("b", None)
    assert rules.reached() == "min_acceptance"


def test_a_label_that_has_its_share_of_the_target_is_full() -> None:
    rules = StopRules(BudgetConfig(target=3), ["a", "b"])
    for _ in range(2):
        assert rules.wants("a")
        rules.settled("a", 0.1)
    assert not rules.wants("a")
    assert rules.wants("b")


def test_candidates_that_land_near_what_exists_end_a_run() -> None:
    rules = StopRules(BudgetConfig(max_similarity=0.8, window=3), [])
    for similarity in (0.9, 0.5, 0.7):
        rules.settled(None, similarity)
    assert rules.reached() is None
    for similarity in (0.85, 0.85, 0.85):
        rules.settled(None, similarity)
    assert rules.reached() == "max_similarity"


def test_budgets_of_candidates_tokens_and_minutes() -> None:
    rules = StopRules(BudgetConfig(candidates=1, output_tokens=100, minutes=2), [])
    assert rules.spent(119, 99) is None
    assert rules.spent(119, 100) == "output_tokens"
    assert rules.spent(120, 99) == "minutes"
    rules.settled(None, None)
    assert rules.reached() == "candidates"


def test_a_run_that_accepts_nothing_for_long_ends() -> None:
    clock = Clock()
    rules = StopRules(BudgetConfig(idle_minutes=1), [], clock)
    clock.now += 50
    rules.settled(None, 0.1)
    clock.now += 50
    rules.settled(None, None)
    assert rules.spent(0, 0) is None
    clock.now += 10
    assert rules.spent(0, 0) == "idle_minutes"


def test_a_deadline_ends_a_run(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    monkeypatch.setattr("synthgen.run.budget._now", lambda: NOON)
    rules = StopRules(BudgetConfig(until="12:30", idle_minutes=None), [], clock)
    clock.now += 30 * 60 - 1
    assert rules.spent(0, 0) is None
    clock.now += 1
    assert rules.spent(0, 0) == "until"


def test_a_time_of_day_is_the_next_one_and_a_date_is_itself() -> None:
    assert deadline("13:15", NOON) == datetime.datetime(2030, 1, 31, 13, 15)
    assert deadline("07:00", NOON) == datetime.datetime(2030, 2, 1, 7, 0)
    assert deadline("2030-02-03T04:05", NOON) == datetime.datetime(2030, 2, 3, 4, 5)


@pytest.mark.parametrize("until", ["7", "25:00", "tomorrow", "2030-13-01"])
def test_what_is_no_time_is_refused(until: str) -> None:
    with pytest.raises(ConfigError, match=r"budget\.until: "):
        BudgetConfig(until=until)


def test_a_disk_that_fills_up_ends_the_run_in_time() -> None:
    free = iter([1e9, 2e8, 0.9e8])
    rules = StopRules(BudgetConfig(), [], free_bytes=lambda: next(free))
    assert [rules.spent(0, 0) for _ in range(3)] == [None, None, "min_free_gigabytes"]


def test_inherited_samples_count_towards_the_target_and_are_no_candidates() -> None:
    rules = StopRules(BudgetConfig(target=3, per_label=2), ["a", "b"])
    rules.inherited("a")
    rules.inherited("a")
    assert (rules.accepted, rules.candidates) == (2, 0)
    assert not rules.wants("a")
    assert rules.wants("b")
    rules.settled("b", 0.1)
    assert rules.reached() == "target"


@pytest.mark.parametrize(
    ("reason", "overrides"),
    [
        ("minutes", ["budget.minutes=90.0"]),
        ("candidates", ["budget.candidates=20000000"]),
        ("until", ["budget.until=null"]),
        ("min_acceptance", ["budget.min_acceptance=0"]),
        ("max_similarity", ["budget.max_similarity=1"]),
        ("collapse", ["diversity.alarms.stop=false"]),
        ("drift", ["diversity.alarms.stop=false"]),
        ("signal", []),
        ("unfilled_labels", ["budget.label_attempts=40"]),
        ("texts", ["task.texts=MORE_TEXTS"]),
        ("templates", ["task.templates.slots.SLOT=[MORE_VALUES]"]),
        ("disk", []),
        ("min_free_gigabytes", []),
    ],
)
def test_the_needs_of_a_run_to_continue_are_reported(reason: str, overrides: list[str]) -> None:
    assert continuation_overrides(BudgetConfig(minutes=45.0, candidates=10_000_000), reason) == overrides


def test_quotas_end_a_run_when_each_label_has_its_number() -> None:
    rules = StopRules(BudgetConfig(target=100, quotas={"a": 1, "b": 2}), ["a", "b", "c"])
    assert [rules.wants(label) for label in "abc"] == [True, True, False]
    for label in "abb":
        rules.settled(label, 0.5)
    assert rules.reached() == "target" and rules.target == 3


@pytest.mark.parametrize(
    ("quotas", "said"),
    [({"a": -1}, "budget.quotas.a: must be 0 or more, got -1"), ({"a": 0}, "budget.quotas: every label has 0 samples")],
)
def test_quotas_that_ask_for_nothing_are_refused(quotas: dict[str, int], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        BudgetConfig(quotas=quotas)
