"""Find pairs of near-duplicate rows with MinHash and locality-sensitive hashing, with most data on disk.

A row is the set of substrings of its normalised text. Rows that share a band of their signatures are candidates, and
candidates are compared by their true Jaccard similarity. A signature is 4 bytes for each of its hashes, on disk; in memory
one band of all rows is sorted at a time. Broder 1997; Leskovec, Rajaraman and Ullman, "Mining of Massive Datasets", ch. 3.
"""

import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

import numpy as np
import numpy.typing as npt

from synthgen.prepare.item import Item, RowFields
from synthgen.prepare.spool import Spool
from synthgen.tasks.normal import normalise, shingles

HASHES = 120
SHINGLE = 5
"""Letters of a substring. Five letters are about two Chinese characters."""
_MISSED = 0.02
"""The share of pairs at exactly the threshold that the bands may miss."""
_SEEDED = 1


def bands(threshold: float, hashes: int = HASHES) -> tuple[int, int]:
    """Return the number of bands and the hashes a band: the longest bands that miss at most `_MISSED` at the threshold."""
    for rows in range(hashes, 0, -1):
        count = hashes // rows
        if (1 - threshold**rows) ** count <= _MISSED:
            return count, rows
    return hashes, 1


class Signatures:
    """Store the signature of every row in a temporary file, and compare rows."""

    def __init__(self, folder: Path, fields: RowFields, threshold: float) -> None:
        self._fields, self._threshold = fields, threshold
        self._bands, self._rows = bands(threshold)
        self._file = TemporaryFile(dir=folder)  # noqa: SIM115  # closed by `close`
        self._count = 0
        self._minhash = _minhash()

    def add(self, item: Item) -> None:
        """Add the signature of the next row."""
        hashes = [zlib.crc32(part.encode("utf-8", "surrogatepass")) for part in self.shingles(item)]
        self._minhash.clear()
        if hashes:
            self._minhash.update_batch(hashes)
            signature = self._minhash.hashvalues.astype(np.uint32)
        else:  # a row without words is like no other row
            signature = np.full(HASHES, self._count, dtype=np.uint32)
        self._file.write(signature.tobytes())
        self._count += 1

    def shingles(self, item: Item) -> frozenset[str]:
        return shingles(normalise(self._fields.whole(item.data)), SHINGLE)

    def pairs(self, spool: Spool, order: npt.NDArray[np.float64] | None = None) -> Iterator[tuple[int, int, float]]:
        """Yield (row, neighbour, similarity) for near-duplicate rows; the neighbour comes first in `order`.

        Of the rows that share a band, each is compared with the first one and with the one before it, so that many equal
        rows do not cost the square of their number. Without an `order`, rows come in the order in which they were added.
        """
        self._file.flush()
        if not self._count:
            return
        table = np.memmap(self._file, dtype=np.uint32, mode="r", shape=(self._count, HASHES))
        rank = np.argsort(np.argsort(order, kind="stable"), kind="stable") if order is not None else None
        done: set[tuple[int, int]] = set()
        for band in range(self._bands):
            part = table[:, band * self._rows : (band + 1) * self._rows]
            for row, neighbour in _candidates(_mixed(part), rank):
                if (row, neighbour) in done:
                    continue
                done.add((row, neighbour))
                one, other = self.shingles(spool[row]), self.shingles(spool[neighbour])
                if one and (share := len(one & other) / len(one | other)) >= self._threshold:
                    yield row, neighbour, share

    def close(self) -> None:
        self._file.close()


def _candidates(keys: npt.NDArray[np.uint64], rank: npt.NDArray[np.int64] | None) -> Iterable[tuple[int, int]]:
    """Yield the pairs of rows with equal keys: each row with the first of them and with the one before it."""
    places = np.arange(len(keys)) if rank is None else rank
    sorted_rows = np.lexsort((places, keys))
    found = keys[sorted_rows]
    equal = np.flatnonzero(found[1:] == found[:-1]) + 1
    first = before = -1
    for at in equal.tolist():
        if first < 0 or at - 1 != before:  # a new run of equal keys begins
            first = at - 1
        row = int(sorted_rows[at])
        yield row, int(sorted_rows[first])
        if at - 1 != first:
            yield row, int(sorted_rows[at - 1])
        before = at


def _mixed(part: npt.NDArray[np.uint32]) -> npt.NDArray[np.uint64]:
    """Return a hash of 64 bits for each row of numbers."""
    mixed = np.full(len(part), 0x9E3779B97F4A7C15, dtype=np.uint64)
    for column in range(part.shape[1]):
        mixed ^= part[:, column].astype(np.uint64)
        mixed *= np.uint64(0xBF58476D1CE4E5B9)
        mixed ^= mixed >> np.uint64(31)
    return mixed


def _minhash() -> Any:
    from datasketch import MinHash

    return MinHash(num_perm=HASHES, seed=_SEEDED, hashfunc=int)
