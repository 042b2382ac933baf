"""Shares of the target: even, also where some labels begin with more than theirs."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from synthgen.generate.balance import Shares


def fill(shares: Shares, order: list[str]) -> Counter[str]:
    """Accepts candidates in this order, and then of each label in turn, until the target is reached."""
    accepted: Counter[str] = Counter()
    offered = [*order, *(str(label) for _ in range(shares.needed) for label in shares.labels)]
    for label in offered:
        if shares.lacks(label):
            shares.add(label)
            accepted[label] += 1
    return accepted


def test_labels_differ_by_one_where_the_target_cannot_be_divided() -> None:
    assert sorted(fill(Shares("abc", 20), []).values()) == [6, 7, 7]


def test_whoever_comes_first_gets_what_is_left_over() -> None:
    accepted = fill(Shares("abc", 20), ["c"] * 9 + ["a"] * 9 + ["b"] * 9)
    assert accepted == {"a": 7, "b": 6, "c": 7}


def test_a_label_is_full_at_its_own_limit_too() -> None:
    shares = Shares("ab", 10, per_label=2)
    assert shares.lacks("a") == 2
    shares.add("a")
    shares.add("a")
    assert (shares.lacks("a"), shares.lacks("b")) == (0, 2)


def test_a_label_that_begins_with_more_than_its_share_leaves_less_to_the_others() -> None:
    shares = Shares("abc", 40)
    for label, count in {"a": 17, "b": 13}.items():
        for _ in range(count):
            shares.add(label)
    assert [shares.lacks(label) for label in "abc"] == [0, 0, 10]


def test_a_task_without_labels_has_the_whole_target() -> None:
    shares = Shares([], 5)
    shares.add(None)
    assert (shares.lacks(None), shares.needed) == (4, 4)


def test_another_target_is_split_anew() -> None:
    shares = Shares("ab", 2)
    fill(shares, [])
    assert shares.lacks("a") == 0
    shares.retarget(7)
    assert (shares.lacks("a"), shares.needed) == (3, 5)


@given(
    st.integers(1, 60), st.integers(1, 12), st.lists(st.integers(0, 9), max_size=12), st.lists(st.integers(0, 11), max_size=80)
)  # fmt: skip
def test_the_target_is_reached_and_no_label_gets_two_more_than_one_that_could_have_had_them(
    target: int, labels: int, inherited: list[int], order: list[int]
) -> None:
    names = [str(number) for number in range(labels)]
    shares = Shares(names, target)
    began = dict(zip(names, [*inherited, *[0] * labels], strict=False))
    for name, count in began.items():
        for _ in range(count):
            shares.add(name)
    accepted = fill(shares, [str(number % labels) for number in order])
    total = {name: began[name] + accepted[name] for name in names}
    assert sum(total.values()) == max(target, sum(began.values()))
    grown = [total[name] for name in names if accepted[name]]
    assert not grown or max(grown) - min(total.values()) <= 1


def test_quotas_give_each_label_its_own_share() -> None:
    shares = Shares("abc", 10, quotas={"a": 7, "b": 3})
    assert [shares.lacks(label) for label in "abc"] == [7, 3, 0]
    assert fill(shares, ["c", "b", "b"]) == {"a": 7, "b": 3}
    assert (shares.needed, shares.factor("a")) == (0, 10 / 7)
