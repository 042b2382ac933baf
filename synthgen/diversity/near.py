"""Check candidates for near-duplicates, with one index over all samples and an exact one over the eval rows."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from synthgen.diversity.batches import MicroBatches
from synthgen.diversity.embedder import DiversityConfig, Embedder, Vectors
from synthgen.diversity.index import OnDisk, VectorIndex
from synthgen.diversity.overlap import corrected, expected_likeness, likeness, overlap
from synthgen.diversity.view import NOTHING, Bounds, Hit, Neighbours, View
from synthgen.ledger.order import SampleOrder
from synthgen.records import PAIR, Candidate, CheckSpec, Json, Reason, Sample, Verdict
from synthgen.tasks.task import Task

_LEAST_COSINE = 0.7
"""Compare words only with samples of at least this cosine. No planted near-duplicate was further away."""
_OLDER, _NEWER = 4, 64
"""Compare words with at most this many older and newer samples, so that the time does not grow with the run."""
_TRAINED_ON = {"disk": 0, "auto": 2_097_152}
"""Number of vectors from which on lists are trained on disk, by the value of `diversity.index`."""


@dataclass(frozen=True)
class NearMatch:
    """Hold the result of a candidate's first comparison, with the `count` samples that were accepted at that time."""

    count: int
    hit: Hit
    verdict: Verdict
    more: int
    """Maximum number of later samples whose words are still to be compared with the candidate's."""


class _Question(NamedTuple):
    text: str
    base: int
    view: View


class NearDuplicate:
    """Reject a candidate whose meaning is nearly that of an earlier sample or of an eval row.

    A near-duplicate has nearly the same meaning and nearly the same words as a sample: the mean of cosine and lexical
    overlap, corrected for the average of two seeds with one label, is at or above `cfg.hybrid_threshold`. A candidate
    with different words is a near-duplicate only from a cosine of `cfg.threshold` on.

    The first call may come at any time. It embeds the candidate in a thread, many candidates at once, and compares it
    with the samples accepted so far. The second call comes in slot order, when the candidate is about to be accepted,
    and compares it with the samples accepted since. The final verdict therefore depends on slot order alone.

    A candidate that should differ from one parent in little but its label (`PAIR`) may be a near-duplicate of this parent,
    and of nothing else. `synthgen.diversity.pair` rejects it when it has the parent's label.

    `horizon` returns, for a slot, the slot below which everything was settled when the slot was planned. `reach` is
    the maximum number of samples that can be accepted between that point and the slot's own turn. `folder` is where an
    index on disk keeps its vectors; without it the index is in memory.
    """

    spec = CheckSpec(
        "near",
        "The text is not a near-duplicate of any sample or held-out row.",
        (
            Reason("near_duplicate", "means nearly the same as an earlier sample", "diversity.threshold"),
            Reason("eval_overlap", "too close to a held-out eval row", "diversity.eval_threshold"),
        ),
        "cosine to the nearest sample, or to the eval row, -1 to 1",
    )
    name = spec.name

    def __init__(
        self,
        task: Task,
        cfg: DiversityConfig,
        embedder: Embedder,
        order: SampleOrder,
        find: Callable[[str], Sample],
        horizon: Callable[[int], int],
        reach: int,
        folder: Path | None = None,
    ) -> None:
        self._task = task
        self._cfg = cfg
        self._embedder = embedder
        self._horizon = horizon
        self._order = order
        self._find = find
        self._expected = expected_likeness([], np.empty((0, embedder.dim), dtype=np.float32), [])
        self._hybrid = cfg.hybrid_threshold if cfg.embedder != "hash" else None
        # From `cfg.threshold` on, all neighbours are needed, because the nearest one may be the pair.
        least = min(_LEAST_COSINE, cfg.threshold) if self._hybrid is not None else cfg.threshold
        self._bounds = Bounds(least, _OLDER, _NEWER)
        on_disk = OnDisk(folder, _TRAINED_ON[cfg.index]) if folder is not None and cfg.index in _TRAINED_ON else None
        self._index = VectorIndex(embedder.dim, reach, cfg.exact, on_disk)
        self._eval: VectorIndex | None = None
        self._batches = MicroBatches(self._compare, embedder.thread, cfg.batch)

    def calibrate(self, seeds: Sequence[Sample], vectors: Vectors) -> None:
        """Measure how alike seeds of one label are, from their unit vectors (seeds, dim). Call this before the first candidate."""
        if self._hybrid is not None:
            texts = [self._task.text(seed.data) for seed in seeds]
            self._expected = expected_likeness(texts, vectors, [seed.label for seed in seeds])

    async def keep_clear_of(self, eval_texts: Sequence[str]) -> None:
        """Embed and index the eval rows."""
        if eval_texts:
            self._eval = VectorIndex(self._embedder.dim, exact=True)
            self._eval.extend(await self._embedder.embed_all(eval_texts))

    def add(self, vector: Vectors) -> None:
        """Add the vector of the next accepted sample."""
        self._index.add(vector)

    def extend(self, vectors: Sequence[Vectors], goal: int | None = None) -> None:
        """Add many vectors at once. This can take seconds, so call it outside the event loop."""
        self._index.extend(vectors, goal)

    def search(self, vectors: Vectors) -> Callable[[], tuple[int, list[Neighbours]]]:
        """Return a function that finds the neighbours of vectors of shape (n, dim) among the samples so far.

        It returns the number of these samples, and the neighbours. Another thread may call it while samples are added.
        Use it with `decide`, instead of calling the check, for candidates whose vectors are known.
        """
        view = self._index.view()
        return lambda: (view.count, view.neighbours(vectors, [view.count] * len(vectors), self._bounds))

    def decide(self, candidate: Candidate, vector: Vectors, count: int, near: Neighbours) -> Verdict:
        """Decide about a candidate by its neighbours (`search`) among the first `count` samples, and by the samples added since.

        At most `reach` samples may have been added since.
        """
        newer, near_ones = self._index.since(vector, count, self._bounds.least, _NEWER - len(near.newer))
        nearest = newer if newer[0] >= 0 and newer[1] > near.nearest[1] else near.nearest
        others = [*near.older, *near.newer, *near_ones]
        return self._verdict(self._task.text(candidate.data or {}), nearest, others, candidate.given.get(PAIR))

    def close(self) -> None:
        self._index.close()
        if self._eval is not None:
            self._eval.close()

    async def __call__(self, candidate: Candidate) -> Verdict:
        pair = candidate.given.get(PAIR)
        if candidate.near_match is None:
            text = self._task.text(candidate.data or {})
            base = self._order.before(self._horizon(candidate.slot))
            candidate.embedding, count, near, (row, score) = await self._batches.ask(
                _Question(text, base, self._index.view())
            )
            verdict = self._verdict(text, near.nearest, [*near.older, *near.newer], pair)
            candidate.near_match = NearMatch(count, near.nearest, verdict, _NEWER - len(near.newer))
            if score >= self._cfg.eval_threshold:
                return self._no("eval_overlap", score, row=row)
            return verdict
        seen: NearMatch = candidate.near_match
        if seen.verdict.outcome != "pass":
            return seen.verdict
        newer, near_ones = self._index.since(candidate.embedding, seen.count, self._bounds.least, seen.more)
        nearer = newer[0] >= 0 and newer[1] > seen.hit[1]
        if not nearer and not near_ones:
            return seen.verdict
        return self._verdict(self._task.text(candidate.data or {}), newer if nearer else seen.hit, near_ones, pair)

    def _verdict(self, text: str, nearest: Hit, others: Sequence[Hit], pair: str | None) -> Verdict:
        """Decide by the cosine of the nearest sample, and by cosine and words of the `others`.

        The sample that has the id `pair` does not count. Only the score of a pass may be the cosine to it.
        """
        place, score = closest = nearest
        if pair is not None:
            others = [hit for hit in others if self._order.id(hit[0]) != pair]
            if place >= 0 and self._order.id(place) == pair:
                closest = max(others, key=lambda hit: hit[1], default=NOTHING)
        if closest[1] >= self._cfg.threshold:
            return self._no("near_duplicate", closest[1], neighbour=self._order.id(closest[0]))
        if self._hybrid is not None:
            shared = {hit: overlap(text, self._text(hit[0])) for hit in others}
            alike = max(shared, key=lambda hit: likeness(hit[1], shared[hit]), default=NOTHING)
            hybrid = corrected(likeness(alike[1], shared.get(alike, 0.0)), self._expected)
            if hybrid >= self._hybrid:
                words: Json = {"overlap": round(shared[alike], 6), "hybrid": round(hybrid, 6)}
                return self._no("near_duplicate", alike[1], neighbour=self._order.id(alike[0]), **words)
        details = {"neighbour": self._order.id(place)} if place >= 0 else {}
        return Verdict(check=self.name, score=score, details=details)

    def _text(self, place: int) -> str:
        return self._task.text(self._find(self._order.id(place)).data)

    def _no(self, reason: str, score: float, **details: str | int | float) -> Verdict:
        return Verdict(check=self.name, outcome="reject", reason=reason, score=score, details=details)

    def _compare(self, questions: list[_Question]) -> list[tuple[Vectors, int, Neighbours, Hit]]:
        """Return vectors and their neighbours among samples and eval rows. Runs in the embedder's thread.

        All questions use the newest view. It may contain samples that were added after the first question was asked,
        which does not change the final verdict.
        """
        vectors = self._embedder.encode([question.text for question in questions])
        view = max((question.view for question in questions), key=lambda view: view.count)
        near = view.neighbours(vectors, [question.base for question in questions], self._bounds)
        rows: list[Hit] = [NOTHING] * len(questions)
        if self._eval is not None:
            rows = self._eval.view().nearest(vectors, [len(self._eval)] * len(questions))
        return [(vector, view.count, own, row) for vector, own, row in zip(vectors, near, rows, strict=True)]
