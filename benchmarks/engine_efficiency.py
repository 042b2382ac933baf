"""Measure the share of the engine's own speed that the whole loop reaches, in output tokens per second.

    python benchmarks/engine_efficiency.py --out engine_efficiency.json

    python benchmarks/engine_efficiency.py engine.server=stand_in model.name=x diversity=hash '+engine.flags.delay=0.05'

First comes a run of `experiment=demo` with `news_topic`, judge included, with the default in-flight limit. It ends at a
number of candidates, so that it has no slow end near a target. Then a bare client, which does nothing else, sends the
requests of its ledger again in their order, through the same server with an emptied prefix cache. It has as many
requests in flight as the run had at most. Both are measured from a tenth of their answers to nine tenths, without the
start and the end. The replies of the two differ, so the figures compare tokens per second. The generation requests
alone, sent in the same way, give the judge's share of the engine's time. Each of `--runs` has its own server; figures
are medians over them. Other arguments go to `synthgen run`.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.common import machine, print_table, write_figures

ROOT = Path(__file__).resolve().parents[1]
FULL = 0.9
SKIPPED = 0.1  # share of the answers that is left out at each end


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("overrides", nargs="*", help="settings of the run, such as engine.in_flight=96")
    parser.add_argument("--candidates", type=int, default=400, help="number of candidates of a run")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    runs = []
    for number in range(options.runs):
        runs.append(measure([*options.overrides, f"run.seed={number}"], options.candidates))
        print(f"run {number + 1} of {options.runs}: efficiency {runs[-1]['efficiency']:.3f}", file=sys.stderr)
    found = {key: statistics.median(run[key] for run in runs) for key in runs[0]}
    show(found, runs, options.candidates)
    write_figures(options.out, {**found, "runs": options.runs, "efficiencies": [run["efficiency"] for run in runs]})


def measure(overrides: list[str], candidates: int) -> dict[str, float]:
    """Return the figures of one run and its replays."""
    with tempfile.TemporaryDirectory(prefix="synthgen-efficiency-") as folder:
        settings = ["experiment=demo", "task=news_topic", "student=none", "budget.target=1000000",
                    f"budget.candidates={candidates}", "engine.in_flight=null",
                    '+engine.env.VLLM_SERVER_DEV_MODE="1"', *overrides, "run.dir=run"]  # fmt: skip
        command = [sys.executable, "-m", "benchmarks.efficiency.child", "run", *settings]
        done = subprocess.run(
            command, cwd=folder, env={**os.environ, "PYTHONPATH": str(ROOT)}, stdout=subprocess.PIPE, text=True
        )
        if done.returncode:
            raise SystemExit(f"{' '.join(command)} ended with exit code {done.returncode}:\n{done.stdout}")
        measured = json.loads((Path(folder) / "measured.json").read_text())
        summary = json.loads((Path(folder) / "run" / "summary.json").read_text())
    return figures(measured, summary)


def figures(measured: dict[str, Any], summary: dict[str, Any]) -> dict[str, float]:
    """Compute the figures of one run and its replays."""
    began, ended = measured["loop"]
    run, replay, bare = measured["run"], measured["replays"]["replay"], measured["replays"]["without_judge"]
    mine, its, generation = (steady(part["answered"]) for part in (run, replay, bare))
    readings = measured["readings"]
    full_at = FULL * min(measured["max_num_seqs"] or measured["most"], measured["most"])
    whole = [whole_rate(run["answered"], began, ended)]
    whole += [whole_rate(part["answered"], part["began"], part["answered"][-1][0]) for part in (replay, bare)]
    duration = {name: part["answered"][-1][0] - part["answered"][0][0] for name, part in measured["replays"].items()}
    last = within(readings, began, ended)[-1]
    tokens = summary["tokens"]
    return {
        "efficiency": mine["rate"] / its["rate"],
        "efficiency_whole": whole[0] / whole[1],
        "run.output_tokens_per_s": mine["rate"],
        "replay.output_tokens_per_s": its["rate"],
        "without_judge.output_tokens_per_s": generation["rate"],
        "run.output_tokens_per_s_whole": whole[0],
        "replay.output_tokens_per_s_whole": whole[1],
        "without_judge.output_tokens_per_s_whole": whole[2],
        "run.batch_full": batch_full(readings, mine, full_at),
        "replay.batch_full": batch_full(readings, its, full_at),
        "without_judge.batch_full": batch_full(readings, generation, full_at),
        "run.running": mean_running(readings, mine),
        "replay.running": mean_running(readings, its),
        "without_judge.running": mean_running(readings, generation),
        "preemptions": last["preemptions"],
        "cached_share": tokens["cached"] / tokens["prompt"],
        "cached_share_generator": tokens["generator"]["cached"] / tokens["generator"]["prompt"],
        "cached_share_judge": tokens["judge"]["cached"] / max(1, tokens["judge"]["prompt"]),
        "cached_share_server": last["cache_hits"] / max(1, last["cache_queries"]),
        "judge_share": 1 - duration["without_judge"] / duration["replay"],
        "own_cpu_share": measured["own_cpu_seconds"] / (ended - began) / len(os.sched_getaffinity(0)),
        "requests": len(run["answered"]),
        "in_flight": run["in_flight"],
    }


def steady(answered: list[tuple[float, int]]) -> dict[str, float]:
    """Return the output tokens per second between a tenth and nine tenths of the answers, and that time span."""
    answered = sorted(answered)
    skipped = int(SKIPPED * len(answered))
    middle = answered[skipped : len(answered) - skipped]
    began, ended = middle[0][0], middle[-1][0]
    return {"began": began, "ended": ended, "rate": sum(tokens for _, tokens in middle[1:]) / (ended - began)}


def whole_rate(answered: list[tuple[float, int]], began: float, ended: float) -> float:
    return sum(tokens for _, tokens in answered) / (ended - began)


def within(readings: list[dict[str, float]], began: float, ended: float) -> list[dict[str, float]]:
    return [reading for reading in readings if began <= reading["at"] <= ended]


def batch_full(readings: list[dict[str, float]], part: dict[str, float], full_at: float) -> float:
    """Return the share of readings in which the batch was at least nine tenths full."""
    found = within(readings, part["began"], part["ended"])
    return sum(reading["running"] >= full_at for reading in found) / max(1, len(found))


def mean_running(readings: list[dict[str, float]], part: dict[str, float]) -> float:
    found = within(readings, part["began"], part["ended"])
    return statistics.fmean(reading["running"] for reading in found) if found else 0.0


def show(found: dict[str, float], runs: list[dict[str, float]], candidates: int) -> None:
    rows = [
        (title, f"{found[f'{name}.output_tokens_per_s']:,.0f}", f"{found[f'{name}.output_tokens_per_s_whole']:,.0f}",
         f"{found[f'{name}.running']:.1f}", f"{found[f'{name}.batch_full']:.0%}")
        for name, title in (("run", "the run"), ("replay", "its requests, bare client"),
                            ("without_judge", "generation alone, bare client"))
    ]  # fmt: skip
    print_table(
        f"{candidates} candidates, median of {len(runs)} runs",
        ["", "output tokens/s", "from start to end", "running", "batch 90% full"],
        rows,
    )
    spread = ", ".join(f"{run['efficiency']:.3f}" for run in runs)
    print(f"efficiency {found['efficiency']:.3f} ({spread}); from start to end {found['efficiency_whole']:.3f}")
    print(
        f"preemptions {found['preemptions']:.0f}; cached share of prompt tokens {found['cached_share']:.2f} (generation"
        f" {found['cached_share_generator']:.2f}, judge {found['cached_share_judge']:.2f}; by the server's own count"
        f" {found['cached_share_server']:.2f}); judge's share of engine time {found['judge_share']:.1%};"
        f" synthgen's own share of the CPUs {found['own_cpu_share']:.1%}"
    )
    print(machine())


if __name__ == "__main__":
    main()
