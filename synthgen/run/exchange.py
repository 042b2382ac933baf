"""Define how a run takes over the samples of other runs that share its work; `synthgen.cluster.shards` implements it.

A run without shards has no exchange.
"""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Protocol

from synthgen.ledger import Vector
from synthgen.records import Sample

Foreign = tuple[Sample, Vector]
"""A sample of another run and its vector. Its slot is the slot of this run before which it was taken over."""


class Exchange(Protocol):
    """Give samples of other runs at fixed slots, so that a run's result does not depend on the pace of the others."""

    @property
    def ledgers(self) -> Sequence[Path]:
        """Return the ledgers of the other runs, in which `Samples` finds the samples that were taken over."""
        ...

    @property
    def count(self) -> int:
        """Return how many samples earlier sessions took over."""
        ...

    def earlier(self) -> Iterator[Foreign]:
        """Yield the samples that earlier sessions took over, in the same order."""
        ...

    def reach(self, slots: int) -> int:
        """Return the most samples that can be taken over while `slots` slots are settled."""
        ...

    async def before(self, slot: int, is_closing: Callable[[], bool]) -> list[Foreign] | None:
        """Return the samples to take over before `slot` is settled, which the ledger then has on record.

        This may wait for the other runs. Return None if the run is closing before they are ready.
        """
        ...
