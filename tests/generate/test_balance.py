"""Balance: the label with the fewest expected samples is next, and one that cannot be written does not eat the run."""

import random
from collections import Counter
from functools import partial

from synthgen.generate.balance import LabelBalance

LABELS = ["business", "science", "sport"]
SIZE = 4


def accepted_of(made: list[tuple[str, int]], label: str) -> int:
    return sum(count for name, count in made if name == label)


def simulate(rates: dict[str, float], groups: int, lag: int = 2, seed: int = 0) -> tuple[Counter[str], Counter[str]]:
    """Groups planned, and samples accepted, by label; a group is known `lag` groups later."""
    rng = random.Random(seed)
    balance = LabelBalance(list(rates))
    made: list[tuple[str, int]] = []
    for group in range(groups):
        known = made[: max(0, group - lag)]
        before = len(known) * SIZE
        label = balance.next(before, partial(accepted_of, known))
        balance.record(group * SIZE, SIZE, label)
        made.append((label, sum(rng.random() < rates[label] for _ in range(SIZE))))
    accepted: Counter[str] = Counter()
    for label, count in made:
        accepted[label] += count
    return Counter(label for label, _ in made), accepted


def test_labels_take_turns_while_nothing_is_known() -> None:
    balance = LabelBalance(LABELS)
    planned = []
    for group in range(6):
        planned.append(balance.next(0, lambda _: 0))
        balance.record(group * SIZE, SIZE, planned[-1])
    assert planned == LABELS * 2


def test_a_label_that_lags_behind_is_next() -> None:
    balance = LabelBalance(LABELS)
    for group, label in enumerate(LABELS):
        balance.record(group * SIZE, SIZE, label)
    accepted = {"business": 4, "science": 1, "sport": 3}
    assert balance.next(3 * SIZE, accepted.__getitem__) == "science"


def test_what_is_under_way_counts_with_its_labels_acceptance_rate() -> None:
    balance = LabelBalance(["easy", "hard"])
    balance.record(0, 8, "easy")
    balance.record(8, 8, "hard")
    accepted = {"easy": 8, "hard": 2}
    assert balance.next(16, accepted.__getitem__) == "hard"
    balance.record(16, 8, "hard")  # under way: worth 8 * 3/10, so 4.4 against 8
    assert balance.next(16, accepted.__getitem__) == "hard"
    balance.record(24, 16, "hard")  # and 16 more: 9.2 against 8
    assert balance.next(16, accepted.__getitem__) == "easy"


def test_slots_that_are_not_settled_are_under_way_not_lost() -> None:
    balance = LabelBalance(["business", "science"])
    balance.record(0, 4, "business")
    balance.record(4, 8, "science")
    accepted = {"business": 3, "science": 0}
    assert balance.next(4, accepted.__getitem__) == "business"  # science: 8 under way, worth 4
    assert balance.next(12, accepted.__getitem__) == "science"  # settled, and none accepted


def test_equal_labels_get_equal_shares() -> None:
    planned, accepted = simulate(dict.fromkeys(LABELS, 0.5), groups=90)
    assert max(planned.values()) - min(planned.values()) <= 6
    assert max(accepted.values()) - min(accepted.values()) <= 12


def test_a_harder_label_is_asked_for_more_often_until_all_are_even() -> None:
    planned, accepted = simulate({"easy": 0.9, "hard": 0.4}, groups=200)
    assert planned["hard"] > 1.5 * planned["easy"]
    assert abs(accepted["hard"] - accepted["easy"]) <= 12


def test_a_label_that_cannot_be_written_gets_twice_its_share_at_most() -> None:
    planned, accepted = simulate({"easy": 0.9, "fine": 0.8, "impossible": 0.0}, groups=150)
    assert planned["impossible"] <= 2 * 150 / 3 + 1
    assert accepted["easy"] > 50
    assert accepted["fine"] > 50
