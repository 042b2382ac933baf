"""Test the order of samples: a position names a sample, and a slot says how many samples came before it."""

from synthgen.ledger.order import SampleOrder
from synthgen.records import INHERITED, Sample


def sample(name: str, slot: int | None) -> Sample:
    return Sample(id=name, data={}, origin="seed" if slot is None else "synthetic", slot=slot, item=0)


def test_positions_find_samples_of_any_id() -> None:
    order = SampleOrder()
    names = ["a" * 32, "", "短", "b"]
    assert [order.add(sample(name, None)) for name in names] == [0, 1, 2, 3]
    assert [order.id(position) for position in range(4)] == names
    assert len(order) == 4


def test_seeds_and_inherited_samples_are_there_before_every_slot() -> None:
    order = SampleOrder()
    for number, slot in enumerate([None, None, INHERITED, 0, 0, 3, 7]):
        order.add(sample(str(number), slot))
    assert [order.before(slot) for slot in (0, 1, 3, 4, 100)] == [3, 5, 5, 6, 7]
