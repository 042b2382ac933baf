"""Measure whether a run's memory stays flat: resident memory at 10,000, 100,000 and 1,000,000 candidates, replay
engine.

    python benchmarks/memory.py --out memory.json

One `synthgen run` (hash embedder, no judge, all candidates different, so that nearly all are accepted and kept) is
measured whenever it passes a count, and stopped after the last. Its speed does not matter. `growth` is the memory at
the last count divided by that at the one before, both without the vector index: an index with as many vectors is
measured in its own process. Give smaller --counts for a quick look.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.common import machine, print_table, resident, write_figures

ROOT = Path(__file__).resolve().parents[1]
COUNTS = [10_000, 100_000, 1_000_000]
DIM = 256  # dimensions of the hash embedder


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--counts", type=int, nargs="+", default=COUNTS, help="numbers of candidates at which the memory is measured"
    )
    parser.add_argument("--in-flight", type=int, default=256)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    counts = sorted(options.counts)
    weights = weigh(counts, options.in_flight)
    indexed = weigh_index([int(each["accepted"]) for each in weights])
    weights = [{**each, "index": index} for each, index in zip(weights, indexed, strict=True)]
    rows = []
    for each in weights:
        aside = each["resident"] - each["index"]
        per_sample = each["index"] / max(1, each["accepted"])
        rows.append(
            (f"{each['candidates']:,}", each["accepted"], _mb(each["resident"]), _mb(each["index"]), _mb(aside),
             f"{per_sample:,.0f}", f"{each['candidates'] / each['seconds']:,.0f}")
        )  # fmt: skip
    columns = ["candidates", "accepted", "resident, MB", "index, MB", "index aside, MB", "index, B/sample", "cand./s"]
    print_table("Memory of one run on the replay engine", columns, rows)
    aside = [each["resident"] - each["index"] for each in weights]
    growth = aside[-1] / aside[-2] if len(aside) > 1 else None
    if growth is not None:
        print(f"growth, index aside: {growth:.2f}")
    print(machine())
    flat = {f"{each['candidates']}.{key}": value for each in weights for key, value in each.items()}
    write_figures(options.out, {"growth": growth, **flat})


def weigh(counts: list[int], in_flight: int) -> list[dict[str, float]]:
    """Return the bytes of memory of a run when it had passed each of `counts` candidates."""
    with tempfile.TemporaryDirectory(prefix="synthgen-memory-") as folder:
        child = Path(__file__).with_name("weighed_run.py")
        overrides = ["experiment=smoke", "judge=none", f"engine.in_flight={in_flight}", f"run.dir={folder}/run",
                     f"budget.target={2 * counts[-1]}"]  # fmt: skip
        command = [sys.executable, str(child), ",".join(map(str, counts)), "run", *overrides]
        env = {**os.environ, "PYTHONPATH": str(ROOT)}
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=folder, env=env)
        assert process.stdout is not None
        found = []
        try:
            for line in process.stdout:
                if line.startswith("{"):
                    found.append(json.loads(line))
                    print(f"  {found[-1]['candidates']:,} candidates after {found[-1]['seconds']:,.0f} s", flush=True)
                if len(found) == len(counts):
                    break
        finally:
            process.send_signal(signal.SIGKILL)  # the report on a million samples is not measured
            process.wait()
    if len(found) < len(counts):
        raise SystemExit(f"the run ended before it had {counts[len(found)]:,} candidates")
    return found


def weigh_index(counts: list[int]) -> list[float]:
    """Return the bytes of an index with that many of the hash embedder's vectors, without the process itself."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(_fill_index, counts).result()


def _fill_index(counts: list[int]) -> list[float]:
    import numpy as np

    from synthgen.diversity.index import VectorIndex

    rng, index, found = np.random.default_rng(0), VectorIndex(DIM, reach=1_024), []
    index.add(np.ones(DIM, dtype=np.float32))
    empty = resident()
    for count in counts:
        while len(index) < count:
            vector = rng.standard_normal(DIM, dtype=np.float32)
            index.add(vector / np.linalg.norm(vector))
        found.append(float(resident() - empty))
    index.close()
    return found


def _mb(count: float) -> str:
    return f"{count / 1e6:,.0f}"


if __name__ == "__main__":
    main()
