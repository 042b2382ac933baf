"""Compare synthgen with distilabel and NeMo Data Designer: one model, one server, the same prompts.

    python benchmarks/peers.py --out peers.json                   # the stand-in server: what the clients cost
    python benchmarks/peers.py --server vllm --out peers.json     # vLLM with the bundled model, on this machine
    python benchmarks/peers.py --sweep --runs 1                   # the tunings from which the tuned lines are taken

Each round runs every client once, in processes of its own, at its defaults and tuned; figures are medians over the
rounds, ratios are taken within a round. Tuned synthgen has more requests in flight, and in one line two shards, whose time
includes their merge. The time for starting, importing and closing down is not counted for any client. The peers have no
checks of their own but, with `--judge`, the label check as one more request a row, so their figures are rows, or
rows whose label was confirmed, a second; synthgen's are accepted samples, behind all its checks and its ledger.
distilabel gets synthgen's messages as they are. Data Designer's columns have one system and one user prompt, so it
gets the same text with the turns of the conversation joined to one; all send the same grammar and sampling.
"""

import argparse
import contextlib
import json
import os
import sqlite3
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.common import machine, print_table, write_figures
from benchmarks.peer.comparison import Outcome, Round, figures, table
from benchmarks.peer.environments import ROOT, driver_environment, interpreter
from benchmarks.peer.plan import plan
from benchmarks.peer.servers import KEY, Server, stand_in, vllm
from benchmarks.peer.settings import Setting, settings, sweep

PROGRAMS = {"bare": "bare_client.py", "distilabel": "with_distilabel.py", "data_designer": "with_data_designer.py"}
ROWS, IN_FLIGHT = {"stand_in": 4000, "vllm": 400}, {"stand_in": 256, "vllm": 64}
_SECONDS = 1800


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--server", choices=list(ROWS), default="stand_in")
    parser.add_argument("--rows", type=int, help=f"rows a run, and synthgen's target; {ROWS} unless told")
    parser.add_argument("--delay", type=float, default=0.05, help="seconds that the stand-in takes for every answer")
    parser.add_argument("--in-flight", type=int, help=f"synthgen's and the bare client's; {IN_FLIGHT} unless told")
    parser.add_argument("--judge", action="store_true", help="also run with a check of every row's label")
    parser.add_argument("--sweep", action="store_true", help="run the peers at many tunings, but not at their defaults")
    parser.add_argument("--runs", type=int, default=3, help="rounds")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    count = options.rows or ROWS[options.server]
    in_flight = options.in_flight or IN_FLIGHT[options.server]
    lines = sweep(in_flight) if options.sweep else settings(in_flight, options.judge)
    programs = {peer: str(interpreter(peer)) for peer in ("distilabel", "data_designer")} | {"bare": sys.executable}
    with stand_in(options.delay) if options.server == "stand_in" else vllm() as server:
        warm = settings(4, options.judge)[0]
        ask(
            server, warm, programs["bare"], plan(4, options.judge, 0)
        )  # compiles the grammar before any client is timed
        rounds = [one_round(server, lines, programs, count, number) for number in range(options.runs)]
    print_table(
        f"{options.server} server, {count:,} rows a run, medians of {options.runs} runs",
        ["", "rows/s", "accepted/s", "range", "synthgen over it"],
        table(rounds, {line.key: line.label for line in lines}),
    )
    found = figures(rounds)
    for key in (name for name in found if "_over_best_" in name):
        print(f"{key.replace('_', ' ')}: {found[key]:.2f}")
    print(machine())
    write_figures(options.out, {**found, "server": options.server, "rows": count, "runs": options.runs})


def one_round(server: Server, lines: list[Setting], programs: dict[str, str], count: int, number: int) -> Round:
    """Run every client once, each with its own groups of demonstrations, so that none uses another's cached prompts."""
    found = {}
    for place, line in enumerate(lines):
        if line.client == "synthgen":
            found[line.key] = run_synthgen(server, line, count, seed=number)
        else:
            asked = plan(count, line.judge, first_group=(number * len(lines) + place) * count)
            found[line.key] = ask(server, line, programs[line.client], asked)
        print(f"round {number + 1}: {line.label}: {found[line.key].rate:,.1f}/s", file=sys.stderr, flush=True)
    return found


def ask(server: Server, line: Setting, python: str, asked: dict[str, object]) -> Outcome:
    """Run a client's program with a plan."""
    with tempfile.TemporaryDirectory(prefix="synthgen-peers-") as folder:
        work = Path(folder)
        told = asked | {"url": server.url, "model": server.model, "key": KEY, "knobs": line.knobs}
        (work / "plan.json").write_text(json.dumps(told))
        program = ROOT / "benchmarks" / "peer" / PROGRAMS[line.client]
        # -P: do not import from the program's own folder
        _run([python, "-P", str(program), "plan.json", "result.json"], work, driver_environment())
        return Outcome(**json.loads((work / "result.json").read_text()))


def run_synthgen(server: Server, line: Setting, count: int, seed: int) -> Outcome:
    """Run `synthgen run` with all checks and hash embeddings; its requests are no longer than the peers'.

    The seconds are those of the loop, including what it prepares before its first request; or, with the knob
    `from_first_request`, those from the first request for a sample, of any shard, to the end of the loop or of the merge.
    """
    with tempfile.TemporaryDirectory(prefix="synthgen-peers-") as folder:
        judge = ["judge=default", "judge.rubric.enabled=false"] if line.judge else ["judge=none"]
        overrides = ["experiment=smoke", "engine=openai", f"engine.urls=[{server.url}]", f"engine.model={server.model}",
                     f"engine.in_flight={line.knobs['in_flight']}", f"budget.target={count}", f"run.seed={seed}",
                     f"shards={line.knobs.get('shards', 1)}", "run.dir=run", "generate.copied_words=null",
                     "engine.request_seeds=false", *judge]  # fmt: skip
        env = {**os.environ, "PYTHONPATH": str(ROOT), "OPENAI_API_KEY": KEY}
        _run([sys.executable, "-m", "synthgen", "run", *overrides], Path(folder), env)
        summary = json.loads((Path(folder) / "run" / "summary.json").read_text())
        asking = (
            _seconds_of_asking(Path(folder) / "run" / "ledger.sqlite") if line.knobs.get("from_first_request") else None
        )
    counts = summary["counts"]
    return Outcome(counts["candidates"], counts["accepted"], asking or summary["seconds"]["loop"])


def _seconds_of_asking(path: Path) -> float:
    """Return the seconds from the first request for a sample to the end of the loop."""
    with contextlib.closing(sqlite3.connect(path)) as ledger:
        (began,) = ledger.execute("SELECT MIN(sent_at) FROM requests WHERE slot >= 0").fetchone()
        (ended,) = ledger.execute("SELECT MAX(at) FROM events WHERE kind = 'stopped'").fetchone()
    return float(ended - began)


def _run(command: list[str], work: Path, env: dict[str, str]) -> None:
    """Run a client; if it fails, end the benchmark with the client's last output."""
    with (work / "log").open("w+") as log:
        done = subprocess.run(command, cwd=work, env=env, stdout=log, stderr=log, timeout=_SECONDS)
        if done.returncode != 0:
            sys.exit(f"{' '.join(command)} failed:\n{(work / 'log').read_text()[-3000:]}")


if __name__ == "__main__":
    main()
