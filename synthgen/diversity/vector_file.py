"""Keep vectors on disk in half precision, so that an index past memory can compare a few of them exactly.

The file has no name: the system removes it when the process ends, however it ends. A run therefore never reads a file of
an earlier session. The vectors come from the ledger, which is the truth.
"""

import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from synthgen.diversity.embedder import Vectors

_BYTES = 2  # half precision
_ADVISES = hasattr(os, "posix_fadvise")  # not on every system; without it vectors are read one after the other


class VectorFile:
    """Hold vectors of `dim` values by position, in a file without a name in `folder`. Threads may share it.

    Raise OSError when the disk refuses to write, or does not return the vectors that were written.
    """

    def __init__(self, folder: Path, dim: int) -> None:
        self._dim = dim
        self._row = dim * _BYTES
        self._file = tempfile.TemporaryFile(dir=folder, buffering=0)  # noqa: SIM115
        self._descriptor = self._file.fileno()
        if _ADVISES:
            os.posix_fadvise(self._descriptor, 0, 0, os.POSIX_FADV_RANDOM)

    def put(self, start: int, vectors: Vectors) -> None:
        """Write vectors of shape (n, dim) to the positions from `start` on."""
        data = np.ascontiguousarray(vectors, dtype=np.float16).data.cast("B")
        at = start * self._row
        while data:
            written = os.pwrite(self._descriptor, data, at)
            data, at = data[written:], at + written

    def read(self, start: int, stop: int) -> Vectors:
        """Return the vectors at the positions from `start` to `stop`, shape (stop - start, dim)."""
        return self._unpacked(self._bytes(start, stop - start))

    def pick(self, positions: Sequence[int]) -> Vectors:
        """Return the vectors at these positions, shape (n, dim). Ask the disk for all of them at once."""
        for position in positions if _ADVISES else ():
            os.posix_fadvise(self._descriptor, position * self._row, self._row, os.POSIX_FADV_WILLNEED)
        return self._unpacked(b"".join([self._bytes(position, 1) for position in positions]))

    def bytes_on_disk(self) -> int:
        """Return the space that the file takes."""
        return os.fstat(self._descriptor).st_blocks * 512

    def close(self) -> None:
        self._file.close()

    def _bytes(self, start: int, count: int) -> bytes:
        size = count * self._row
        data = os.pread(self._descriptor, size, start * self._row)
        if len(data) < size:
            raise OSError(f"the index's vectors {start:,} to {start + count:,} are not on disk; resume the run")
        return data

    def _unpacked(self, data: bytes) -> Vectors:
        return np.frombuffer(data, dtype=np.float16).astype(np.float32).reshape(-1, self._dim)
