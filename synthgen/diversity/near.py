"""The near-duplicate check: an index over everything held, and an exact one over the eval rows."""

from collections.abc import Sequence

from synthgen.diversity.embedder import DiversityConfig, Embedder, Vectors
from synthgen.diversity.index import VectorIndex
from synthgen.diversity.lists import ROUNDING
from synthgen.records import Candidate, Sample, Verdict
from synthgen.task import Task


class NearDuplicate:
    """Rejects what says the same as a sample that was there first, or as an eval row.

    The first call embeds the candidate and takes a glance, whenever that may be; it may miss what
    a second one, when the candidate's turn to be accepted comes, rejects, and never the other way
    round. So who is accepted depends on the order of turns alone. `reach` is the number of samples
    that may be accepted between the two.
    """

    name = "near"

    def __init__(self, task: Task, cfg: DiversityConfig, embedder: Embedder, reach: int) -> None:
        self._task = task
        self._cfg = cfg
        self._embedder = embedder
        self._reach = reach
        self._held: VectorIndex | None = None
        self._eval: VectorIndex | None = None

    async def prepare(self, seeds: Sequence[Sample], eval_texts: Sequence[str]) -> list[Vectors]:
        """Embeds and indexes seeds and eval rows; the seeds' vectors come back in order."""
        vectors = await self._embedder.embed_all([self._task.text(seed.data) for seed in seeds])
        self._held = VectorIndex(vectors.shape[1], self._reach, self._cfg.exact)
        self._held.extend([seed.id for seed in seeds], vectors)
        if eval_texts:
            self._eval = VectorIndex(vectors.shape[1], exact=True)
            self._eval.extend([str(row) for row in range(len(eval_texts))], await self._embedder.embed_all(eval_texts))
        return list(vectors)

    def add(self, key: str, vector: Vectors) -> None:
        self.extend([key], [vector])

    def extend(self, keys: Sequence[str], vectors: Sequence[Vectors]) -> None:
        """As if added one by one, much faster; takes seconds for many, so call it off the event loop."""
        assert self._held is not None, "prepare() comes first"
        self._held.extend(keys, vectors)

    def close(self) -> None:
        for index in (self._held, self._eval):
            if index is not None:
                index.close()

    async def __call__(self, candidate: Candidate) -> Verdict:
        assert self._held is not None, "prepare() comes first"
        first = candidate.embedding is None
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
        search = self._held.glance if first else self._held.nearest
        neighbour, score = search(candidate.embedding)
        details = {"neighbour": neighbour} if neighbour else {}
        if score >= self._cfg.threshold + (ROUNDING if first else 0):
            return Verdict(check=self.name, outcome="reject", reason="near_duplicate", score=score, details=details)
        return Verdict(check=self.name, score=score, details=details)
