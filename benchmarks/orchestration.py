"""Measure the loop's speed when the engine is not the bottleneck: a stand-in server that answers after a fixed delay.

    python benchmarks/orchestration.py --out orchestration.json

Each line is the median of `--runs` whole runs of `synthgen run` (candidates divided by the loop's seconds). Main-thread
CPU is that of the thread that runs the event loop and all checks; next to it stand those of the ledger's thread, of the
thread that embeds (by hashing here) and searches, and of all threads of the process. `bare client` sends the same bodies and keeps nothing: the cost of
HTTP alone.
"""

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.common import machine, print_table, write_figures

ROOT = Path(__file__).resolve().parents[1]
SETTINGS = {
    "generate + checks, 256 in flight": (256, "judge=none"),
    "generate + checks, 1,024 in flight": (1024, "judge=none"),
    "with label check and rubric, 256 in flight": (256, "judge=default"),
    "with label check and rubric, 1,024 in flight": (1024, "judge=default"),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--target", type=int, default=4000, help="number of accepted samples of a run")
    parser.add_argument("--delay", type=float, default=0.05, help="seconds that the server takes for every answer")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    table, figures = [], {}
    with server(options.delay) as url:
        bare = statistics.median(asyncio.run(ask(url, options.target, 256)) for _ in range(options.runs))
        table.append(("bare client, 256 in flight", f"{bare:,.0f}", "", "", "", "", ""))
        for name, (in_flight, judge) in SETTINGS.items():
            runs = [measure(url, in_flight, judge, options.target) for _ in range(options.runs)]
            found = {key: statistics.median(run[key] for run in runs) for key in runs[0]}
            figures[name] = found
            table.append(
                (name, f"{found['candidates_per_s']:,.0f}", f"{found['candidates_per_s'] / bare:.2f}",
                 f"{found['main_ms']:.3f}", f"{found['ledger_ms']:.3f}", f"{found['embedder_ms']:.3f}",
                 f"{found['all_ms']:.3f}")
            )  # fmt: skip
    title = f"Server delay {1000 * options.delay:.0f} ms, {options.target} accepted, median of {options.runs} runs"
    columns = ["", "candidates/s", "of bare client", "ms/cand., main", "ledger", "embedder", "all threads"]
    print_table(title, columns, table, 140)
    print(machine())
    headline = next(iter(figures.values()))
    flat = {f"{name}.{key}": value for name, found in figures.items() for key, value in found.items()}
    headlines = {"candidates_per_s": headline["candidates_per_s"], "ms_per_candidate": headline["main_ms"]}
    write_figures(options.out, {**headlines, "bare_requests_per_s": bare, **flat})


@contextmanager
def server(delay: float) -> Iterator[str]:
    """Start a stand-in server and yield its address."""
    command = [sys.executable, "-m", "synthgen.engines.fake.stand_in", "--port", "0", "--delay", str(delay)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": str(ROOT)})
    assert process.stdout is not None
    try:
        yield process.stdout.readline().strip()
    finally:
        process.terminate()
        process.wait()


def measure(url: str, in_flight: int, judge: str, target: int) -> dict[str, float]:
    """Make one run; return candidates per second and milliseconds of CPU per candidate."""
    with tempfile.TemporaryDirectory(prefix="synthgen-orchestration-") as folder:
        child = Path(__file__).with_name("timed_run.py")
        overrides = ["experiment=smoke", "engine=openai", f"engine.urls=[{url}]", "engine.model=stand-in", judge,
                     f"engine.in_flight={in_flight}", f"budget.target={target}", "run.dir=run"]  # fmt: skip
        env = {**os.environ, "PYTHONPATH": str(ROOT)}
        command = [sys.executable, str(child), "run", *overrides]
        subprocess.run(command, cwd=folder, env=env, check=True, stdout=subprocess.DEVNULL)
        summary = json.loads((Path(folder) / "run" / "summary.json").read_text())
        spent = json.loads((Path(folder) / "spent.json").read_text())
    candidates = summary["counts"]["candidates"]
    return {
        "candidates_per_s": candidates / spent["loop_seconds"],
        "main_ms": 1000 * spent["main_cpu"] / candidates,
        "ledger_ms": 1000 * spent["ledger_cpu"] / candidates,
        "embedder_ms": 1000 * spent["embedder_cpu"] / candidates,
        "all_ms": 1000 * spent["all_cpu"] / candidates,
    }


async def ask(url: str, count: int, in_flight: int) -> float:
    """Return the requests per second of a client that does nothing else."""
    import aiohttp
    import orjson

    schema = {"type": "object", "properties": {"text": {"type": "string", "maxLength": 180}}, "required": ["text"]}
    left = iter(range(count))

    async def worker(session: aiohttp.ClientSession) -> None:
        for number in left:
            body = {"model": "stand-in", "messages": [{"role": "user", "content": f"Write item {number} about sport."}],
                    "max_tokens": 128, "structured_outputs": {"json": schema}}  # fmt: skip
            async with session.post(f"{url}/chat/completions", data=orjson.dumps(body)) as response:
                orjson.loads(await response.read())

    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector, headers={"Content-Type": "application/json"}) as session:
        began = time.monotonic()
        await asyncio.gather(*(worker(session) for _ in range(in_flight)))
        return count / (time.monotonic() - began)


if __name__ == "__main__":
    main()
