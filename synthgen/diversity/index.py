"""Find nearest neighbours with FAISS, at a cost that grows with the square root of the number of vectors.

The first 4,608 vectors are searched exactly. After that, older vectors are stored in inverted lists (`lists.py`), which
are retrained each time the number of vectors has doubled. The newest vectors are still searched exactly. Past a number
of vectors the lists contain short codes, and the vectors are on disk (`codes.py`).

The result of a search depends only on the sequence of vectors. It does not depend on timing, nor on whether vectors
were added one by one or all at once: training starts at fixed counts, in its own thread, and the trained lists come
into use at a fixed later count.
"""

import ctypes
import math
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from synthgen.diversity.codes import CodedLists
from synthgen.diversity.embedder import Vectors
from synthgen.diversity.lists import Lists
from synthgen.diversity.vector_file import VectorFile
from synthgen.diversity.view import BLOCK, NOTHING, ROUNDING, Hit, View, cosine_of, first_near, one_core

_FIRST = 4_096
"""Train for the first time at this count, then each time the count has doubled."""


def _in_use_from(trained: int) -> int:
    """Return the count from which lists trained on the first `trained` vectors are searched."""
    return trained + trained // 8


@dataclass(frozen=True)
class OnDisk:
    """Keep vectors in a file in `folder`, from the training at `trained_on` vectors on: 0, or 4,096 times a power of 2."""

    folder: Path
    trained_on: int


class VectorIndex:
    """Search unit vectors of shape (dim,) by cosine. Add all vectors from one thread.

    To search, take a `View` in the thread that adds, then query the view in any thread. Give each query a `base`: a
    count that the index had at most `reach` vectors ago. The view searches the lists that were in use at that count,
    up to that count, and compares all later vectors one by one. The result among the vectors of a view therefore
    depends on the base alone. Use `since` to search the vectors that were added after the view was taken.
    """

    def __init__(self, dim: int, reach: int = 0, exact: bool = False, on_disk: OnDisk | None = None) -> None:
        self._dim = dim
        self._reach = -(-reach // BLOCK) * BLOCK
        self._exact = exact
        self._count = 0
        self._head: Vectors = np.empty((4 * BLOCK, dim), dtype=np.float32)
        self._head_at = 0  # position of the head's first row; the head has all vectors from there on
        self._lists: list[Lists | CodedLists] = []  # the last is in use; a base within reach may need the others
        self._on_disk = on_disk
        self.file: VectorFile | None = None
        """Contains all full blocks once lists on disk are in use, or are being trained; None before that."""
        self._goal = 0  # until this count the head may lack rows, because the file has them
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
        if self.file is not None:
            self.file.close()

    def add(self, vector: Vectors) -> None:
        self._append(vector.reshape(1, -1), self._count + 1)

    def extend(self, vectors: Vectors | Sequence[Vectors], goal: int | None = None) -> None:
        """Add many vectors. Skip trainings that a later training would replace at once.

        `goal` is the final count, if more vectors follow these. An index on disk may not be searchable before that.
        """
        goal, start = goal or self._count + len(vectors), 0
        if self._begins_on_disk(goal):
            self.file, self._goal = self._opened(), goal
        while start < len(vectors):
            stop = min(len(vectors), start + BLOCK - self._count % BLOCK)
            self._append(np.asarray(vectors[start:stop], dtype=np.float32), goal)
            start = stop

    def view(self) -> "View":
        """Return a snapshot for searching. It stays valid when more vectors are added."""
        if self._head_at and not self._is_listed():
            raise ValueError(f"{self._count} of the {self._goal} vectors that were announced are in the index")
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
        if self.file is not None:
            self.file.put(self._count - BLOCK, block)
        if self._lists:
            with one_core():
                self._lists[-1].append(block)
        if self._next is not None:
            self._next.append(block, self._count)
            if self._count == self._next.due:
                self._lists.append(self._next.result())
                self._next = None
        if self._count == self._next_at and not self._exact:
            if goal < _in_use_from(2 * self._next_at) + self._reach:
                self._next = self._train()
            self._next_at *= 2
        self._forget()

    def _train(self) -> "_Training":
        since = _in_use_from(self._count)
        rows = self._head[: self._count - self._head_at]  # safe to read in the thread: written rows never change
        earlier = self._lists[-1].read if self._lists else lambda start, stop: rows[start:stop]
        if self._on_disk is None or self._count < self._on_disk.trained_on:
            lists = Lists(self._dim, self._count, since)
            return _Training(lists, partial(lists.build, earlier), self._thread)
        if self.file is not None:
            coded = CodedLists(self._dim, self._count, since, self.file)
            return _Training(coded, partial(coded.build, None), self._thread)
        self.file = self._opened()
        coded = CodedLists(self._dim, self._count, since, self.file)
        return _Training(coded, partial(coded.build, earlier), self._thread)

    def _is_listed(self) -> bool:
        """Return True when lists are in use for every base within reach."""
        return bool(self._lists) and self._count >= self._lists[0].since + self._reach

    def _begins_on_disk(self, goal: int) -> bool:
        """Return True when the index is empty and will have lists on disk alone at `goal`.

        The first training is then at the last count whose lists all searches after `goal` may use.
        """
        if self._on_disk is None or self._exact or self._count or self.file is not None:
            return False
        return goal >= _in_use_from(max(_FIRST, self._on_disk.trained_on)) + self._reach

    def _opened(self) -> VectorFile:
        assert self._on_disk is not None
        return VectorFile(self._on_disk.folder, self._dim)

    def _forget(self) -> None:
        """Drop lists that are out of reach, and rows of the head that the lists already contain."""
        while len(self._lists) > 1 and self._count >= self._lists[1].since + self._reach:
            del self._lists[0]
            _release_memory()
        kept = self._reach + BLOCK
        if self._is_listed() or self._count < self._goal:
            at = self._count - self._head_at
            if at >= 2 * kept:
                head = np.empty((4 * kept, self._dim), dtype=np.float32)
                head[:kept] = self._head[at - kept : at]
                self._head, self._head_at = head, self._count - kept


class _Training:
    """Build lists in a thread, including the blocks that arrive during training."""

    def __init__(self, lists: Lists | CodedLists, build: Callable[[], None], thread: ThreadPoolExecutor) -> None:
        self.lists = lists
        self.due = lists.since
        self._thread = thread
        self._steps: list[Future[None]] = [thread.submit(build)]

    def append(self, block: Vectors, count: int) -> None:
        """Append a block later. `count` is the number of vectors with it. Lists on disk read it from their file."""
        lists = self.lists
        if isinstance(lists, CodedLists):
            start = count - len(block)
            self._steps.append(self._thread.submit(lambda: lists.append(lists.read(start, count))))
        else:
            self._steps.append(self._thread.submit(lists.append, block.copy()))

    def result(self) -> Lists | CodedLists:
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
