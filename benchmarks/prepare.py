"""Measure each step of `synthgen prepare`: rows per CPU second and peak memory, each step in a process of its own.

    python benchmarks/prepare.py --rows 100000 --out prepare.json

The rows are made up from a fixed seed: 8 to 40 words, with exact copies (5%), near copies (5%), broken encodings, HTML and
personal data among them. CPU seconds (user and system) are counted, because other jobs on the machine hardly change them. "CPU
s" is that of the whole process. "rows/CPU s" is the rate of the step alone: without the start, and without reading and writing,
which `read` measures, a chain without any work. For `read`, `sql` and `html` (rows read from SQLite and from web pages) it
includes reading and writing. Peak memory is the largest resident size of the process. "load" is the load average of the machine
at the end of the step. Steps that ask a model or read web pages get at most the rows that `MOST` names.
"""

import argparse
import json
import os
import random
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

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
    "safety_guard": {
        "safety": {"guard": {"kind": "transformers"}, "categories": ["S1"], "words": [], "injection": "none"}
    },
    "bias": "bias",
    "label_noise": {"label_noise": {"embedder": "hash"}},
    "label_noise_bundled": "label_noise",
    "contradictions": "contradictions",
    "decontaminate": {"decontaminate": {"files": ["held_out.jsonl"]}},
    "decontaminate_meaning": {"decontaminate": {"files": ["held_out.jsonl"], "meaning": 0.9, "embedder": "hash"}},
    "decontaminate_bundled": {"decontaminate": {"files": ["held_out.jsonl"], "meaning": 0.9}},
    "split": "split",
    "balance": "balance",
    "perplexity": "perplexity",
    "sql": {"repair": {**_NOTHING, "empty": "keep"}},
    "html": {"repair": {**_NOTHING, "empty": "keep"}},
    "language": {"language": {"others": "mark", "among": ["en", "zh", "de", "fr", "es"]}},
    "meaning": {"meaning": {"embedder": "hash"}},
    "meaning_bundled": "meaning",
    "default": "",
}
MOST = {
    "perplexity": 5000,
    "html": 20_000,
    "safety_guard": 2000,
    "meaning_bundled": 50_000,
    "label_noise_bundled": 50_000,
    "decontaminate_bundled": 50_000,
}
"""Most rows of steps that take long for each."""
READING = ("read", "sql", "html")
"""Chains that do nothing: only reading and writing are measured."""
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


def write_database(file: Path, rows: Path) -> None:
    """Write the rows into the table `rows` of a new SQLite file."""
    lines = (json.loads(line) for line in rows.open(encoding="utf-8"))
    with closing(sqlite3.connect(file)) as base, base:
        base.execute("CREATE TABLE rows (id INTEGER, text TEXT, label TEXT)")
        base.executemany("INSERT INTO rows VALUES (:id, :text, :label)", lines)


def write_pages(folder: Path, rows: Path) -> list[Path]:
    """Write a web page for each row: an article of eight paragraphs with menu, side column and footer."""
    folder.mkdir()
    files = []
    for number, line in enumerate(rows.open(encoding="utf-8")):
        text = json.loads(line)["text"]
        paragraphs = "".join(f"<p>{part}. {text}.</p>" for part in text.split()[:8])
        files.append(folder / f"{number}.html")
        files[-1].write_text(
            f"<html><head><title>Page {number}</title></head><body><nav><a href='/'>Home</a> <a href='/all'>All</a></nav>"
            f"<article><h1>Page {number}</h1>{paragraphs}</article><aside>Read more</aside><footer>Lamps</footer></body></html>",
            encoding="utf-8",
        )
    return files


class Measured(NamedTuple):
    own: float
    """Seconds of the steps themselves."""
    cpu: float
    """CPU seconds of the whole process, user and system."""
    peak: float
    """The largest resident size, in MiB."""
    left: int


def measured(inputs: Sequence[str], config: str, out: Path) -> Measured:
    """Run `synthgen prepare` in a process, and return its figures."""
    call = [sys.executable, "-m", "synthgen", "prepare", *inputs, "--config", config, "--out", str(out)]
    with (out.parent / "stderr.txt").open("w+") as said:
        process = subprocess.Popen(call, stdout=subprocess.DEVNULL, stderr=said)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            said.seek(0)
            raise SystemExit(f"{' '.join(call)[:500]}: exit code {process.returncode}: {said.read()[-2000:]}")
    summary = json.loads((out / "summary.json").read_text())
    own = sum(step["seconds"] for step in summary["steps"].values())
    return Measured(own, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024, summary["rows"]["prepared"])


def inputs_of(step: str, count: int, folder: Path) -> list[str]:
    """Return the arguments that name the rows of a step, and write files that are not there yet."""
    rows = folder / f"rows-{count}.jsonl"
    if not rows.exists():
        write_rows(rows, count, 1)
    if step == "sql":
        write_database(folder / "rows.db", rows)
        return ["--sql", f"sqlite:///{folder / 'rows.db'}", "--query", "SELECT * FROM rows"]
    return [str(file) for file in write_pages(folder / "pages", rows)] if step == "html" else [str(rows)]


def _config(step: str, folder: Path) -> str:
    """Return the config of a chain with one step."""
    config = folder / f"{step}.yaml"
    config.write_text(json.dumps({"steps": [STEPS[step]]}))
    return "default" if step == "default" else str(config)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--steps", nargs="*", choices=list(STEPS), default=list(STEPS))
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    figures: dict[str, float] = {"rows": options.rows}
    table: list[list[object]] = []
    read = 0.0  # CPU seconds of reading and writing a row
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_rows(folder / "held_out.jsonl", 2000, 2)
        start = measured(inputs_of("read", 10, folder), _config("read", folder), folder / "start").cpu
        for step in options.steps:
            count = min(options.rows, MOST.get(step, options.rows))
            done = measured(inputs_of(step, count, folder), _config(step, folder), folder / f"out-{step}")
            shutil.rmtree(folder / f"out-{step}")
            each = (done.cpu - start) / count
            read = each if step == "read" else read
            rate = 1 / max(each - (0 if step in READING else read), 1e-9)
            figures |= {f"{step}.rows": count, f"{step}.rows_per_cpu_s": rate, f"{step}.cpu_s": done.cpu}
            figures |= {f"{step}.peak_mib": done.peak, f"{step}.load": os.getloadavg()[0], f"{step}.step_s": done.own}
            shown = f"{rate:,.0f}", f"{done.cpu:.1f}", f"{done.peak:,.0f}", f"{os.getloadavg()[0]:.0f}"
            table.append([step, f"{count:,}", *shown, done.left])
            print(*table[-1], file=sys.stderr, flush=True)
            write_figures(options.out, figures)
    columns = ["step", "rows", "rows/CPU s", "CPU s", "peak MiB", "load", "rows left"]
    print_table(f"{options.rows:,} rows", columns, table)


if __name__ == "__main__":
    main()
