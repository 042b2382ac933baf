"""Nearest neighbours at a cost that grows like the root of what is held. FAISS does the searching.

The first 4,608 vectors are searched exactly. From then on older vectors lie in inverted lists
(`lists.py`), which are trained anew each time their number has doubled; the newest ones are searched
exactly still. What a search finds depends on the sequence of vectors alone, not on time or on how
they came in: training begins at fixed counts, in a thread of its own, and its result is taken up at
a fixed later count. Sequences that came in one by one and at once are held alike.
"""

import ctypes
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress

import numpy as np

from synthgen.diversity.embedder import Vectors
from synthgen.diversity.lists import Lists
from synthgen.diversity.view import BLOCK, NOTHING, Hit, View, cosine_of, first_near, one_core

_FIRST = 4_096
"""The first training; then one each time there are twice as many."""


def _taken_up(trained: int) -> int:
    """Return the count at which lists trained on the first `trained` vectors start to be searched."""
    return trained + trained // 8


class VectorIndex:
    """Cosine search over unit vectors of shape (dim,), added in one thread.

    To search is to take a `View`, in the thread that adds, and to ask it, in any thread. The view is asked
    with a `base` for each query: a count that the index had at most `reach` vectors ago. The lists that were
    in use at that count are read as far as they went then, and all vectors that came later are compared one
    by one. So what is found among the vectors of a view depends on the base and on nothing else; the rest,
    up to a later moment, is found with `since`.
    """

    def __init__(self, dim: int, reach: int = 0, exact: bool = False) -> None:
        self._dim = dim
        self._reach = -(-reach // BLOCK) * BLOCK
        self._exact = exact
        self._count = 0
        self._head: Vectors = np.empty((4 * BLOCK, dim), dtype=np.float32)
        self._head_at = 0  # position of the head's first row; it has all that came after
        self._lists: list[Lists] = []  # the last one is in use, others were within reach
        self._next: _Training | None = None
        self._next_at = _FIRST
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="index", initializer=_one_core_for_good)

    def __len__(self) -> int:
        return self._count

    def close(self) -> None:
        """End a training that is under way."""
        if self._next is not None:
            self._next.lists.cancel()
        self._thread.shutdown(wait=True, cancel_futures=True)

    def add(self, vector: Vectors) -> None:
        self._append(vector.reshape(1, -1), self._count + 1)

    def extend(self, vectors: Vectors | Sequence[Vectors], goal: int | None = None) -> None:
        """Add many vectors, skipping trainings that a later one makes useless.

        `goal` is the count that is made for, if these are not the last.
        """
        goal, start = goal or self._count + len(vectors), 0
        while start < len(vectors):
            stop = min(len(vectors), start + BLOCK - self._count % BLOCK)
            self._append(np.asarray(vectors[start:stop], dtype=np.float32), goal)
            start = stop

    def view(self) -> "View":
        """Return a snapshot for searching, valid whatever is added later."""
        return View(self._head[: self._count - self._head_at], self._head_at, tuple(self._lists))

    def nearest(self, vector: Vectors) -> Hit:
        """Return the nearest vector among all."""
        return self.view().nearest(vector.reshape(1, -1), [self._count])[0]

    def since(self, vector: Vectors, count: int) -> Hit:
        """Return the nearest vector added since the index held `count`, which must be within reach."""
        start = count - self._head_at
        rows = self._head[start : self._count - self._head_at]
        if not len(rows):
            return NOTHING
        best = int((rows @ vector).argmax())
        return count + best, cosine_of(rows[best], vector)

    def near_since(self, vector: Vectors, count: int, least: float, most: int) -> list[Hit]:
        """Return the first `most` vectors with a cosine of at least `least` added since the index held `count`."""
        start = count - self._head_at
        rows = self._head[start : self._count - self._head_at]
        return first_near(rows, vector, rows @ vector, count, least, most) if len(rows) else []

    def _append(self, rows: Vectors, goal: int) -> None:
        """Add rows that fit into the current block; `goal` is the expected final count."""
        at = self._count - self._head_at
        if at + len(rows) > len(self._head):
            grown = np.empty((2 * len(self._head), self._dim), dtype=np.float32)
            grown[:at] = self._head[:at]
            self._head = grown  # views keep the old one
        self._head[at : at + len(rows)] = rows
        self._count += len(rows)
        if self._count % BLOCK == 0:
            self._seal(self._head[at + len(rows) - BLOCK : at + len(rows)], goal)

    def _seal(self, block: Vectors, goal: int) -> None:
        """Move a full block into the lists, and start a training where this count requires one."""
        if self._lists:
            with one_core():
                self._lists[-1].append(block)
        if self._next is not None:
            self._next.append(block.copy())
            if self._count == self._next.due:
                self._lists.append(self._next.result())
                self._next = None
        if self._count == self._next_at and not self._exact:
            if goal < _taken_up(2 * self._next_at) + self._reach:
                self._next = self._train()
            self._next_at *= 2
        self._forget()

    def _train(self) -> "_Training":
        lists = Lists(self._dim, self._count, since=_taken_up(self._count))
        if self._lists:
            return _Training(lists, self._lists[-1].read, self._thread)
        held = self._head[: self._count]  # rows that are written are not written again
        return _Training(lists, lambda start, stop: held[start:stop], self._thread)

    def _forget(self) -> None:
        """Drop lists, and rows that lists hold, once they are out of reach."""
        while len(self._lists) > 1 and self._count >= self._lists[1].since + self._reach:
            del self._lists[0]
            _give_back()
        kept = self._reach + BLOCK
        if self._lists and self._count >= self._lists[0].since + self._reach:
            at = self._count - self._head_at
            if at >= 2 * kept:
                head = np.empty((4 * kept, self._dim), dtype=np.float32)
                head[:kept] = self._head[at - kept : at]
                self._head, self._head_at = head, self._count - kept


class _Training:
    """Build lists in a thread, including blocks that arrive meanwhile."""

    def __init__(self, lists: Lists, read: Callable[[int, int], Vectors], thread: ThreadPoolExecutor) -> None:
        self.lists = lists
        self.due = lists.since
        self._thread = thread
        self._steps: list[Future[None]] = [thread.submit(lists.build, read)]

    def append(self, block: Vectors) -> None:
        self._steps.append(self._thread.submit(self.lists.append, block))

    def result(self) -> Lists:
        """Wait if necessary and return the lists; raise what went wrong in the thread."""
        for step in self._steps:
            step.result()
        return self.lists


def _give_back() -> None:
    """Make the C library return the old lists' memory to the system; it would keep half of it."""
    with suppress(OSError, AttributeError):  # glibc's own call, and no other's
        ctypes.CDLL(None).malloc_trim(0)


def _one_core_for_good() -> None:
    import faiss

    faiss.omp_set_num_threads(1)
