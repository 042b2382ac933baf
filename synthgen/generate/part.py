"""Divide the material of prompts among the shards of a run, so that no two shards use the same part."""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

from synthgen.errors import ConfigError

Entry = TypeVar("Entry")
_LEAST_SEEDS = 8
"""Divide the seeds of a label only if each shard then has so many, because prompts need different demonstrations."""


@dataclass(frozen=True)
class ShardPart:
    """Hold which part of a run's material a shard uses: part `number`, counted from 0, of `of` parts."""

    number: int = 0
    of: int = 1

    @classmethod
    def read(cls, text: str) -> "ShardPart":
        """Read a part as users write it, such as 2/4 for the second of four. Raise ConfigError for another form."""
        found = re.fullmatch(r"(\d{1,6})/(\d{1,6})", text)
        if found is None or not 1 <= int(found[1]) <= int(found[2]):
            raise ConfigError(f"run.shard: '{text}' is not a part such as 1/4, 2/4, 3/4 or 4/4")
        return cls(int(found[1]) - 1, int(found[2]))

    def __str__(self) -> str:
        return f"{self.number + 1}/{self.of}"

    def nth(self, number: int) -> int:
        """Return the place, in the sequence of the whole run, of this part's entry with this number."""
        return number * self.of + self.number

    def count(self, whole: int) -> int:
        """Return how many of `whole` entries belong to this part."""
        return len(range(self.number, whole, self.of))

    def slice(self, entries: Sequence[Entry]) -> Sequence[Entry]:
        """Return this part's entries."""
        return entries if self.of == 1 else entries[self.number :: self.of]

    def seeds(self, seeds: list[Entry]) -> list[Entry]:
        """Return the seeds that this part's prompts show: all of them where there are too few to divide."""
        return seeds[self.number :: self.of] if len(seeds) >= _LEAST_SEEDS * self.of > _LEAST_SEEDS else seeds

    def seed(self, seed: int) -> int:
        """Return the seed of this part's random choices; `seed` itself for a run of one part."""
        if self.of == 1:
            return seed
        return int.from_bytes(hashlib.sha256(f"{seed}/shard/{self}".encode()).digest()[:4]) >> 1


WHOLE = ShardPart()
