"""Seeds of other labels, shown in a prompt before those of the label asked for: what the label is not."""

import random
from collections.abc import Mapping, Sequence

from synthgen.records import Sample


def foils(
    rng: random.Random, count: int, seeds: Mapping[str | None, Sequence[Sample]], label: str | None
) -> list[Sample]:
    """Return a seed of each of `count` labels other than `label`, in random order; fewer where fewer have seeds."""
    others = [other for other, known in seeds.items() if other != label and known]
    return [rng.choice(seeds[other]) for other in rng.sample(others, min(count, len(others)))]
