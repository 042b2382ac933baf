"""The parts of a run's material: together they are all of it, and no two have the same."""

import pytest

from synthgen.errors import ConfigError
from synthgen.generate.part import WHOLE, ShardPart
from synthgen.generate.pool import Pool, PoolConfig
from synthgen.ledger.order import SampleOrder
from synthgen.records import Sample


def test_parts_are_disjoint_and_together_are_the_whole() -> None:
    parts = [ShardPart.read(f"{number}/3") for number in (1, 2, 3)]
    sliced = [list(part.slice(range(10))) for part in parts]
    assert sorted(each for own in sliced for each in own) == list(range(10))
    assert [[part.nth(number) for number in range(part.count(10))] for part in parts] == sliced
    assert len({part.seed(7) for part in parts}) == 3
    assert WHOLE.seed(7) == 7
    assert WHOLE.slice([1, 2]) == [1, 2]


@pytest.mark.parametrize("text", ["0/3", "4/3", "2", "a/b", "1/0", "-1/2"])
def test_a_part_that_does_not_exist_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match=r"run\.shard"):
        ShardPart.read(text)


@pytest.mark.parametrize(("seeds", "shown"), [(16, 8), (15, 15)])
def test_prompts_show_a_part_of_the_seeds_where_every_part_has_enough(seeds: int, shown: int) -> None:
    pools = [Pool(PoolConfig(), SampleOrder(), {}.__getitem__, part=ShardPart(number, 2)) for number in (0, 1)]
    for pool in pools:
        for number in range(seeds):
            pool.add(Sample(id=str(number), data={}, origin="seed", label="a"), number)
    found = [{seed.id for seed in pool.seeds("a")} for pool in pools]
    assert [len(own) for own in found] == [shown, shown]
    assert found[0] | found[1] == {str(number) for number in range(seeds)}
