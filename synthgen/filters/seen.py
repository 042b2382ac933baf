"""Which texts were there before: 64 bits a text and its position, however many there are."""

import hashlib
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

_RECENT = 65_536


class Seen:
    """Map texts to positions. New ones lie in a dictionary, all others in sorted arrays of growing size.

    Two texts are taken for the same when their hashes are: of a million, by chance, once in forty million runs.
    """

    def __init__(self) -> None:
        self._recent: dict[int, int] = {}
        self._runs: list[tuple[npt.NDArray[np.uint64], npt.NDArray[np.uint32]]] = []

    def find(self, text: str) -> int | None:
        """Return the position that the text was first added with."""
        return self._find(_hash(text))

    def add(self, text: str, position: int) -> None:
        key = _hash(text)
        if self._find(key) is None:
            self._recent[key] = position
            if len(self._recent) == _RECENT:
                self._put_away()

    def _find(self, key: int) -> int | None:
        if (position := self._recent.get(key)) is not None:
            return position
        wanted: Any = np.uint64(key)
        for keys, positions in self._runs:
            place = int(np.searchsorted(keys, wanted))
            if place < len(keys) and keys[place] == wanted:
                return int(positions[place])
        return None

    def _put_away(self) -> None:
        """Sort the newest into an array, merged with arrays that are no larger, so that few remain to search."""
        keys = np.fromiter(self._recent.keys(), dtype=np.uint64)
        positions = np.fromiter(self._recent.values(), dtype=np.uint32)
        self._recent = {}
        while self._runs and len(self._runs[-1][0]) <= len(keys):
            more_keys, more_positions = self._runs.pop()
            keys, positions = np.concatenate([keys, more_keys]), np.concatenate([positions, more_positions])
        order = np.argsort(keys)
        self._runs.append((keys[order], positions[order]))


@lru_cache(2048)  # a candidate's text is looked for, looked for again at its turn, and added
def _hash(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest())
