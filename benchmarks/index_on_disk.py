"""Measure the index on disk as it grows; `benchmarks/index_growth.py --index disk` prints the table.

Vectors are drawn chunk by chunk, so that neither they nor an exact index of them must fit into memory. Planted
near-duplicates have a known cosine to the vector they were made from, so recall needs no exact search. Times are CPU
seconds, which a busy machine changes less than seconds on the clock.
"""

import ctypes
import gc
import math
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from benchmarks.common import print_table
from synthgen.diversity.embedder import Vectors
from synthgen.diversity.index import OnDisk, VectorIndex
from synthgen.diversity.lists import ROUNDING
from synthgen.diversity.view import Bounds

DIM, REACH, BATCH = 384, 256, 16
WINDOWS, CANDIDATES = 5, 208
CHUNK = 50_000
BOUNDS = Bounds(0.7, 4, 64)  # those of the near-duplicate check
_TOPICS, _KINDS = 300, 60
_NOISE = 65_536


@dataclass
class DiskRow:
    """Hold one size's figures. Microseconds are CPU time, medians of windows."""

    vectors: int
    search_us: float
    add_us: float
    recall: float
    ram_bytes: float
    disk_bytes: float
    peak_gb: float
    rebuilt_cpu_s: float


class Stream:
    """Draw unit vectors that imitate texts, in chunks that can be drawn again."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        rng = np.random.default_rng(seed)
        topics, kinds = _directions(rng, _TOPICS), _directions(rng, _TOPICS * _KINDS)
        self._kinds = _unit(np.repeat(topics, _KINDS, axis=0) + kinds)
        self._noise = _directions(rng, _NOISE)

    def chunk(self, number: int) -> tuple[Vectors, Any]:
        """Return the vectors of a chunk, shape (CHUNK, DIM), and their kinds."""
        rng = np.random.default_rng((self._seed, number))
        kinds = (len(self._kinds) * rng.random(CHUNK) ** 2).astype(np.int64)
        noise = self._noise[rng.integers(_NOISE, size=CHUNK)]  # drawn once, because normal numbers take long
        vectors = self._kinds[kinds]
        vectors *= 0.75
        vectors += 0.66 * np.roll(noise, int(rng.integers(DIM)), axis=1)
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        return vectors, kinds

    def until(self, size: int) -> Iterator[Vectors]:
        for number in range(-(-size // CHUNK)):
            yield self.chunk(number)[0][: size - number * CHUNK]

    def near(self, size: int, planted: int, threshold: float) -> tuple[Vectors, Any]:
        """Return near-duplicates of vectors below `size`, and the positions of these vectors.

        Half have a cosine of at most 0.02 above the threshold, half of up to 0.08 above it or 0.99. They are moved toward
        another vector of the same kind, because lists split in that direction.
        """
        rng = np.random.default_rng((self._seed, size))
        chunks = rng.choice(-(-size // CHUNK), min(20, -(-size // CHUNK)), replace=False)
        made: list[Vectors] = []
        places: list[Any] = []
        for chunk, count in zip(chunks, _shares(planted, len(chunks)), strict=True):
            vectors, kinds = self.chunk(int(chunk))
            own = min(CHUNK, size - int(chunk) * CHUNK)
            picked = rng.choice(own, count, replace=False)
            order = np.argsort(kinds, kind="stable")
            place = np.empty_like(order)
            place[order] = np.arange(len(order))
            held, toward = vectors[picked], vectors[order[place[picked] - 1]]
            aside = _unit(toward - (toward * held).sum(axis=1, keepdims=True) * held)
            width = np.where(np.arange(count) % 2, 0.02, min(0.08, 0.99 - threshold))
            cosines = (threshold + width * rng.random(count))[:, None]
            made.append(_unit(cosines * held + np.sqrt(1 - cosines**2) * aside))
            places.append(picked + int(chunk) * CHUNK)
        return np.concatenate(made), np.concatenate(places)


def table(sizes: list[int], planted: int, threshold: float, seed: int, folder: Path | None) -> dict[str, float]:
    """Measure each size, print the table and the estimate for 10^8, and return the figures."""
    rows = []
    for size in sizes:
        with tempfile.TemporaryDirectory(prefix="synthgen-index-", dir=folder) as place:
            rows.append(measure(size, planted, threshold, Stream(seed), Path(place)))
        print(rows[-1], flush=True)  # a size may take an hour, and the next one may fail
    print_table(
        f"Index on disk: CPU of a candidate, {planted} planted near-duplicates from a cosine of {threshold}",
        ["vectors", "search us", "add us", "recall", "RAM bytes/vector", "disk bytes/vector", "peak GB", "rebuilt, CPU s"],
        [
            (f"{r.vectors:,}", f"{r.search_us:,.0f}", f"{r.add_us:,.0f}", f"{r.recall:.3f}", f"{r.ram_bytes:,.0f}",
             f"{r.disk_bytes:,.0f}", f"{r.peak_gb:.2f}", f"{r.rebuilt_cpu_s:,.0f}")
            for r in rows
        ],
        130,
    )  # fmt: skip
    found: dict[str, float] = {"recall": min(row.recall for row in rows)}
    for row in rows:
        found |= {f"{row.vectors}.{key}": value for key, value in asdict(row).items() if key != "vectors"}
    if len(rows) > 1:
        found["exponent"] = exponent = _exponent(rows)
        last = rows[-1]
        factor = (1e8 / last.vectors) ** exponent
        print(
            f"cost grows like N^{exponent:.2f}. Estimate for 10^8, not measured: "
            f"{factor * (last.search_us + last.add_us) / 1000:.1f} ms of CPU a candidate while the file is in the page "
            f"cache, {last.ram_bytes / 10:.0f} GB of memory, {last.disk_bytes / 10:.0f} GB of disk"
        )
    return found


def measure(size: int, planted: int, threshold: float, source: Stream, folder: Path) -> DiskRow:
    """Build an index as a resume does, look for what is planted, and pass candidates through it."""
    _trim()
    before = _status("RssAnon")
    Path("/proc/self/clear_refs").write_text("5")  # the peak counts from here
    index, began, drawing = VectorIndex(DIM, REACH, on_disk=OnDisk(folder, 0)), time.process_time(), 0.0
    at = time.thread_time()
    for chunk in source.until(size):
        drawing += time.thread_time() - at
        index.extend(chunk, size)
        at = time.thread_time()
    rebuilt = time.process_time() - began - drawing
    del chunk  # no part of the index
    _trim()
    assert index.file is not None
    ram, disk, peak = _status("RssAnon") - before, index.file.bytes_on_disk(), _status("VmHWM")
    queries, _ = source.near(size, planted, threshold)
    hits = index.view().neighbours(queries, [size] * len(queries), BOUNDS)
    recall = float(np.mean([hit.nearest[1] >= threshold - ROUNDING for hit in hits]))
    fresh = source.chunk(1_000_000)[0]
    searches, adds = [], []
    for window in range(WINDOWS):
        own = fresh[window * CANDIDATES : (window + 1) * CANDIDATES]
        times = [_through(index, own[start : start + BATCH]) for start in range(0, len(own), BATCH)]
        searches.append(sum(search for search, _ in times) / len(own))
        adds.append(sum(add for _, add in times) / len(own))
    index.close()
    return DiskRow(
        size, 1e6 * median(searches), 1e6 * median(adds), recall, ram / size, disk / size, peak / 1e9, rebuilt
    )


def _through(index: VectorIndex, batch: Vectors) -> tuple[float, float]:
    """Return the CPU seconds of searching for a batch, and of comparing it with what is new and adding it."""
    began, count = time.thread_time(), len(index)
    index.view().neighbours(batch, [count] * len(batch), BOUNDS)
    between = time.thread_time()
    for vector in batch:
        index.since(vector, count)
        index.add(vector)
    return between - began, time.thread_time() - between


def _trim() -> None:
    """Give memory that is not in use back to the system."""
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)


def _status(key: str) -> float:
    """Return a size from /proc/self/status, in bytes. RssAnon leaves out pages of files, which the system can drop."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return float(next(line.split()[1] for line in lines if line.startswith(f"{key}:"))) * 1024


def _exponent(rows: list[DiskRow]) -> float:
    costs = [row.search_us + row.add_us for row in rows]
    return float(np.polyfit([math.log(row.vectors) for row in rows], np.log(costs), 1)[0])


def _shares(total: int, parts: int) -> list[int]:
    return [total // parts + (part < total % parts) for part in range(parts)]


def _directions(rng: np.random.Generator, count: int) -> Vectors:
    return _unit(rng.standard_normal((count, DIM), dtype=np.float32))


def _unit(vectors: Any) -> Vectors:
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), dtype=np.float32)
