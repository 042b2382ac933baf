"""Hold a run's seeds and accepted samples in memory, in one compact structure for each use.

Besides the vector index it takes about a hundred bytes per sample, because the samples themselves stay in the ledger.
"""

import asyncio
import heapq
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain, islice

from synthgen.diversity.embedder import Embedder
from synthgen.diversity.metrics import Vectors
from synthgen.diversity.near import NearDuplicate
from synthgen.filters.rules import ExactDuplicate
from synthgen.generate.pool import Pool
from synthgen.ledger import Ledger, Reader, Samples, Vector
from synthgen.ledger.order import SampleOrder
from synthgen.records import Candidate, Sample
from synthgen.tasks.task import Task

_AT_ONCE = 4_096


@dataclass(frozen=True)
class Corpus:
    """Hold the seeds and accepted samples in memory. Add the seeds first, then accepted samples in slot order."""

    order: SampleOrder
    samples: Samples
    pool: Pool
    exact: ExactDuplicate
    near: NearDuplicate

    def accepted(self, sample: Sample, candidate: Candidate) -> None:
        """Add an accepted sample."""
        self._enter(sample)
        self.near.add(candidate.embedding)

    def extend(self, samples: Sequence[Sample], vectors: Sequence[Vector], goal: int) -> None:
        """Add many samples; `goal` is the expected final count. This can take seconds, so call it outside the loop."""
        for sample in samples:
            self._enter(sample)
        self.near.extend(vectors, goal)

    def close(self) -> None:
        self.samples.close()
        self.near.close()

    def _enter(self, sample: Sample) -> None:
        position = self.order.add(sample)
        self.samples.add(sample)
        self.pool.add(sample, position)
        self.exact.add(sample, position)


async def take_in(
    corpus: Corpus,
    seeds: Sequence[Sample],
    task: Task,
    ledger: Ledger,
    embedder: Embedder,
    foreign: Iterable[tuple[Sample, Vector]] = (),
    foreign_count: int = 0,
) -> Vectors:
    """Add the seeds and the ledger's earlier samples to `corpus`, and return the seeds' vectors (seeds, dim).

    Write to the ledger the seeds of a new run, and any vectors that are missing there. `foreign` are the samples of
    other runs that this run took over; each precedes its own samples from the same slot on.
    """
    vectors = await embedder.embed_all([task.text(seed.data) for seed in seeds])
    with Reader(ledger.path) as reader:
        await _keep_seeds(reader, seeds, vectors, ledger)
        goal = len(seeds) + foreign_count + reader.one("SELECT COUNT(*) FROM samples WHERE origin <> 'seed'")
        await asyncio.to_thread(corpus.extend, seeds, list(vectors), goal)
        own = (pair for pair in reader.embedded_samples() if _of_a_slot(pair[0]))
        earlier = chain(reader.corrections(), heapq.merge(foreign, own, key=_slot_of))
        while chunk := list(islice(earlier, _AT_ONCE)):
            found = await _with_vectors(chunk, task, ledger, embedder)
            await asyncio.to_thread(corpus.extend, [sample for sample, _ in chunk], found, goal)
    return vectors


def _of_a_slot(sample: Sample) -> bool:
    """Return False for a seed and for a correction, which precede all slots."""
    return sample.origin != "seed" and sample.slot is not None


def _slot_of(pair: tuple[Sample, Vector | None]) -> int:
    slot = pair[0].slot
    assert slot is not None
    return slot


async def complete(seeds: Sequence[Sample], task: Task, ledger: Ledger, embedder: Embedder) -> None:
    """Write the seeds and vectors that the ledger lacks, for a run that is over and has no samples in memory."""
    vectors = await embedder.embed_all([task.text(seed.data) for seed in seeds])
    with Reader(ledger.path) as reader:
        await _keep_seeds(reader, seeds, vectors, ledger)
        bare = (
            (sample, vector)
            for sample, vector in reader.embedded_samples()
            if vector is None and sample.origin != "seed"
        )
        while chunk := list(islice(bare, _AT_ONCE)):
            await _with_vectors(chunk, task, ledger, embedder)


def is_complete(reader: Reader, seeds: Sequence[Sample]) -> bool:
    """Return True when the ledger has the seeds and a vector for every sample. A fork may lack both at first."""
    if seeds and not reader.one("SELECT EXISTS (SELECT 1 FROM samples WHERE origin = 'seed')"):
        return False
    return not reader.one("SELECT EXISTS (SELECT 1 FROM samples WHERE id NOT IN (SELECT sample_id FROM embeddings))")


async def _keep_seeds(reader: Reader, seeds: Sequence[Sample], vectors: Vectors, ledger: Ledger) -> None:
    """Write the seeds to the ledger, or only their missing vectors where a fork has written the seeds already."""
    known = {sample.id: vector for sample, vector in reader.seeds()}
    if not known and seeds:
        await ledger.add_seeds(seeds, list(vectors))
        return
    lacking = {seed.id: vector for seed, vector in zip(seeds, vectors, strict=True) if known.get(seed.id) is None}
    if lacking:
        await ledger.add_vectors(lacking)


async def _with_vectors(
    chunk: Iterable[tuple[Sample, Vector | None]], task: Task, ledger: Ledger, embedder: Embedder
) -> list[Vector]:
    """Return the samples' vectors. Compute vectors that the ledger lacks, and write them to it."""
    bare = {sample.id: task.text(sample.data) for sample, vector in chunk if vector is None}
    made = dict(zip(bare, await embedder.embed_all(list(bare.values())), strict=True)) if bare else {}
    if made:
        await ledger.add_vectors(made)  # wait, because the next reader of the ledger needs them
    return [made[sample.id] if vector is None else vector for sample, vector in chunk]
