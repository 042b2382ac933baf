"""Seeds of other labels, shown in a prompt before those of the label asked for: what the label is not."""

import random
from collections.abc import Mapping, Sequence

from synthgen.records import Sample


def foils(
    rng: random.Random,
    count: int,
    seeds: Mapping[str | None, Sequence[Sample]],
    label: str | None,
    worth: Mapping[str, float] | None = None,
) -> list[Sample]:
    """A seed of each of `count` labels other than `label`, in random order; fewer where there are fewer with seeds.

    Labels are drawn by their `worth` where it is given.
    """
    others = [other for other, known in seeds.items() if other != label and known]
    taken = min(count, len(others))
    drawn = rng.sample(others, taken) if worth is None else weighed(rng, {o: worth[o] for o in others if o}, taken)
    return [rng.choice(seeds[other]) for other in drawn]


def weighed(rng: random.Random, worth: Mapping[str, float], count: int) -> list[str]:
    """`count` keys without replacement, by their worth, which is above 0 (Efraimidis and Spirakis 2006)."""
    keys = {name: rng.random() ** (1 / share) for name, share in worth.items()}
    return sorted(keys, key=lambda name: -keys[name])[:count]
