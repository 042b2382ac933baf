"""Find earlier texts by a hash of 64 bits, stored with the position of the text."""

import hashlib
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

_RECENT = 65_536


class Seen:
    """Map texts to positions. New texts are stored in a dictionary, all others in sorted arrays of growing size.

    Texts with equal hashes count as equal. With a million different texts, this is wrong in one of forty million runs.
    """

    def __init__(self) -> None:
        self._recent: dict[int, int] = {}
        self._runs: list[tuple[npt.NDArray[np.uint64], npt.NDArray[np.uint32]]] = []

    def find(self, text: str) -> int | None:
        """Return the position with which the text was first added; None for a new text."""
        return self._find(_hash(text))

    def add(self, text: str, position: int) -> None:
        key = _hash(text)
        if self._find(key) is None:
            self._recent[key] = position
            if len(self._recent) == _RECENT:
                self._sort_recent()

    def _find(self, key: int) -> int | None:
        if (position := self._recent.get(key)) is not None:
            return position
        if not self._runs:
            return None
        wanted: Any = np.uint64(key)
        for keys, positions in self._runs:
            place = int(np.searchsorted(keys, wanted))
            if place < len(keys) and keys[place] == wanted:
                return int(positions[place])
        return None

    def _sort_recent(self) -> None:
        """Move the recent texts into a sorted array. Merge it with arrays that are no larger, so that few arrays remain."""
        keys = np.fromiter(self._recent.keys(), dtype=np.uint64)
        positions = np.fromiter(self._recent.values(), dtype=np.uint32)
        self._recent = {}
        while self._runs and len(self._runs[-1][0]) <= len(keys):
            more_keys, more_positions = self._runs.pop()
            keys, positions = np.concatenate([keys, more_keys]), np.concatenate([positions, more_positions])
        order = np.argsort(keys)
        self._runs.append((keys[order], positions[order]))


@lru_cache(2048)  # a candidate's text is hashed when it arrives, in slot order, and when it is added
def _hash(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest())
