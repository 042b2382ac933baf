"""The near-duplicate check: an index over everything held, and an exact one over the eval rows."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from synthgen.diversity.batches import MicroBatches
from synthgen.diversity.embedder import DiversityConfig, Embedder, Vectors
from synthgen.diversity.index import NOTHING, Hit, VectorIndex, View
from synthgen.records import Candidate, Verdict
from synthgen.roster import Roster
from synthgen.task import Task


@dataclass(frozen=True)
class Sighting:
    """What a candidate's first look found, among the `count` samples held then, and what was made of it."""

    count: int
    hit: Hit
    verdict: Verdict


class _Question(NamedTuple):
    text: str
    base: int
    view: View


class NearDuplicate:
    """Rejects what says the same as a sample that was there first, or as an eval row.

    The first call embeds the candidate and compares it with what is held, in a thread, many candidates at once,
    whenever that may be. A second call, when the candidate's turn to be accepted comes, compares it with what
    was accepted since. So who is accepted depends on the order of turns alone. `horizon` gives the slot
    before which everything was settled when a slot was planned, and `reach` is the number of samples that may
    be accepted from there to the slot's own turn.
    """

    name = "near"

    def __init__(
        self,
        task: Task,
        cfg: DiversityConfig,
        embedder: Embedder,
        roster: Roster,
        horizon: Callable[[int], int],
        reach: int,
    ) -> None:
        self._task = task
        self._cfg = cfg
        self._embedder = embedder
        self._horizon = horizon
        self._roster = roster
        self._held = VectorIndex(embedder.dim, reach, cfg.exact)
        self._eval: VectorIndex | None = None
        self._looks = MicroBatches(self._look, embedder.thread, cfg.batch)

    async def keep_clear_of(self, eval_texts: Sequence[str]) -> None:
        """Embeds and indexes the eval rows."""
        if eval_texts:
            self._eval = VectorIndex(self._embedder.dim, exact=True)
            self._eval.extend(await self._embedder.embed_all(eval_texts))

    def add(self, vector: Vectors) -> None:
        """Takes in the vector of the roster's next sample."""
        self._held.add(vector)

    def extend(self, vectors: Sequence[Vectors], goal: int | None = None) -> None:
        """As if added one by one, much faster; takes seconds for many, so call it off the event loop."""
        self._held.extend(vectors, goal)

    def close(self) -> None:
        self._held.close()
        if self._eval is not None:
            self._eval.close()

    async def __call__(self, candidate: Candidate) -> Verdict:
        if candidate.sighting is None:
            text = self._task.text(candidate.data or {})
            base = self._roster.before(self._horizon(candidate.slot))
            candidate.embedding, count, hit, (row, score) = await self._looks.ask(
                _Question(text, base, self._held.view())
            )
            sighting = candidate.sighting = Sighting(count, hit, self._verdict(hit))
            if score >= self._cfg.eval_threshold:
                return self._no("eval_overlap", score, row=row)
            return sighting.verdict
        seen: Sighting = candidate.sighting
        newer = self._held.since(candidate.embedding, seen.count)
        if newer[0] >= 0 and newer[1] > seen.hit[1]:
            return self._verdict(newer)
        return seen.verdict

    def _verdict(self, hit: Hit) -> Verdict:
        place, score = hit
        details = {"neighbour": self._roster.id(place)} if place >= 0 else {}
        if score >= self._cfg.threshold:
            return self._no("near_duplicate", score, **details)
        return Verdict(check=self.name, score=score, details=details)

    def _no(self, reason: str, score: float, **details: str | int) -> Verdict:
        return Verdict(check=self.name, outcome="reject", reason=reason, score=score, details=details)

    def _look(self, questions: list[_Question]) -> list[tuple[Vectors, int, Hit, Hit]]:
        """In the embedder's thread: vectors, what is near among how many samples, and what among the eval rows.

        All are shown the newest view: more than was there when the first of them asked, and no harm in it.
        """
        vectors = self._embedder.encode([question.text for question in questions])
        view = max((question.view for question in questions), key=lambda view: view.count)
        hits = view.nearest(vectors, [question.base for question in questions])
        rows: list[Hit] = [NOTHING] * len(questions)
        if self._eval is not None:
            rows = self._eval.view().nearest(vectors, [len(self._eval)] * len(questions))
        return [(vector, view.count, hit, row) for vector, hit, row in zip(vectors, hits, rows, strict=True)]
