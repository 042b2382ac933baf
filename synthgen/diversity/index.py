"""Find nearest neighbours with FAISS, at a cost that grows with the square root of the number of vectors.

The first 4,608 vectors are searched exactly. After that, older vectors are stored in inverted lists (`lists.py`), which
are retrained each time the number of vectors has doubled. The newest vectors are still searched exactly.

The result of a search depends only on the sequence of vectors. It does not depend on timing, nor on whether vectors
were added one by one or all at once: training starts at fixed counts, in its own thread, and the trained lists come
into use at a fixed later count.
"""

import ctypes
import math
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress

import numpy as np

from synthgen.diversity.embedder import Vectors
from synthgen.diversity.lists import Lists
from synthgen.diversity.view import BLOCK, NOTHING, ROUNDING, Hit, View, cosine_of, first_near, one_core

_FIRST = 4_096
"""Train for the first time at this count, then each time the count has doubled."""


def _in_use_from(trained: int) -> int:
    """Return the count from which lists trained on the first `trained` vectors are searched."""
    return trained + trained // 8


class VectorIndex:
    """Search unit vectors of shape (dim,) by cosine. Add all vectors from one thread.

    To search, take a `View` in the thread that adds, then query the view in any thread. Give each query a `base`: a
    count that the index had at most `reach` vectors ago. The view searches the lists that were in use at that count,
    up to that count, and compares all later vectors one by one. The result among the vectors of a view therefore
    depends on the base alone. Use `since` to search the vectors that were added after the view was taken.
    """

    def __init__(self, dim: int, reach: int = 0, exact: bool = False) -> None:
        self._dim = dim
        self._reach = -(-reach // BLOCK) * BLOCK
        self._exact = exact
        self._count = 0
        self._head: Vectors = np.empty((4 * BLOCK, dim), dtype=np.float32)
        self._head_at = 0  # position of the head's first row; the head has all vectors from there on
        self._lists: list[Lists] = []  # the last one is in use; a base within reach may still need the others
        self._next: _Training | None = None
        self._next_at = _FIRST
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="index", initializer=_one_core_for_good)

    def __len__(self) -> int:
        return self._count

    def close(self) -> None:
        """Cancel a training that is still running."""
        if self._next is not None:
            self._next.lists.cancel()
        self._thread.shutdown(wait=True, cancel_futures=True)

    def add(self, vector: Vectors) -> None:
        self._append(vector.reshape(1, -1), self._count + 1)

    def extend(self, vectors: Vectors | Sequence[Vectors], goal: int | None = None) -> None:
        """Add many vectors. Skip trainings that a later training would replace at once.

        `goal` is the final count, if more vectors follow these.
        """
        goal, start = goal or self._count + len(vectors), 0
        while start < len(vectors):
            stop = min(len(vectors), start + BLOCK - self._count % BLOCK)
            self._append(np.asarray(vectors[start:stop], dtype=np.float32), goal)
            start = stop

    def view(self) -> "View":
        """Return a snapshot for searching. It stays valid when more vectors are added."""
        return View(self._head[: self._count - self._head_at], self._head_at, tuple(self._lists))

    def nearest(self, vector: Vectors) -> Hit:
        """Return the nearest of all vectors."""
        return self.view().nearest(vector.reshape(1, -1), [self._count])[0]

    def since(self, vector: Vectors, count: int, least: float = math.inf, most: int = 0) -> tuple[Hit, list[Hit]]:
        """Search the vectors that were added after the first `count`, which must be within reach.

        Return the nearest of them, and the first `most` of them with a cosine of at least `least`.
        """
        rows = self._head[count - self._head_at : self._count - self._head_at]
        if not len(rows):
            return NOTHING, []
        scores = rows @ vector
        best = int(scores.argmax())
        near = first_near(rows, vector, scores, count, least, most) if scores[best] >= least - ROUNDING else []
        return (count + best, cosine_of(rows[best], vector)), near

    def _append(self, rows: Vectors, goal: int) -> None:
        """Add rows that fit into the current block. `goal` is the expected final count."""
        at = self._count - self._head_at
        if at + len(rows) > len(self._head):
            grown = np.empty((2 * len(self._head), self._dim), dtype=np.float32)
            grown[:at] = self._head[:at]
            self._head = grown  # existing views keep the old array
        self._head[at : at + len(rows)] = rows
        self._count += len(rows)
        if self._count % BLOCK == 0:
            self._seal(self._head[at + len(rows) - BLOCK : at + len(rows)], goal)

    def _seal(self, block: Vectors, goal: int) -> None:
        """Append a full block to the lists, and start a training when this count requires one."""
        if self._lists:
            with one_core():
                self._lists[-1].append(block)
        if self._next is not None:
            self._next.append(block.copy())
            if self._count == self._next.due:
                self._lists.append(self._next.result())
                self._next = None
        if self._count == self._next_at and not self._exact:
            if goal < _in_use_from(2 * self._next_at) + self._reach:
                self._next = self._train()
            self._next_at *= 2
        self._forget()

    def _train(self) -> "_Training":
        lists = Lists(self._dim, self._count, since=_in_use_from(self._count))
        if self._lists:
            return _Training(lists, self._lists[-1].read, self._thread)
        rows = self._head[: self._count]  # safe to read in the thread: written rows never change
        return _Training(lists, lambda start, stop: rows[start:stop], self._thread)

    def _forget(self) -> None:
        """Drop lists that are out of reach, and rows of the head that the lists already contain."""
        while len(self._lists) > 1 and self._count >= self._lists[1].since + self._reach:
            del self._lists[0]
            _release_memory()
        kept = self._reach + BLOCK
        if self._lists and self._count >= self._lists[0].since + self._reach:
            at = self._count - self._head_at
            if at >= 2 * kept:
                head = np.empty((4 * kept, self._dim), dtype=np.float32)
                head[:kept] = self._head[at - kept : at]
                self._head, self._head_at = head, self._count - kept


class _Training:
    """Build lists in a thread, including the blocks that arrive during training."""

    def __init__(self, lists: Lists, read: Callable[[int, int], Vectors], thread: ThreadPoolExecutor) -> None:
        self.lists = lists
        self.due = lists.since
        self._thread = thread
        self._steps: list[Future[None]] = [thread.submit(lists.build, read)]

    def append(self, block: Vectors) -> None:
        self._steps.append(self._thread.submit(self.lists.append, block))

    def result(self) -> Lists:
        """Wait if necessary and return the lists; raise any exception of the thread."""
        for step in self._steps:
            step.result()
        return self.lists


def _release_memory() -> None:
    """Make the C library return the memory of the old lists to the system. By itself it would keep half of it."""
    with suppress(OSError, AttributeError):  # only glibc has this call
        ctypes.CDLL(None).malloc_trim(0)


def _one_core_for_good() -> None:
    import faiss

    faiss.omp_set_num_threads(1)
