"""Measure versions of a dataset: seconds, memory and disk of the first version and of many later ones.

    python benchmarks/versions.py --rows 100000 --versions 100 --out versions.json

The rows are made up from a fixed seed: 8 to 40 words and a label. Before each later version, `--changes` rows get another
text, and as many another label. Commands are processes of their own, except for the versions between the first and the last. Seconds are
those of the processor. Peak memory is the largest resident size.
"""

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.common import print_table, write_figures
from synthgen.versions import Library, Store, freeze_dataset

_SYLLABLES = ("ba", "mer", "to", "lin", "gra", "sol", "ket", "vi", "dun", "por", "el", "ash", "fro", "ny", "tic", "wu")


def made(rng: random.Random, words: list[str]) -> dict[str, str]:
    """Return a made-up row."""
    return {"text": " ".join(rng.choices(words, k=rng.randint(8, 40))), "label": rng.choice("abcd")}


def measured(folder: Path, *words: str) -> tuple[float, float]:
    """Run `synthgen`. Return the seconds of the processor and the peak MiB of the process."""
    call = [sys.executable, "-m", "synthgen", *words]
    process = subprocess.Popen(call, cwd=folder, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{' '.join(call)}: exit code {process.returncode}")
    return usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024


def size_of(folder: Path) -> float:
    """Return the megabytes of all files of a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--versions", type=int, default=100)
    parser.add_argument("--changes", type=int, default=100)
    parser.add_argument("--out", type=Path, metavar="FILE.json", help="write the figures to this file")
    options = parser.parse_args()
    rng = random.Random(1)
    words = ["".join(rng.choices(_SYLLABLES, k=rng.randint(1, 3))) for _ in range(8000)]
    rows = [made(rng, words) for _ in range(options.rows)]
    figures: dict[str, float] = {"rows": options.rows, "versions": options.versions, "changes": 2 * options.changes}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        data, store = folder / "data", folder / "versions"
        data.mkdir()
        library = Library(Store(store))
        for number in range(options.versions):
            if number:
                for row in rng.sample(range(options.rows), options.changes):
                    rows[row] = made(rng, words)
                for row in rng.sample(range(options.rows), options.changes):
                    rows[row] = {**rows[row], "label": rng.choice("abcd")}
            (data / "train.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
            if 0 < number < options.versions - 1:
                freeze_dataset(library, str(data), name="made")
                continue
            took, peak = measured(folder, "version", "data", "--name", "made")
            if not number:
                figures |= {"first.seconds": took, "first.peak_mib": peak, "first.store_mb": size_of(store)}
        figures |= {"data_mb": size_of(data), "last.seconds": took, "last.peak_mib": peak}
        figures["last.store_mb"] = size_of(store)
        figures["store_ratio"] = figures["last.store_mb"] / figures["first.store_mb"]
        for verb, call in (
            ("unchanged", ("version", "data", "--name", "made")),
            ("diff", ("diff", "made@1", "made")),
            ("checkout", ("version", "made", "--checkout", "back")),
            ("merge", ("merge", "made@1", "made", "--out", "both")),
        ):
            figures[f"{verb}.seconds"], figures[f"{verb}.peak_mib"] = measured(folder, *call)
    table = [
        [verb, f"{figures[f'{verb}.seconds']:.1f}", f"{figures[f'{verb}.peak_mib']:,.0f}"]
        for verb in ("first", "last", "unchanged", "diff", "checkout", "merge")
    ]
    print_table(f"{options.rows:,} rows, {options.versions} versions", ["command", "CPU s", "peak MiB"], table)
    print(
        f"dataset {figures['data_mb']:.1f} MB; store {figures['first.store_mb']:.1f} MB after 1 version,"
        f" {figures['last.store_mb']:.1f} MB after {options.versions}: {figures['store_ratio']:.2f} times as much"
    )
    write_figures(options.out, figures)


if __name__ == "__main__":
    main()
