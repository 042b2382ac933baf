"""Who is held: seeds and accepted samples in order, a few bytes each, however many there are.

A position in the roster names a sample for every check; the sample itself is read from the ledger when it is
wanted (`synthgen.ledger.samples`).
"""

from array import array
from bisect import bisect_left

from synthgen.records import INHERITED, Sample


class Roster:
    """Hold ids and slots by position. Add in slot order, seeds first."""

    def __init__(self) -> None:
        self._ids = bytearray()
        self._ends = array("Q")
        self._slots = array("q")

    def __len__(self) -> int:
        return len(self._ends)

    def add(self, sample: Sample) -> int:
        """Add a sample and return its position."""
        self._ids += sample.id.encode()
        self._ends.append(len(self._ids))
        self._slots.append(INHERITED if sample.slot is None else sample.slot)
        return len(self._ends) - 1

    def id(self, position: int) -> str:
        start = self._ends[position - 1] if position else 0
        return self._ids[start : self._ends[position]].decode()

    def before(self, slot: int) -> int:
        """Count the samples that were accepted before `slot` was settled."""
        return bisect_left(self._slots, slot)
