"""Choose foils: seeds of other labels, which a prompt shows as a contrast before the demonstrations."""

import random
from collections.abc import Mapping, Sequence

from synthgen.records import Sample


def foils(
    rng: random.Random, count: int, seeds: Mapping[str | None, Sequence[Sample]], label: str | None
) -> list[Sample]:
    """Return one seed of each of `count` labels other than `label`, in random order; fewer if fewer have seeds."""
    others = [other for other, known in seeds.items() if other != label and known]
    return [rng.choice(seeds[other]) for other in rng.sample(others, min(count, len(others)))]
