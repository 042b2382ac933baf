"""The near-duplicate check: a FAISS index over everything held, and one over the eval rows."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from synthgen.diversity.embedder import DiversityConfig, Embedder, Vectors
from synthgen.records import Candidate, Sample, Verdict
from synthgen.task import Task


class VectorIndex:
    """Exact cosine search over unit vectors of shape (dim,), by FAISS."""

    def __init__(self, dim: int) -> None:
        import faiss

        faiss.omp_set_num_threads(1)  # searches are small; the cores belong to the engine
        self._index: Any = faiss.IndexFlatIP(dim)
        self._keys: list[str] = []

    def __len__(self) -> int:
        return len(self._keys)

    def add(self, key: str, vector: Vectors) -> None:
        self._index.add(np.ascontiguousarray(vector.reshape(1, -1)))
        self._keys.append(key)

    def nearest(self, vector: Vectors) -> tuple[str | None, float]:
        """The key and cosine of the nearest vector; (None, 0.0) while the index is empty."""
        if not self._keys:
            return None, 0.0
        scores, places = self._index.search(np.ascontiguousarray(vector.reshape(1, -1)), 1)
        return self._keys[int(places[0, 0])], float(scores[0, 0])


class NearDuplicate:
    """Rejects what says the same as a sample that was there first, or as an eval row.

    The first call embeds the candidate; a second one, when its turn to be accepted comes, only
    searches again, over what has been added in between.
    """

    name = "near"

    def __init__(self, task: Task, cfg: DiversityConfig, embedder: Embedder) -> None:
        self._task = task
        self._cfg = cfg
        self._embedder = embedder
        self._held: VectorIndex | None = None
        self._eval: VectorIndex | None = None

    async def prepare(self, seeds: Sequence[Sample], eval_texts: Sequence[str]) -> list[Vectors]:
        """Embeds and indexes seeds and eval rows; the seeds' vectors come back in order."""
        vectors = list(await self._embedder.embed_all([self._task.text(seed.data) for seed in seeds]))
        self._held = VectorIndex(vectors[0].shape[0])
        for seed, vector in zip(seeds, vectors, strict=True):
            self._held.add(seed.id, vector)
        if eval_texts:
            self._eval = VectorIndex(vectors[0].shape[0])
            for row, vector in enumerate(await self._embedder.embed_all(eval_texts)):
                self._eval.add(str(row), vector)
        return vectors

    def add(self, key: str, vector: Vectors) -> None:
        assert self._held is not None, "prepare() comes first"
        self._held.add(key, vector)

    async def __call__(self, candidate: Candidate) -> Verdict:
        assert self._held is not None, "prepare() comes first"
        if candidate.embedding is None:
            candidate.embedding = await self._embedder.embed(self._task.text(candidate.data or {}))
            if self._eval is not None:
                row, score = self._eval.nearest(candidate.embedding)
                if score >= self._cfg.eval_threshold:
                    return Verdict(
                        check=self.name,
                        outcome="reject",
                        reason="eval_overlap",
                        score=score,
                        details={"row": int(row or 0)},
                    )
        neighbour, score = self._held.nearest(candidate.embedding)
        details = {"neighbour": neighbour} if neighbour else {}
        if score >= self._cfg.threshold:
            return Verdict(check=self.name, outcome="reject", reason="near_duplicate", score=score, details=details)
        return Verdict(check=self.name, score=score, details=details)
