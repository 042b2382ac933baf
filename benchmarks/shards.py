"""Measure what shards bring, and what their merge costs.

    python benchmarks/shards.py --out shards.json
    python benchmarks/shards.py --merge 1000000 --shards 8 --runs 0 --out merge.json

First: candidates a second, without and with the time of the merge, and CPU time per candidate, of runs with one and two
shards against stand-in servers, one server for each shard. CPU time is user and system time of the run with all its shards, without the servers, and without the
time that as many processes take to start: that is measured with a target of `--least` samples and subtracted. On a machine whose cores are
shared, compare the CPU time. The runs alternate, and medians are shown.

Second, with --merge: ledgers of --shards shards with so many samples in all are written by the ledger's own writer, each
sample with a request, an answer, a candidate, three verdicts and a vector of 384 dimensions. Then they are merged in a
process of its own. The time and the peak of its resident memory are shown. One sample of a thousand is planted as a
near-duplicate of a sample of another shard.
"""

import argparse
import json
import os
import random
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from multiprocessing import get_context
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np

from benchmarks.common import machine, print_table, write_figures
from benchmarks.orchestration import server
from synthgen.diversity.embedder import DiversityConfig
from synthgen.ledger import Ledger, Reader, Settled
from synthgen.records import Candidate, Completion, Message, PlannedSlot, Request, Sample, Sampling, Verdict, content_id

ROOT = Path(__file__).resolve().parents[1]
DIM = 384
TOPICS = 2_000
PLANTED = 1_000
LABELS = ("business", "science", "sport", "world")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--target", type=int, default=20_000, help="accepted samples of each run")
    parser.add_argument(
        "--least", type=int, default=8, help="accepted samples of the runs that show the cost of starting"
    )
    parser.add_argument("--delay", type=float, default=0.05, help="seconds that the servers take for an answer")
    parser.add_argument("--in-flight", type=int, default=256, help="requests in flight of a run, over its shards")
    parser.add_argument("--runs", type=int, default=3, help="runs of each kind; 0 for none")
    parser.add_argument("--merge", type=int, default=0, help="samples to merge; 0 for no merge")
    parser.add_argument("--shards", type=int, default=8, help="shards to merge")
    parser.add_argument("--folder", type=Path, help="keep the ledgers to merge here, and use those that are there")
    parser.add_argument("--out", type=Path, metavar="FILE.json", help="write the figures to this file")
    options = parser.parse_args()
    figures: dict[str, float] = {}
    if options.runs:
        figures |= loops(options)
    if options.merge:
        figures |= merging(options)
    print(machine())
    write_figures(options.out, figures)


# -- candidates a second -----------------------------------------------------------------------------


def loops(options: argparse.Namespace) -> dict[str, float]:
    """Return candidates a second and CPU milliseconds per candidate of runs with one and two shards."""
    runs: dict[int, list[dict[str, float]]] = {1: [], 2: []}
    with ExitStack() as stack:
        urls = [stack.enter_context(server(options.delay)) for _ in runs]
        for _ in range(options.runs):
            for count, found in runs.items():
                starting = run(count, urls, options.least, options)
                whole = run(count, urls, options.target, options)
                candidates = whole["candidates"] - starting["candidates"]
                cpu_ms = 1000 * (whole["cpu"] - starting["cpu"]) / candidates
                rates = {"candidates_per_s": "loop", "merged_per_s": "merged"}
                found.append(
                    {**{name: whole["candidates"] / whole[key] for name, key in rates.items()}, "cpu_ms": cpu_ms}
                )
    medians = {
        count: {key: statistics.median(one[key] for one in found) for key in found[0]} for count, found in runs.items()
    }
    table = [
        [
            str(count),
            f"{one['candidates_per_s']:,.0f}",
            f"{one['merged_per_s']:,.0f}",
            f"{one['cpu_ms']:.3f}",
            f"{one['cpu_ms'] / medians[1]['cpu_ms']:.2f}",
        ]
        for count, one in medians.items()
    ]
    print_table(
        f"{options.target:,} samples, median of {options.runs} runs",
        ["shards", "candidates/s", "with the merge", "CPU ms a candidate", "times one shard"], table,
    )  # fmt: skip
    flat = {f"shards_{count}.{key}": value for count, one in medians.items() for key, value in one.items()}
    return {**flat, "rate_over_first": medians[2]["candidates_per_s"] / medians[1]["candidates_per_s"]}


def run(count: int, urls: list[str], target: int, options: argparse.Namespace) -> dict[str, float]:
    """Make one run; return its candidates, the seconds of its loops, alone and with the merge, and the CPU seconds of all its
    processes.
    """
    with tempfile.TemporaryDirectory(prefix="synthgen-shards-") as folder:
        command = [
            sys.executable, "-m", "synthgen", "run", "experiment=smoke", "judge=none", "engine=openai",
            f"engine.urls=[{','.join(urls[:count])}]", "engine.model=stand-in", f"engine.in_flight={options.in_flight}",
            f"budget.target={target}", "run.dir=run", f"shards={count}",
        ]  # fmt: skip
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        env = {**os.environ, "PYTHONPATH": str(ROOT)}
        subprocess.run(command, cwd=folder, env=env, check=True, stdout=subprocess.DEVNULL)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        ledgers = [*Path(folder).glob("run/shards/*/ledger.sqlite")] or [Path(folder) / "run" / "ledger.sqlite"]
        spans, candidates = [], 0
        for ledger in ledgers:
            with Reader(ledger) as reader:
                spans += list(reader.rows("SELECT MIN(sent_at), MAX(sent_at + seconds) FROM requests WHERE slot >= 0"))
                candidates += reader.one("SELECT COUNT(*) FROM candidates")
        with Reader(Path(folder) / "run" / "ledger.sqlite") as reader:
            merged_at = reader.one("SELECT MAX(at) FROM events WHERE kind = 'merged'")
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    first, last = min(first for first, _ in spans), max(last for _, last in spans)
    return {"candidates": candidates, "loop": last - first, "merged": (merged_at or last) - first, "cpu": cpu}


# -- the merge ---------------------------------------------------------------------------------------


def merging(options: argparse.Namespace) -> dict[str, float]:
    """Return the seconds and peak memory of a merge of synthetic ledgers."""
    with ExitStack() as stack:
        folder = options.folder or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="synthgen-merge-")))
        each = options.merge // options.shards
        paths = [folder / str(number + 1) / "ledger.sqlite" for number in range(options.shards)]
        began = time.monotonic()
        with ProcessPoolExecutor(len(os.sched_getaffinity(0)), mp_context=get_context("spawn")) as pool:
            lacking = {number: path for number, path in enumerate(paths) if not path.is_file()}
            writing = {number: pool.submit(write_shard, path, number, each) for number, path in lacking.items()}
            for number, shard in writing.items():
                shard.result()
                seconds = time.monotonic() - began
                print(f"  {each:,} samples of shard {number + 1} are written after {seconds:,.0f} s", flush=True)
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
            (folder / "ledger.sqlite").unlink(missing_ok=True)
            found = pool.submit(merged, folder / "ledger.sqlite", paths).result()
    minutes, gigabytes = found["seconds"] / 60, found["peak_bytes"] / 1e9
    row = [
        f"{options.merge:,}",
        f"{minutes:.2f}",
        f"{found['cpu'] / 60:.2f}",
        f"{gigabytes:.2f}",
        f"{found['duplicates']:,.0f}",
    ]
    columns = ["samples", "minutes", "CPU minutes", "peak memory, GB", "duplicates found"]
    print_table(f"Merge of {options.shards} shards", [*columns, "planted"], [[*row, f"{found['planted']:,.0f}"]])
    return {f"merge.{key}": value for key, value in found.items()}


def merged(path: Path, shards: list[Path]) -> dict[str, float]:
    """Merge the shards into a new ledger; return seconds, CPU seconds, peak memory in bytes, and duplicates."""
    from synthgen.cluster.shards.exchange import Stage
    from synthgen.cluster.shards.merge import merge

    began, cpu = time.monotonic(), time.process_time()
    with Ledger.create(path, {}) as ledger:
        stage = Stage(1, [0] * len(shards), list(range(len(shards))))
        decided = merge(
            ledger, shards, stage, 0, news_task(), DiversityConfig(), lambda line: print(f"  {line}", flush=True)
        )
    found = {
        "seconds": time.monotonic() - began,
        "cpu": time.process_time() - cpu,
        "peak_bytes": 1024.0 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss,
        "duplicates": float(sum(map(len, decided.duplicates))),
        "kept": float(decided.kept),
    }
    with Reader(path) as reader:
        found["planted"] = float(reader.one("SELECT COUNT(*) FROM candidates WHERE template = 'planted'"))
        found["planted_found"] = float(
            reader.one("SELECT COUNT(*) FROM candidates WHERE template = 'planted' AND outcome = 'rejected'")
        )
        assert found["kept"] == reader.one("SELECT COUNT(*) FROM samples WHERE origin = 'synthetic'")
    return found


def news_task():
    from omegaconf import OmegaConf

    from synthgen.tasks.assets import root
    from synthgen.tasks.loading import load_task
    from synthgen.tasks.task import TaskConfig

    fields = OmegaConf.to_container(OmegaConf.load(root() / "conf/task/news_topic.yaml"))
    return load_task(TaskConfig(**fields), [])


def write_shard(path: Path, number: int, count: int) -> None:
    """Write the ledger of one shard with `count` samples, one in each slot."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(".unfinished")
    unfinished.unlink(missing_ok=True)
    message = Message(role="system", content="You write short news items." * 8)
    with Ledger.create(unfinished, {"engine": {"name": "replay", "version": "", "model": ""}}) as ledger:
        for slot, (text, vector, template) in enumerate(items(number, count)):
            label, key = LABELS[slot % len(LABELS)], f"{slot}/generate"
            if slot % 16 == 0:
                ledger.plan(
                    PlannedSlot(slot=slot + place, group=slot // 16, label=label, strategy="fewshot", parents=())
                    for place in range(min(16, count - slot))
                )
            ledger.sent(Request(id=key, messages=(message,), sampling=Sampling()), 0, slot, "generate")
            data = {"text": text, "label": label}
            ledger.answered(key, 0, Completion(text=json.dumps(data), finish_reason="stop", engine="replay"))
            candidate = Candidate(
                id=content_id(data), slot=slot, item=0, text=text, data=data, finish_reason="stop", parents=(), depth=1,
                strategy="fewshot", template=template, label=label,
            )  # fmt: skip
            candidate.embedding = vector
            sample = Sample(
                id=candidate.id, data=data, origin="synthetic", label=label, slot=slot, item=0, depth=1, strategy="fewshot",
                template=template,
            )  # fmt: skip
            verdicts = (Verdict(check="form"), Verdict(check="exact"), Verdict(check="near", score=0.5))
            write = ledger.settle(slot, "settled", [Settled(candidate, verdicts, sample)])
            if slot % 1_000 == 999:
                write.result()
    unfinished.rename(path)


def items(number: int, count: int) -> Iterator[tuple[str, np.ndarray, str]]:
    """Yield text, unit vector and template of each sample of a shard.

    The vectors are drawn around topics that all shards share. Each planted sample repeats one that the shard before wrote
    somewhat earlier, with a word more and a vector at a cosine of 0.99.
    """
    topics = unit(np.random.default_rng(0).standard_normal((TOPICS, DIM), dtype=np.float32))
    for slot in range(count):
        planted = number and slot % PLANTED == PLANTED - 1
        text, vector = item(number - 1, slot - PLANTED // 2, topics) if planted else item(number, slot, topics)
        if planted:
            noise = np.random.default_rng((number, slot, 1)).standard_normal(DIM, dtype=np.float32)
            noise = unit(noise - vector * float(noise @ vector))
            yield f"{text} today", unit(vector + 0.14 * noise), "planted"
        else:
            yield text, vector, "fewshot"


def item(number: int, slot: int, topics: np.ndarray) -> tuple[str, np.ndarray]:
    """Return the text and the vector of one sample that is not planted."""
    rng = np.random.default_rng((number, slot))
    vector = topics[rng.integers(TOPICS)] * 0.6 + 0.8 * unit(rng.standard_normal(DIM, dtype=np.float32))
    words = random.Random(f"{number}/{slot}")
    text = " ".join("".join(words.choices("abcdefghijklmnoprstuvw", k=words.randint(3, 9))) for _ in range(14))
    return text, unit(vector)


def unit(vectors: np.ndarray) -> np.ndarray:
    return np.asarray(vectors / np.linalg.norm(vectors, axis=-1, keepdims=True), dtype=np.float32)


if __name__ == "__main__":
    main()
