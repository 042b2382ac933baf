"""Nearest neighbours at a cost that grows like the root of what is held. FAISS does the searching.

The first 4,608 vectors are searched exactly. From then on older vectors lie in inverted lists
(`lists.py`), which are trained anew each time their number has doubled; the newest ones are searched
exactly still. What the index answers depends on the sequence of vectors alone, not on time or on how
they came in: training begins at fixed counts, in a thread of its own, and its result is taken up at
a fixed later count. Sequences that came in one by one and at once are held alike.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np

from synthgen.diversity.embedder import Vectors
from synthgen.diversity.lists import Lists

BLOCK = 256
"""Vectors leave the exact search for the lists in blocks of so many; every count below is a multiple of it."""
_FIRST = 4_096
"""The first training; then one each time there are twice as many."""


def _taken_up(trained: int) -> int:
    """The count at which lists trained on the first `trained` vectors are searched."""
    return trained + trained // 8


class VectorIndex:
    """Cosine search over unit vectors of shape (dim,).

    There are two ways to ask, `glance` and `nearest`. Whatever `glance` finds, `nearest` finds too,
    as long as at most `reach` vectors were added in between. (Vectors that move into lists, and lists
    that are trained anew, may be found no longer; `nearest` also looks where they were `reach` vectors
    ago.) So a decision that `nearest` confirms does not depend on when the glance was taken.
    """

    def __init__(self, dim: int, reach: int = 0, exact: bool = False) -> None:
        import faiss

        _one_core()
        self._dim = dim
        self._reach = -(-reach // BLOCK) * BLOCK
        self._exact = exact
        self._keys: list[str] = []
        self._fresh: Any = faiss.IndexFlatIP(dim)  # since the last whole block
        self._recent: Any = faiss.IndexFlatIP(dim)  # whole blocks before that
        self._lists: list[Lists] = []  # the last one is in use, others were within reach
        self._next: _Training | None = None
        self._next_at = _FIRST
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="index", initializer=_one_core)

    def __len__(self) -> int:
        return len(self._keys)

    def close(self) -> None:
        """Ends a training that is under way."""
        if self._next is not None:
            self._next.lists.cancel()
        self._thread.shutdown(wait=True, cancel_futures=True)

    def add(self, key: str, vector: Vectors) -> None:
        self.extend([key], vector.reshape(1, -1))

    def extend(self, keys: Sequence[str], vectors: Vectors | Sequence[Vectors]) -> None:
        """As if added one by one, without the trainings that a later one makes useless."""
        _one_core()
        goal, start = len(self) + len(keys), 0
        while start < len(keys):
            stop = min(len(keys), start + BLOCK - self._fresh.ntotal)
            self._fresh.add(np.ascontiguousarray(np.stack(list(vectors[start:stop])), dtype=np.float32))
            self._keys += keys[start:stop]
            start = stop
            if self._fresh.ntotal == BLOCK:
                self._seal(goal)

    def glance(self, vector: Vectors) -> tuple[str | None, float]:
        """Like `nearest`, for less: newest vectors and current lists only."""
        exact = [(self._fresh, self._sealed)]
        if not self._lists:
            exact.append((self._recent, 0))
        return self._best(vector, self._lists[-1:], exact)

    def nearest(self, vector: Vectors) -> tuple[str | None, float]:
        """The key and cosine of the nearest vector; (None, 0.0) while the index is empty."""
        exact = [(self._fresh, self._sealed), (self._recent, self._sealed - self._recent.ntotal)]
        return self._best(vector, self._lists, exact)

    def _best(
        self, vector: Vectors, lists: Sequence[Lists], exact: Sequence[tuple[Any, int]]
    ) -> tuple[str | None, float]:
        query = np.ascontiguousarray(vector.reshape(1, -1), dtype=np.float32)
        found = [each.search(query) for each in lists]
        for flat, offset in exact:
            if flat.ntotal:
                scores, places = flat.search(query, 1)
                found.append((float(scores[0, 0]), offset + int(places[0, 0])))
        score, place = max(found, default=(-np.inf, -1))
        return (self._keys[place], score) if place >= 0 else (None, 0.0)

    @property
    def _sealed(self) -> int:
        """Vectors in whole blocks."""
        return len(self) - int(self._fresh.ntotal)

    def _seal(self, goal: int) -> None:
        """Moves a full block on, and does what is due at this count; `goal` is the count that is made for."""
        block = self._fresh.reconstruct_n(0, BLOCK)
        self._recent.add(block)
        self._fresh.reset()
        if self._lists:
            self._lists[-1].append(block)
        if self._next is not None:
            self._next.append(block)
            if self._sealed == self._next.due:
                self._lists.append(self._next.result())
                self._next = None
        if self._sealed == self._next_at and not self._exact:
            if goal < _taken_up(2 * self._next_at) + self._reach:
                self._next = self._train()
            self._next_at *= 2
        self._forget()

    def _train(self) -> "_Training":
        lists = Lists(self._dim, self._sealed, since=_taken_up(self._sealed))
        if self._lists:
            return _Training(lists, self._lists[-1].read, self._thread)
        held = self._recent.reconstruct_n(0, self._sealed)  # a copy, for the original goes on growing
        return _Training(lists, lambda start, stop: held[start:stop], self._thread)

    def _forget(self) -> None:
        """Drops lists, and blocks that lists hold, once they are out of reach."""
        while len(self._lists) > 1 and self._sealed >= self._lists[1].since + self._reach:
            del self._lists[0]
        if self._lists and self._sealed >= self._lists[0].since + self._reach and self._recent.ntotal > self._reach:
            kept = self._recent.reconstruct_n(self._recent.ntotal - self._reach, self._reach)
            self._recent = type(self._recent)(self._dim)
            self._recent.add(kept)


class _Training:
    """Lists in the making: filled in a thread, blocks that come meanwhile included."""

    def __init__(self, lists: Lists, read: Callable[[int, int], Vectors], thread: ThreadPoolExecutor) -> None:
        self.lists = lists
        self.due = lists.since
        self._thread = thread
        self._steps: list[Future[None]] = [thread.submit(lists.build, read)]

    def append(self, block: Vectors) -> None:
        self._steps.append(self._thread.submit(self.lists.append, block))

    def result(self) -> Lists:
        """Waits, if it has to; raises what went wrong in the thread."""
        for step in self._steps:
            step.result()
        return self.lists


def _one_core() -> None:
    """FAISS on one core in the calling thread: searches are small, and the cores belong to the engine."""
    import faiss

    faiss.omp_set_num_threads(1)
