"""Send a request to the replica of its group, unless that one has too much to do."""

from collections import Counter
from dataclasses import dataclass

from synthgen.engines.routing import choose, key_of
from synthgen.records import Message, Request


@dataclass
class Place:
    name: str
    held: int = 0
    limit: int = 64


def places(count: int, **fields: int) -> list[Place]:
    return [Place(f"replica {number}", **fields) for number in range(count)]


def name_of(key: str, among: list[Place]) -> str:
    chosen = choose(key, among)
    assert chosen is not None
    return chosen.name


def asked(request_id: str, group: int | None = None) -> Request:
    return Request(id=request_id, messages=(Message(role="user", content="?"),), group=group)


def test_a_group_goes_to_one_replica_and_groups_spread_over_all() -> None:
    idle = places(4)
    homes = {group: name_of(f"group/{group}", idle) for group in range(400)}
    assert all(name_of(f"group/{group}", idle) == home for group, home in homes.items())
    assert all(70 < count < 130 for count in Counter(homes.values()).values())


def test_a_replica_that_leaves_moves_its_own_groups_only() -> None:
    idle = places(4)
    before = {group: name_of(f"group/{group}", idle) for group in range(200)}
    after = {group: name_of(f"group/{group}", idle[:3]) for group in range(200)}
    moved = {group for group in before if before[group] != after[group]}
    assert moved == {group for group, home in before.items() if home == "replica 3"}


def test_a_replica_with_far_more_than_its_share_is_passed_over() -> None:
    busy = places(3, held=20)
    key = next(f"group/{group}" for group in range(99) if name_of(f"group/{group}", busy) == "replica 0")
    busy[0].held = 60
    spilled = name_of(key, busy)
    assert spilled != "replica 0"
    assert name_of(key, busy) == spilled


def test_a_replica_with_a_smaller_limit_gets_no_more_than_half_as_much_again() -> None:
    pair = [Place("replica 0", limit=90), Place("replica 1", limit=30)]
    for number in range(120):
        chosen = choose(f"group/{number}", pair)
        assert chosen is not None
        chosen.held += 1
    assert pair[1].held <= 45  # one and a half times its share


def test_without_replicas_there_is_none_to_choose() -> None:
    assert choose("group/1", []) is None


def test_questions_about_one_candidate_share_a_key_and_so_do_the_slots_of_a_group() -> None:
    assert key_of(asked("17.0/rubric/a")) == key_of(asked("17.0/label")) != key_of(asked("18.0/label"))
    assert key_of(asked("17/generate", 3)) == key_of(asked("18/generate", 3)) != key_of(asked("19/generate", 4))
