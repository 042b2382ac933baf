"""Measure what a run survives: kills, full disks and broken engines, each followed by `synthgen resume`.

    python benchmarks/crash_safety.py --kills 200 --vllm-kills 5 --out crash_safety.json

The output is one table: fault, times injected, samples lost, work repeated, times resumed. `crash/probe.py` has the
checks after each fault. The faults are in `crash/replayed.py` (the replay engine, whose dataset must be equal byte for
byte), `crash/served.py` (servers over HTTP) and `crash/trained.py` (the student's training).
"""

import argparse
import re
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.common import print_table, write_figures
from benchmarks.crash.replayed import Replayed, all_points
from benchmarks.crash.served import FAULTS, Served
from benchmarks.crash.stage import Row
from benchmarks.crash.trained import Trained


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--kills", type=int, default=200, help="SIGKILLs of a run, half at random, half at named points"
    )
    parser.add_argument("--times", type=int, default=5, help="how often each other fault is injected")
    parser.add_argument("--trained", type=int, default=3, help="how often each fault of a training is injected")
    parser.add_argument("--served", type=int, default=2, help="how often each fault of a server is injected")
    parser.add_argument("--vllm-kills", type=int, default=5, help="kills of a real vLLM server in one run")
    parser.add_argument("--only", default="", help="inject only the faults whose names match this regular expression")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--keep", type=Path, help="work in this folder, and keep it")
    options = parser.parse_args()
    began = time.monotonic()
    rows: list[Row] = []
    with tempfile.TemporaryDirectory(prefix="synthgen-crash-") as place:
        for name, inject in injections(options, options.keep or Path(place)):
            if re.search(options.only, name):
                print(f"{time.monotonic() - began:5.0f} s  {name}", file=sys.stderr, flush=True)
                rows += inject()
    print_table(
        "Faults, each followed by `synthgen resume`",
        ["fault", "times", "lost", "repeated", "resumed"],
        [(row.fault, row.times, row.lost, row.repeated, row.resumed) for row in rows],
    )
    for row in rows:
        for note in row.notes:
            print(f"{row.fault}: {note}")
    print(f"{time.monotonic() - began:.0f} s")
    write_figures(options.out, figures(rows))
    return 0 if all(row.times == row.resumed and not row.lost and not row.repeated for row in rows) else 1


def injections(options: argparse.Namespace, place: Path) -> Iterator[tuple[str, Callable[[], list[Row]]]]:
    """Yield each injection by name, with the function that returns its lines of the table."""
    replayed, served = Replayed(place / "replayed", options.seed), Served(place / "served", options.seed)
    at_points, points, times = options.kills // 2, all_points(), options.times
    if options.kills:
        yield "SIGKILL", lambda: [replayed.kill_anywhere(options.kills - at_points)]
    for number, point in enumerate(points):
        share = at_points // len(points) + (number < at_points % len(points))
        if share:
            yield f"SIGKILL, {point}", partial(lambda p, n: [replayed.kill_at(p, n)], point, share)
    if times:
        yield "signals", lambda: replayed.signals(times)
        yield "SIGINT twice", lambda: [replayed.second_interrupt(times)]
        yield "second process", lambda: [replayed.second_process(times)]
        yield "disk full at the ledger", lambda: replayed.full_disk_at_the_ledger(times)
        yield "disk full at the export", lambda: [replayed.full_disk_at_export(times)]
        yield "torn page", lambda: [replayed.torn_page(times)]
        yield "deleted index", lambda: [replayed.deleted_index(times)]
        yield "changed config", lambda: [replayed.changed_config(times)]
    trained = Trained(place / "trained", options.seed)
    if options.trained:
        yield "SIGKILL in training", lambda: [trained.kill(options.trained)]
        yield "disk full at the checkpoint", lambda: [trained.full_disk(options.trained)]
    if options.served:
        for fault in FAULTS:
            yield fault.name, partial(lambda f: [served.fault(f, options.served)], fault)
        yield "poison prompt", lambda: [served.poison(options.served)]
        yield "engine dies for good", lambda: [served.dead_for_good(options.served)]
    if options.vllm_kills:
        yield "vLLM", lambda: [served.kill_vllm(options.vllm_kills)]


def figures(rows: list[Row]) -> dict[str, int]:
    """Return the headline figures, and the table's figures under each fault's name."""
    found = {
        "kills": sum(row.times for row in rows if row.fault.startswith("SIGKILL")),
        "faults": sum(row.times for row in rows),
        "lost": sum(row.lost for row in rows),
        "repeated": sum(row.repeated for row in rows),
        "resumed": sum(row.resumed for row in rows),
    }
    for row in rows:
        for key in ("times", "lost", "repeated", "resumed"):
            found[f"{row.fault}.{key}"] = getattr(row, key)
    return found


if __name__ == "__main__":
    sys.exit(main())
