"""Near-duplicates by letters: a first pass over what the embedder would otherwise have to read.

MinHash with locality-sensitive hashing (Broder 1997; datasketch does the work), so that a look costs the
same however many samples there are.
"""

import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from synthgen.diversity.metrics import words
from synthgen.errors import ConfigError
from synthgen.records import Candidate, Json, Sample, Verdict
from synthgen.tasks.task import Task

_Values = npt.NDArray[np.unsignedinteger[Any]]
_REMEMBERED = 4_096  # a candidate is hashed once for both of its looks and for its adding
_WEIGHTS = (0.1, 0.9)  # of finding too much and too little: the first costs a comparison, the second a duplicate


@dataclass
class LexicalConfig:
    enabled: bool = False
    """Look for near-duplicates by letters before embedding."""
    threshold: float = 0.7
    """A candidate is a near-duplicate when it shares this much of its character runs with a sample (Jaccard)."""
    num_perm: int = 128
    """Hashes a text is known by; the error of the estimate falls with their root, cost and memory rise with them."""
    shingle: int = 3
    """Characters in a run."""

    def __post_init__(self) -> None:
        if not 0 < self.threshold <= 1:
            raise ConfigError(f"diversity.lexical.threshold: must be above 0 and at most 1, got {self.threshold}")
        if not 16 <= self.num_perm <= 1024:
            raise ConfigError(f"diversity.lexical.num_perm: must be from 16 to 1024, got {self.num_perm}")
        if self.shingle < 1:
            raise ConfigError(f"diversity.lexical.shingle: must be 1 or more, got {self.shingle}")


class LexicalDuplicate:
    """Rejects what has nearly the same letters as a sample that was there first.

    To be asked when a candidate comes and again in its turn, like the check by meaning. What the first
    look finds the second one would find too, for nothing is ever taken out and a pair's estimate does not
    change: who is accepted depends on the order of turns alone.
    """

    name = "lexical"

    def __init__(self, task: Task, cfg: LexicalConfig) -> None:
        from datasketch import MinHash, MinHashLSH  # imports SciPy

        self._task = task
        self._cfg = cfg
        self._empty = MinHash(cfg.num_perm, seed=1, hashfunc=zlib.crc32)
        self._index = MinHashLSH(cfg.threshold, cfg.num_perm, weights=_WEIGHTS)
        self._keys: list[str] = []
        self._values: list[_Values] = []
        self._hashed = lru_cache(_REMEMBERED)(self._hash)

    def add(self, sample: Sample) -> None:
        minhash = self._hashed(self._plain(sample.data))
        self._index.insert(len(self._keys), minhash, check_duplication=False)
        self._keys.append(sample.id)
        self._values.append(minhash.hashvalues)

    def extend(self, samples: Iterable[Sample]) -> None:
        """As if added one by one; takes a while for many, so call it off the event loop."""
        for sample in samples:
            self.add(sample)

    async def __call__(self, candidate: Candidate) -> Verdict:
        place, score = self._nearest(self._hashed(self._plain(candidate.data or {})))
        if place is None:
            return Verdict(check=self.name)
        details = {"neighbour": self._keys[place]}
        if score < self._cfg.threshold:
            return Verdict(check=self.name, score=score, details=details)
        return Verdict(check=self.name, outcome="reject", reason="lexical_duplicate", score=score, details=details)

    def _nearest(self, minhash: Any) -> tuple[int | None, float]:
        """The sample of those in a common bucket that shares most, the first of several, and the estimate of how much."""
        found = [
            (-np.count_nonzero(self._values[place] == minhash.hashvalues), place)
            for place in self._index.query(minhash)
        ]
        if not found:
            return None, 0.0
        equal, place = min(found)
        return place, -equal / self._cfg.num_perm

    def _plain(self, data: Json) -> str:
        return " ".join(words(self._task.text(data)))

    def _hash(self, plain: str) -> Any:
        """The MinHash of a text's character runs; of the whole text where it is shorter than one."""
        minhash = self._empty.copy()
        size = self._cfg.shingle
        runs = {plain[at : at + size] for at in range(max(1, len(plain) - size + 1))}
        minhash.update_batch([run.encode("utf-8", "replace") for run in runs])
        return minhash
