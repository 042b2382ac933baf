"""Merge the samples that the shards accepted in a pass into the run's ledger: in slot order, without duplicates.

The order is that of the slots within the pass: the first slot of each shard, then the second of each, and so on. The
duplicate checks of the run decide, with the vectors that the shards have stored. The decisions depend on the ledgers
alone, so a merge that was killed makes the same decisions when it is repeated, and continues copying where it stopped.
"""

import heapq
import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

import numpy as np

from synthgen.cluster.shards.exchange import ENDS, Stage
from synthgen.diversity.embedder import DiversityConfig, Embedder, Vectors
from synthgen.diversity.near import NearDuplicate
from synthgen.diversity.view import Neighbours
from synthgen.filters.rules import ExactDuplicate
from synthgen.ledger import Ledger, Reader, Vector
from synthgen.ledger.absorb import Duplicate, Numbers, absorb
from synthgen.ledger.order import SampleOrder
from synthgen.numerics.blas import one_core
from synthgen.records import Candidate, Json, Sample, to_json
from synthgen.report.figures import INCIDENTS
from synthgen.tasks.task import Task

MERGING = "merging"
"""Ledger key of a merge that has begun to write: its pass, first position, and how far it is."""
_AT_ONCE = 128
"""Samples in a chunk. Each sample is compared one by one with up to two chunks before it, and by the index with all others."""
_OWN_META = {
    "run",
    "config",
    "target",
    "fingerprint",
    "sources",
    "task",
    "goals",
    "stopped_by",
    "seconds",
    "student_outlook",
    ENDS,
}
"""Metadata of a shard that says nothing about the run as a whole."""

Found = tuple[int, int, Sample, Vector]
"""A sample of a shard: its number in the run, the number of its shard, the sample and its vector."""


@dataclass
class Decided:
    """Hold the decisions of a merge: the duplicates of each shard, and their number by label."""

    duplicates: list[list[Duplicate]]
    lost: list[Counter[str]]
    kept: int = 0


@dataclass
class _Held:
    """Hold the samples that were kept so far, as the duplicate checks need them."""

    task: Task
    order: SampleOrder
    exact: ExactDuplicate
    near: NearDuplicate
    data: dict[str, bytes] = field(default_factory=dict)

    def add(self, sample: Sample, vector: Vectors) -> None:
        self._enter(sample)
        self.near.add(vector)

    def extend(self, samples: Sequence[Sample], vectors: Sequence[Vectors]) -> None:
        for sample in samples:
            self._enter(sample)
        self.near.extend(vectors, len(self.order))

    def _enter(self, sample: Sample) -> None:
        self.exact.add(sample, self.order.add(sample))
        self.data[sample.id] = to_json(sample.data).encode()


class _NoEncoder:
    """Stand for an encoder where all vectors are known."""

    def __init__(self, dim: int) -> None:
        self.dim = dim

    def encode(self, texts: Sequence[str]) -> Vectors:
        raise AssertionError(f"the vectors are known, but {len(texts)} texts were to be embedded")


def numbers_of(stage: Stage, base: int) -> list[Numbers]:
    """Return how the slots of each shard are numbered in the run. `base` is the first slot of the pass there."""
    count = len(stage.begins)
    return [Numbers(begin, base, turn, count) for turn, begin in enumerate(stage.begins)]


def merge(
    ledger: Ledger,
    shards: Sequence[Path],
    stage: Stage,
    base: int,
    task: Task,
    cfg: DiversityConfig,
    say: Callable[[str], None] = lambda _: None,
) -> Decided:
    """Merge the samples of a pass from the ledgers of the shards, and return the decisions.

    `base` is the first slot of the pass in the merged ledger. The ledger gets the seeds with the first merge.
    """
    with Reader(ledger.path) as own:
        state: Json = own.meta(MERGING) or {}
        if state.get("pass") != stage.number:
            position = own.one("SELECT COALESCE(MAX(position), -1) + 1 FROM samples")
            has_seeds = own.one("SELECT EXISTS (SELECT 1 FROM samples WHERE origin = 'seed')")
            state = {"pass": stage.number, "position": position, "shard": 0}
            if not has_seeds:
                state["position"] += _add_seeds(ledger, shards[0])
            _add_meta(ledger, own, shards)
            ledger.set_meta(MERGING, state).result()
    ends = [_frontier(path) for path in shards]
    with one_core():
        decided = decide(ledger.path, shards, stage, ends, base, task, cfg, state["position"], say)
    for turn, (path, numbers) in enumerate(zip(shards, numbers_of(stage, base), strict=True)):
        if turn < state["shard"]:
            continue
        begin = state.get("slot", numbers.begin) if turn == state["shard"] else numbers.begin
        if begin == numbers.begin:
            _add_events(ledger, path, turn, numbers)
        done = (MERGING, {"pass": stage.number, "position": state["position"], "shard": turn})
        say(f"writing the samples of shard {turn + 1} of {len(shards)}")
        absorb(ledger, path, numbers, ends[turn], state["position"], decided.duplicates[turn], begin, done)
    return decided


def decide(
    path: Path,
    shards: Sequence[Path],
    stage: Stage,
    ends: Sequence[int],
    base: int,
    task: Task,
    cfg: DiversityConfig,
    position: int,
    say: Callable[[str], None] = lambda _: None,
) -> Decided:
    """Decide which samples of a pass are duplicates of earlier ones. `path` is the ledger of the run.

    `position` is the position of the first sample of the pass there; a killed merge may have written some of them.
    """
    found = Decided([[] for _ in shards], [Counter() for _ in shards])
    readers = [Reader(one) for one in shards]
    sizes = (reader.one("SELECT length(vector) / 4 FROM embeddings LIMIT 1") for reader in readers)
    if (size := next(filter(None, sizes), None)) is None:  # neither a seed nor a sample
        return found
    with Reader(path) as own:
        held = _held(own, task, cfg, position, size)
    try:
        streams = [
            _samples(reader, numbers, end)
            for reader, numbers, end in zip(readers, numbers_of(stage, base), ends, strict=True)
        ]
        coming = heapq.merge(*streams, key=lambda one: (one[0], one[2].item))
        seen = 0
        for chunk, (count, near) in _searched(coming, held):
            _decide(chunk, count, near, held, found)
            seen += len(chunk)
            if seen % (40 * _AT_ONCE) == 0:
                say(f"merging: {seen:,} samples compared, {seen - found.kept:,} duplicates")
    finally:
        held.near.close()
        for reader in readers:
            reader.close()
    return found


def _searched(coming: Iterator[Found], held: _Held) -> Iterator[tuple[list[Found], tuple[int, list[Neighbours]]]]:
    """Yield the samples in chunks, with their neighbours among those that were kept before the chunk before.

    A thread searches for the neighbours of a chunk while the chunk before is decided.
    """

    def search(chunk: list[Found]) -> Future[tuple[int, list[Neighbours]]]:
        return thread.submit(held.near.search(np.stack([vector for *_, vector in chunk])))

    with ThreadPoolExecutor(1, thread_name_prefix="merge") as thread:
        chunk = list(islice(coming, _AT_ONCE))
        searching = search(chunk) if chunk else None
        while searching is not None:
            following = list(islice(coming, _AT_ONCE))
            next_one = search(following) if following else None
            yield chunk, searching.result()
            chunk, searching = following, next_one


def _decide(chunk: Sequence[Found], count: int, near: Sequence[Neighbours], held: _Held, found: Decided) -> None:
    for (_, turn, sample, vector), own in zip(chunk, near, strict=True):
        candidate = _candidate(sample)
        verdict = held.exact.decide(candidate)
        if verdict.outcome == "pass":
            verdict = held.near.decide(candidate, vector, count, own)
        if verdict.outcome == "pass":
            held.add(sample, vector)
            found.kept += 1
            continue
        assert sample.slot is not None and sample.item is not None
        found.duplicates[turn].append(
            Duplicate(
                sample.slot, sample.item, verdict.check, str(verdict.reason), verdict.score, dict(verdict.details)
            )
        )
        found.lost[turn][sample.label or ""] += 1


def _samples(reader: Reader, numbers: Numbers, end: int) -> Iterator[Found]:
    for sample, vector in reader.accepted_in(numbers.begin, end):
        assert sample.slot is not None
        yield numbers.slot(sample.slot), numbers.turn, sample, vector


def _held(own: Reader, task: Task, cfg: DiversityConfig, position: int, size: int) -> _Held:
    """Return the samples that the run has from before this pass, seeds first. Vectors have this `size`."""
    order = SampleOrder()
    held: _Held

    def find(sample_id: str) -> Sample:
        return Sample(id=sample_id, data=json.loads(held.data[sample_id]), origin="synthetic")

    embedder, folder = Embedder(_NoEncoder(size)), own.path.parent
    near = NearDuplicate(task, cfg, embedder, order, find, lambda slot: slot, 2 * _AT_ONCE, folder)
    held = _Held(task, order, ExactDuplicate(task, order.id), near)
    seeds = [(sample, vector) for sample, vector in own.seeds() if vector is not None]
    if seeds:
        held.extend([sample for sample, _ in seeds], [vector for _, vector in seeds])
        near.calibrate([sample for sample, _ in seeds], np.stack([vector for _, vector in seeds]))
    earlier = (
        (sample, vector)
        for sample, vector in own.embedded_samples(before=position)
        if sample.origin != "seed" and vector is not None
    )
    while chunk := list(islice(earlier, 8 * _AT_ONCE)):
        held.extend([sample for sample, _ in chunk], [vector for _, vector in chunk])
    return held


def _candidate(sample: Sample) -> Candidate:
    return Candidate(
        id=sample.id, slot=sample.slot or 0, item=sample.item or 0, label=sample.label, text="", data=sample.data,
        finish_reason="stop", parents=sample.parents, depth=sample.depth, strategy=sample.strategy,
        template=sample.template, given=sample.given,
    )  # fmt: skip


def _frontier(path: Path) -> int:
    with Reader(path) as reader:
        return reader.frontier()


def _add_seeds(ledger: Ledger, shard: Path) -> int:
    """Give the run the seeds of a shard, with their vectors. Return their number."""
    with Reader(shard) as reader:
        seeds = [(sample, vector) for sample, vector in reader.seeds() if vector is not None]
    if seeds:
        ledger.add_seeds([sample for sample, _ in seeds], [vector for _, vector in seeds]).result()
    return len(seeds)


def _add_meta(ledger: Ledger, own: Reader, shards: Sequence[Path]) -> None:
    """Copy the first shard's metadata about engine, judge and strategies to the run, and the time of the slowest shard."""
    known = {key for (key,) in own.rows("SELECT key FROM meta")} | _OWN_META
    with Reader(shards[0]) as reader:
        for key, value in reader.rows("SELECT key, value FROM meta"):
            if key not in known:
                ledger.set_meta(key, json.loads(value))


def _add_events(ledger: Ledger, shard: Path, turn: int, numbers: Numbers) -> None:
    """Copy the incidents and alarms of a shard that the run does not have yet, each with the number of its shard."""
    kinds = ", ".join(f"'{kind}'" for kind in (*INCIDENTS, "alarm"))
    with Reader(ledger.path) as own:
        sql = f"SELECT COUNT(*) FROM events WHERE kind IN ({kinds}) AND json_extract(data, '$.shard') = ?"
        have = own.one(sql, (turn + 1,))
    with Reader(shard) as reader:
        rows = reader.rows(f"SELECT kind, data FROM events WHERE kind IN ({kinds}) ORDER BY seq")
        for kind, data in islice(rows, have, None):
            event = json.loads(data)
            if "slot" in event and event["slot"] >= numbers.begin:
                event["slot"] = numbers.slot(event["slot"])
            ledger.event(kind, {**event, "shard": turn + 1})
