"""Compare runs on one, two and four replicas of a stand-in server: candidates a second, and the cached share of prompts.

    python benchmarks/replicas.py --out replicas.json

The servers answer after a fixed delay and work on a fixed number of requests at once, so the runs are bound by them, not
by this machine's cores. Their prefix cache keeps whole messages and never forgets.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.common import print_table, write_figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--replicas", type=int, nargs="+", default=[1, 2, 4])
    parser.add_argument("--target", type=int, default=600, help="accepted samples of each run")
    parser.add_argument("--delay", type=float, default=0.25, help="seconds that an answer takes")
    parser.add_argument("--batch", type=int, default=8, help="requests that a server works on at once")
    parser.add_argument("--in-flight", type=int, default=16, help="most requests in flight at a server")
    parser.add_argument("--out", type=Path, metavar="FILE.json", help="write the figures to this file")
    options = parser.parse_args()
    first = 0.0
    table: list[list[str]] = []
    figures: dict[str, float] = {}
    for count in options.replicas:
        with tempfile.TemporaryDirectory() as folder:
            summary = run(Path(folder) / "run", count, options)
        rate, tokens = summary["rate"]["candidates_per_s"], summary["tokens"]
        first = first or rate
        shares = " ".join(f"{one['cached_share']:.3f}" for one in tokens["replicas"].values())
        table.append([str(count), f"{rate:.1f}", f"{rate / first:.2f}", f"{tokens['cached_share']:.3f}", shares])
        figures |= {
            f"replicas_{count}.candidates_per_s": rate,
            f"replicas_{count}.over_first": rate / first,
            f"replicas_{count}.cached_share": tokens["cached_share"],
        }
    print_table("Replicas", ["replicas", "candidates/s", "times the first", "cached share", "by replica"], table)
    write_figures(options.out, figures)


def run(folder: Path, count: int, options: argparse.Namespace) -> dict:
    command = [
        sys.executable, "-m", "synthgen", "run", "experiment=smoke", f"run.dir={folder}", "engine=vllm",
        "engine.server=stand_in", "model.name=none", "student=none", f"engine.replicas={count}",
        f"budget.target={options.target}", f"engine.flags.delay={options.delay}",
        f"engine.flags.max-num-seqs={options.batch}", f"engine.in_flight={options.in_flight}",
    ]  # fmt: skip
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return dict(json.loads((folder / "summary.json").read_text()))


if __name__ == "__main__":
    main()
