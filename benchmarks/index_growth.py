"""Measure the cost of a candidate to the near-duplicate index as it grows, next to an exact index of the same vectors.

    python benchmarks/index_growth.py --sizes 10000 100000 1000000 --out index_growth.json
    python benchmarks/index_growth.py --index disk --sizes 10000 100000 1000000 --folder FOLDER

The output is one table, a line per size. A candidate is the loop's use of the index for one accepted sample: a search
in a batch of 16, a comparison with the vectors added since, and an add. The exact index does the same, a search in such
a batch and an add, in alternating windows. The vectors are synthetic: topics, and kinds within them, some far more
frequent than others. Recall is of planted near-duplicates, half of them within 0.02 of the threshold, moved from a
sample toward another one of its kind, because lists split in that direction.

"searched" is the index's time when it is first built: each vector searched for and added. It is measured for the
smallest size, and interpolated from the windows' figures for the others. The index trainings on the way, which run in a
thread next to the loop, are not included. "embedded" is the bundled embedder's time for as many texts of a dozen words:
both together are the cost of a ledger without vectors. "rebuilt" is a resume's work on the ledger's vectors, its
training included: the median of three, above 100,000 vectors one. "of made" is its share of both. "Bytes" is resident
memory.
"""

import argparse
import ctypes
import gc
import random
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import faiss
import numpy as np

from benchmarks import index_on_disk
from benchmarks.common import print_table, write_figures
from synthgen.diversity.embedder import ModelEncoder, Vectors
from synthgen.diversity.index import VectorIndex
from synthgen.diversity.lists import ROUNDING
from synthgen.engines import bundled

DIM, THRESHOLD = 384, 0.9  # as the bundled embedder has them
REACH = 256  # more than the reach of a loop with 64 requests in flight
WINDOWS, CANDIDATES, FLAT_CANDIDATES, PLANTED, BATCH = 5, 208, 16, 500, 16


@dataclass
class Row:
    """Hold one size's figures; times are medians of windows."""

    vectors: int
    ms: float
    flat_ms: float
    recall: float
    bytes: float
    searched_s: float
    embedded_s: float
    rebuilt_s: float

    @property
    def rebuilt_share(self) -> float:
        return self.rebuilt_s / (self.searched_s + self.embedded_s)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--index", choices=["memory", "disk"], default="memory", help="the value of diversity.index")
    parser.add_argument("--planted", type=int, default=PLANTED, help="number of planted near-duplicates")
    parser.add_argument("--threshold", type=float, default=THRESHOLD, help="least cosine of those, with --index disk")
    parser.add_argument("--folder", type=Path, help="folder for the vectors, with --index disk; default: the system's")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    sizes = sorted(options.sizes)
    faiss.omp_set_num_threads(1)
    if options.index == "disk":
        found = index_on_disk.table(sizes, options.planted, options.threshold, options.seed, options.folder)
        write_figures(options.out, found)
        return 0
    source = Source(options.seed, options.planted)
    vectors, kinds = source.draw(sizes[-1] + WINDOWS * CANDIDATES)
    rows: list[Row] = []
    per_text = embedding_seconds(options.seed)
    for size in sizes:
        rows.append(measure(size, vectors, source.near(vectors[:size], kinds[:size]), rows, per_text))
        print(f"{size:,} vectors measured", file=sys.stderr, flush=True)
    print_table(
        "Cost of a candidate (a search, a look at what is new, an add) as the index grows",
        ["vectors", "ms", "flat ms", "recall", "bytes/vector", "searched s", "embedded s", "rebuilt s", "of made"],
        [
            (f"{r.vectors:,}", f"{r.ms:.2f}", f"{r.flat_ms:.2f}", f"{r.recall:.3f}", f"{r.bytes:,.0f}",
             f"{r.searched_s:,.1f}", f"{r.embedded_s:,.0f}", f"{r.rebuilt_s:,.1f}", f"{r.rebuilt_share:.3f}")
            for r in rows
        ],
    )  # fmt: skip
    found = figures(rows)
    print(f"cost grows like N^{found['exponent']:.2f}, flat like N^{found['flat_exponent']:.2f}")
    write_figures(options.out, found)
    return 0


class Source:
    """Draw unit vectors that imitate texts: 300 topics of 60 kinds each."""

    def __init__(self, seed: int, planted: int) -> None:
        self._planted = planted
        self._rng = np.random.default_rng(seed)
        topics, kinds = self._directions(300), self._directions(300 * 60)
        self._kinds = unit(np.repeat(topics, 60, axis=0) + kinds)

    def draw(self, count: int) -> tuple[Vectors, Any]:
        """Return vectors of shape (count, dim), and their kinds."""
        kinds = (len(self._kinds) * self._rng.random(count) ** 2).astype(np.int64)
        vectors = np.empty((count, DIM), dtype=np.float32)
        for at in range(0, count, 50_000):
            own = self._kinds[kinds[at : at + 50_000]]
            vectors[at : at + 50_000] = unit(0.75 * own + 0.66 * self._directions(len(own)))
        return vectors, kinds

    def near(self, held: Vectors, kinds: Any) -> Vectors:
        """Return near-duplicates of given vectors: half at cosines of 0.9 to 0.92, half up to 0.98."""
        picked = self._rng.choice(len(held), self._planted, replace=False)
        order = np.argsort(kinds, kind="stable")
        place = np.empty_like(order)
        place[order] = np.arange(len(order))
        toward = held[order[place[picked] - 1]]
        aside = unit(toward - (toward * held[picked]).sum(axis=1, keepdims=True) * held[picked])
        width = np.where(np.arange(self._planted) % 2, 0.02, 0.08)
        cosines = (THRESHOLD + width * self._rng.random(self._planted))[:, None]
        return unit(cosines * held[picked] + np.sqrt(1 - cosines**2) * aside)

    def _directions(self, count: int) -> Vectors:
        return unit(self._rng.standard_normal((count, DIM), dtype=np.float32))


def embedding_seconds(seed: int) -> float:
    """Return the bundled embedder's seconds for a text of a dozen words, in batches as in the loop."""
    rng = random.Random(seed)
    words = ["".join(rng.choices("aeioubcdfghklmnprst", k=rng.randint(2, 9))) for _ in range(500)]
    texts = [" ".join(rng.choices(words, k=12)) for _ in range(512)]
    encoder = ModelEncoder(bundled.resolve(bundled.EMBEDDER), 64)
    encoder.encode(texts[:64])
    began = time.perf_counter()
    encoder.encode(texts)
    return (time.perf_counter() - began) / len(texts)


def measure(size: int, vectors: Vectors, planted: Vectors, smaller: list[Row], per_text: float) -> Row:
    """Build both indexes at `size` and pass candidates through them."""
    flat = faiss.IndexFlatIP(DIM)
    flat.add(vectors[:size])
    exact = flat.search(planted, 1)[0][:, 0] >= THRESHOLD
    before = resident()
    index, rebuilt = rebuild(vectors[:size])
    used = resident() - before
    repeats = [rebuild(vectors[:size])[1] for _ in range(2 if size <= 100_000 else 0)]
    hits = index.view().nearest(planted, [size] * len(planted))
    found = np.asarray([score for _, score in hits]) >= THRESHOLD - ROUNDING
    ours: list[float] = []
    flats: list[float] = []
    for number in range(WINDOWS):
        fresh = vectors[size + number * CANDIDATES : size + (number + 1) * CANDIDATES]
        ours.append(milliseconds(lambda v: through(index, v), fresh))
        flats.append(milliseconds(lambda v: through_flat(flat, v), fresh[:FLAT_CANDIDATES]))
    index.close()
    searched = (
        one_by_one(vectors[:size]) if not smaller else smaller[-1].searched_s + seconds_between(smaller[-1], size, ours)
    )
    recall = float((found & exact).sum() / exact.sum())
    embedded = size * per_text
    return Row(size, median(ours), median(flats), recall, used / size, searched, embedded, median([rebuilt, *repeats]))


def rebuild(vectors: Vectors) -> tuple[VectorIndex, float]:
    """Rebuild the index as a resume does; return it and the seconds."""
    began = time.perf_counter()
    index = VectorIndex(DIM, REACH)
    index.extend(vectors)
    return index, time.perf_counter() - began


def through(index: VectorIndex, batch: Vectors) -> None:
    count = len(index)
    index.view().nearest(batch, [count] * len(batch))
    for vector in batch:
        index.since(vector, count)
        index.add(vector)


def through_flat(flat: Any, batch: Vectors) -> None:
    flat.search(batch, 1)
    for vector in batch:
        flat.add(vector[None])


def one_by_one(vectors: Vectors) -> float:
    """Return the seconds of building the index for the first time."""
    index, began = VectorIndex(DIM, REACH), time.perf_counter()
    for at in range(0, len(vectors), BATCH):
        through(index, vectors[at : at + BATCH])
    seconds = time.perf_counter() - began
    index.close()
    return seconds


def seconds_between(smaller: Row, size: int, ours: list[float]) -> float:
    """Return the cost of growing from a smaller size to this one, interpolated as a power of the size."""
    counts = np.geomspace(smaller.vectors, size, 200)
    slope = np.log(median(ours) / smaller.ms) / np.log(size / smaller.vectors)
    return float(np.trapezoid(smaller.ms * (counts / smaller.vectors) ** slope, counts)) / 1000


def milliseconds(do: Callable[[Vectors], None], each: Vectors) -> float:
    began = time.perf_counter()
    for at in range(0, len(each), BATCH):
        do(each[at : at + BATCH])
    return (time.perf_counter() - began) / len(each) * 1000


def resident() -> int:
    """Return the bytes of resident memory of this process, after it has freed what it does not use."""
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096


def unit(vectors: Any) -> Vectors:
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), dtype=np.float32)


def figures(rows: list[Row]) -> dict[str, float]:
    """Return the headline figures, and the table's figures under each size."""
    found = {
        "exponent": exponent(rows, [row.ms for row in rows]),
        "flat_exponent": exponent(rows, [row.flat_ms for row in rows]),
        "recall": min(row.recall for row in rows),
        "bytes_per_vector": rows[-1].bytes,
        "rebuild": max(row.rebuilt_share for row in rows),
    }
    for row in rows:
        found |= {f"{row.vectors}.{key}": value for key, value in asdict(row).items() if key != "vectors"}
    return found


def exponent(rows: list[Row], costs: list[float]) -> float:
    """Return the slope of log cost over log size; 0 for a single size, because NaN is not a figure."""
    if len(rows) < 2:
        return 0.0
    return float(np.polyfit(np.log([row.vectors for row in rows]), np.log(costs), 1)[0])


if __name__ == "__main__":
    sys.exit(main())
