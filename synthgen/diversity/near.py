"""The near-duplicate check: an index over everything held, and an exact one over the eval rows."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from synthgen.diversity.batches import MicroBatches
from synthgen.diversity.embedder import DiversityConfig, Embedder, Vectors
from synthgen.diversity.index import VectorIndex
from synthgen.diversity.overlap import corrected, expected_likeness, likeness, overlap
from synthgen.diversity.view import NOTHING, Bounds, Hit, Neighbours, View
from synthgen.ledger.roster import Roster
from synthgen.records import Candidate, CheckSpec, Json, Reason, Sample, Verdict
from synthgen.tasks.task import Task

_LEAST_COSINE = 0.7
"""Words are compared with samples that are at least so near; of planted near-duplicates none was further away."""
_OLDER, _NEWER = 4, 64
"""And with so many of them at most, so that a look takes its time whatever is held."""


@dataclass(frozen=True)
class Sighting:
    """What a candidate's first look found, among the `count` samples held then, and what was made of it."""

    count: int
    hit: Hit
    verdict: Verdict
    more: int
    """Samples accepted later whose words it may be compared with."""


class _Question(NamedTuple):
    text: str
    base: int
    view: View


class NearDuplicate:
    """Reject what says the same as an earlier sample, or as an eval row.

    A near-duplicate says the same in nearly the same words: the mean of cosine and lexical overlap with a sample, corrected
    for what two seeds of one label have in common, is at or above `cfg.hybrid_threshold`. What says the same in other
    words is one from a cosine of `cfg.threshold` on.

    The first call embeds the candidate and compares it with what is held, in a thread, many candidates at once,
    whenever that may be. A second call, when the candidate's turn to be accepted comes, compares it with what
    was accepted since. So who is accepted depends on the order of turns alone. `horizon` gives the slot
    before which everything was settled when a slot was planned, and `reach` is the number of samples that may
    be accepted from there to the slot's own turn.
    """

    spec = CheckSpec(
        "near",
        "A text whose meaning and words are not nearly those of a sample or of a held-out row.",
        (
            Reason("near_duplicate", "means nearly the same as a sample that was there already", "diversity.threshold"),
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
        roster: Roster,
        find: Callable[[str], Sample],
        horizon: Callable[[int], int],
        reach: int,
    ) -> None:
        self._task = task
        self._cfg = cfg
        self._embedder = embedder
        self._horizon = horizon
        self._roster = roster
        self._find = find
        self._expected = expected_likeness([], np.empty((0, embedder.dim), dtype=np.float32), [])
        self._hybrid = cfg.hybrid_threshold if cfg.embedder != "hash" else None
        self._bounds = Bounds(_LEAST_COSINE if self._hybrid is not None else 2.0, _OLDER, _NEWER)
        self._held = VectorIndex(embedder.dim, reach, cfg.exact)
        self._eval: VectorIndex | None = None
        self._looks = MicroBatches(self._look, embedder.thread, cfg.batch)

    def learn(self, seeds: Sequence[Sample], vectors: Sequence[Vectors]) -> None:
        """Learn from the seeds what samples of one label have in common, before the first candidate arrives."""
        if self._hybrid is not None:
            texts = [self._task.text(seed.data) for seed in seeds]
            self._expected = expected_likeness(texts, np.stack(vectors), [seed.label for seed in seeds])

    async def keep_clear_of(self, eval_texts: Sequence[str]) -> None:
        """Embed and index the eval rows."""
        if eval_texts:
            self._eval = VectorIndex(self._embedder.dim, exact=True)
            self._eval.extend(await self._embedder.embed_all(eval_texts))

    def add(self, vector: Vectors) -> None:
        """Takes in the vector of the roster's next sample."""
        self._held.add(vector)

    def extend(self, vectors: Sequence[Vectors], goal: int | None = None) -> None:
        """Add many vectors at once; takes seconds for many, so call it off the event loop."""
        self._held.extend(vectors, goal)

    def close(self) -> None:
        self._held.close()
        if self._eval is not None:
            self._eval.close()

    async def __call__(self, candidate: Candidate) -> Verdict:
        if candidate.sighting is None:
            text = self._task.text(candidate.data or {})
            base = self._roster.before(self._horizon(candidate.slot))
            candidate.embedding, count, near, (row, score) = await self._looks.ask(
                _Question(text, base, self._held.view())
            )
            verdict = self._verdict(text, near.nearest, [*near.older, *near.newer])
            candidate.sighting = Sighting(count, near.nearest, verdict, _NEWER - len(near.newer))
            if score >= self._cfg.eval_threshold:
                return self._no("eval_overlap", score, row=row)
            return verdict
        seen: Sighting = candidate.sighting
        if seen.verdict.outcome != "pass":
            return seen.verdict
        newer = self._held.since(candidate.embedding, seen.count)
        nearest = newer if newer[0] >= 0 and newer[1] > seen.hit[1] else seen.hit
        near_ones = self._held.near_since(candidate.embedding, seen.count, self._bounds.least, seen.more)
        return self._verdict(self._task.text(candidate.data or {}), nearest, near_ones)

    def _verdict(self, text: str, nearest: Hit, others: Iterable[Hit]) -> Verdict:
        """Decide by the nearest sample's cosine, and by cosine and words of the `others`."""
        place, score = nearest
        if score >= self._cfg.threshold:
            return self._no("near_duplicate", score, neighbour=self._roster.id(place))
        if self._hybrid is not None:
            shared = {hit: overlap(text, self._text(hit[0])) for hit in others}
            alike = max(shared, key=lambda hit: likeness(hit[1], shared[hit]), default=NOTHING)
            hybrid = corrected(likeness(alike[1], shared.get(alike, 0.0)), self._expected)
            if hybrid >= self._hybrid:
                words: Json = {"overlap": round(shared[alike], 6), "hybrid": round(hybrid, 6)}
                return self._no("near_duplicate", alike[1], neighbour=self._roster.id(alike[0]), **words)
        details = {"neighbour": self._roster.id(place)} if place >= 0 else {}
        return Verdict(check=self.name, score=score, details=details)

    def _text(self, place: int) -> str:
        return self._task.text(self._find(self._roster.id(place)).data)

    def _no(self, reason: str, score: float, **details: str | int | float) -> Verdict:
        return Verdict(check=self.name, outcome="reject", reason=reason, score=score, details=details)

    def _look(self, questions: list[_Question]) -> list[tuple[Vectors, int, Neighbours, Hit]]:
        """Return vectors and their neighbours among samples and eval rows; runs in the embedder's thread.

        All are shown the newest view: more than was there when the first of them asked, and no harm in it.
        """
        vectors = self._embedder.encode([question.text for question in questions])
        view = max((question.view for question in questions), key=lambda view: view.count)
        near = view.neighbours(vectors, [question.base for question in questions], self._bounds)
        rows: list[Hit] = [NOTHING] * len(questions)
        if self._eval is not None:
            rows = self._eval.view().nearest(vectors, [len(self._eval)] * len(questions))
        return [(vector, view.count, own, row) for vector, own, row in zip(vectors, near, rows, strict=True)]
