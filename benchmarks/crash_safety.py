"""What a run survives: real kills, full disks and broken engines, each followed by `synthgen resume`.

    python benchmarks/crash_safety.py --kills 200 --vllm-kills 5 --out crash_safety.json

Prints one table: fault, times injected, samples lost, work repeated, times resumed. What is checked
after each fault stands in `crash/probe.py`, what is injected in `crash/replayed.py` (the replay
engine, whose dataset must come out byte for byte) and `crash/served.py` (servers over HTTP).
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.common import print_table, write_figures
from benchmarks.crash.replayed import Replayed, all_points
from benchmarks.crash.served import FAULTS, Served
from benchmarks.crash.stage import Row


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--kills", type=int, default=200, help="SIGKILLs of a run, half at random, half at named points"
    )
    parser.add_argument("--times", type=int, default=5, help="how often each other fault is injected")
    parser.add_argument("--served", type=int, default=2, help="how often each fault of a server is injected")
    parser.add_argument("--vllm-kills", type=int, default=5, help="kills of a real vLLM server in one run")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--keep", type=Path, help="work in this folder, and leave it there")
    options = parser.parse_args()
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="synthgen-crash-") as place:
        rows = inject(options, options.keep or Path(place))
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


def inject(options: argparse.Namespace, place: Path) -> list[Row]:
    replayed = Replayed(place / "replayed", options.seed)
    points = all_points()
    at_points = options.kills // 2
    rows = [replayed.kill_anywhere(options.kills - at_points)]
    for number, point in enumerate(points):
        share = at_points // len(points) + (number < at_points % len(points))
        rows += [replayed.kill_at(point, share)] if share else []
    times = options.times
    if times:
        rows += replayed.signals(times)
        rows += [replayed.second_interrupt(times), replayed.second_process(times)]
        rows += [*replayed.full_disk_at_the_ledger(times), replayed.full_disk_at_export(times)]
        rows += [replayed.torn_page(times), replayed.deleted_index(times), replayed.changed_config(times)]
    served = Served(place / "served", options.seed)
    if options.served:
        rows += [served.fault(name, options.served) for name in FAULTS]
        rows += [served.poison(options.served), served.dead_for_good(options.served)]
    if options.vllm_kills:
        rows.append(served.kill_vllm(options.vllm_kills))
    return [row for row in rows if row.times]


def figures(rows: list[Row]) -> dict[str, int]:
    """The keys that others read, and the table's own figures under each fault's name."""
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
