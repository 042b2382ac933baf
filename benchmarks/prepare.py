"""Measure each step of `synthgen prepare`: rows a second, and peak memory, each step in a process of its own.

    python benchmarks/prepare.py --rows 100000 --out prepare.json

The rows are made up from a fixed seed: 8 to 40 words, with exact copies (5%), near copies (5%), broken encodings, HTML and
personal data among them. "rows/s" counts the step alone, without reading and writing. "whole" is the process: start,
reading, step, writing. Peak memory is the largest resident size of the process; "read" is a chain without any work.
"""

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.common import print_table, write_figures

_NOTHING = {"encoding": False, "form": "none", "width": "none", "space": False, "control": False, "markup": False}
STEPS: dict[str, object] = {
    "read": {"repair": {**_NOTHING, "empty": "keep"}},
    "repair": "repair",
    "personal": "personal",
    "personal_names": {"personal": {"kinds": ["email", "phone", "name", "address"]}},
    "exact": "exact",
    "near": "near",
    "outliers": "outliers",
    "safety": "safety",
    "bias": "bias",
    "label_noise": {"label_noise": {"embedder": "hash"}},
    "contradictions": "contradictions",
    "decontaminate": {"decontaminate": {"files": ["held_out.jsonl"]}},
    "decontaminate_meaning": {"decontaminate": {"files": ["held_out.jsonl"], "meaning": 0.9, "embedder": "hash"}},
    "split": "split",
    "balance": "balance",
    "language": {"language": {"others": "mark", "among": ["en", "zh", "de", "fr", "es"]}},
    "meaning": {"meaning": {"embedder": "hash"}},
    "default": "",
}
_SYLLABLES = ("ba", "mer", "to", "lin", "gra", "sol", "ket", "vi", "dun", "por", "el", "ash", "fro", "ny", "tic", "wu")


def write_rows(file: Path, count: int, seed: int) -> None:
    """Write `count` made-up rows."""
    rng = random.Random(seed)
    words = ["".join(rng.choices(_SYLLABLES, k=rng.randint(1, 3))) for _ in range(8000)]
    recent: list[str] = []
    with file.open("w", encoding="utf-8") as out:
        for number in range(count):
            draw = rng.random()
            if recent and draw < 0.1:
                text = rng.choice(recent)
                text = text if draw < 0.05 else f"{text} {rng.choice(words)}"
            else:
                text = " ".join(rng.choices(words, k=rng.randint(8, 40)))
            if draw > 0.95:
                text = rng.choice((f"{text} — itâ€™s", f"<p>{text}</p>", f"{text} call +44 7700 900{number % 900 + 100}",
                                   f"{text} mail a{number}@lamp.example"))  # fmt: skip
            recent = [*recent[-2000:], text] if number % 5 == 0 else recent
            out.write(json.dumps({"text": text, "label": rng.choice("abcd"), "id": number}) + "\n")


def measured(rows: Path, config: str, out: Path) -> tuple[float, float, float, int]:
    """Run `synthgen prepare`. Return the steps' own seconds, those of the process, its peak MiB, and the rows left."""
    start = time.perf_counter()
    call = [sys.executable, "-m", "synthgen", "prepare", str(rows), "--config", config, "--out", str(out)]
    process = subprocess.Popen(call, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{' '.join(call)}: exit code {process.returncode}")
    summary = json.loads((out / "summary.json").read_text())
    own = sum(step["seconds"] for step in summary["steps"].values())
    return own, time.perf_counter() - start, usage.ru_maxrss / 1024, summary["rows"]["prepared"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--steps", nargs="*", choices=list(STEPS), default=list(STEPS))
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    figures: dict[str, float] = {"rows": options.rows}
    table = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_rows(folder / "rows.jsonl", options.rows, 1)
        write_rows(folder / "held_out.jsonl", 2000, 2)
        for step in options.steps:
            config = folder / f"{step}.yaml"
            config.write_text(json.dumps({"steps": [STEPS[step]]}))
            where = "default" if step == "default" else str(config)
            own, whole, peak, left = measured(folder / "rows.jsonl", where, folder / f"out-{step}")
            rate = options.rows / max(own, 1e-9)
            figures |= {f"{step}.rows_per_s": rate, f"{step}.whole_s": whole, f"{step}.peak_mib": peak}
            table.append([step, f"{rate:,.0f}", f"{whole:.1f}", f"{peak:,.0f}", left])
            print(*table[-1], file=sys.stderr)
    print_table(f"{options.rows:,} rows", ["step", "rows/s", "whole s", "peak MiB", "rows left"], table)
    write_figures(options.out, figures)


if __name__ == "__main__":
    main()
