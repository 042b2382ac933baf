"""Compare the removal of duplicates with semhash and Data-Juicer on the same rows: CPU seconds, peak memory, rows left.

    pip install semhash py-data-juicer
    python benchmarks/prepare_peers.py --rows 10000 --out peers.json

`near` is compared with Data-Juicer's MinHash (words and threshold set alike), `meaning` with semhash (the same embeddings). Each
runs in a process of its own on one thread, and the seconds are those of the whole process, start and reading included. A
peer that is not installed is left out.
"""

import argparse
import importlib.util
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.common import print_table, write_figures
from benchmarks.prepare import write_rows

_COSINE, _JACCARD, _WORDS = 0.95, 0.8, 5
PEERS = {"near": "", "data_juicer": "data_juicer", "meaning": "", "semhash": "semhash"}
"""Each subject, and the package that it needs."""
OURS = {"data_juicer": "near", "semhash": "meaning"}


def rows_of(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


def synthgen_step(step: dict[str, Any], file: Path) -> int:
    from synthgen.prepare import load, prepare

    with tempfile.TemporaryDirectory() as name:
        config = Path(name) / "steps.yaml"
        config.write_text(json.dumps({"steps": [step]}))
        done = prepare([str(file)], load(str(config)), Path(name) / "out")
        return int(done.summary["rows"]["prepared"])


def data_juicer(file: Path) -> int:
    from data_juicer.ops.deduplicator.document_minhash_deduplicator import DocumentMinhashDeduplicator
    from datasets import Dataset

    step = DocumentMinhashDeduplicator(
        tokenization="character", window_size=_WORDS, jaccard_threshold=_JACCARD, num_permutations=120
    )
    data = Dataset.from_list(rows_of(file))
    data = data.map(step.compute_hash)
    left, _ = step.process(data)
    return len(left)


def semhash(file: Path) -> int:
    from semhash import SemHash

    from synthgen.diversity.embedder import HashEncoder

    class Encoder:
        """Gives semhash the embeddings that `meaning` uses."""

        def encode(self, inputs: list[str], **_: Any) -> Any:
            return HashEncoder().encode(list(inputs))

    index = SemHash.from_records(records=[row["text"] for row in rows_of(file)], model=Encoder())
    return len(index.self_deduplicate(threshold=_COSINE).selected)


def one(name: str, file: Path) -> int:
    """Do the work of one subject, and return the rows that are left."""
    match name:
        case "near":
            return synthgen_step({"near": {"threshold": _JACCARD}}, file)
        case "meaning":
            return synthgen_step({"meaning": {"threshold": _COSINE, "embedder": "hash"}}, file)
        case "data_juicer":
            return data_juicer(file)
    return semhash(file)


def measured(name: str, file: Path) -> tuple[float, float, int]:
    """Run one subject in a process. Return its CPU seconds, its peak MiB, and the rows left."""
    call = [sys.executable, __file__, "--one", name, "--file", str(file), "--out", str(file.with_suffix(f".{name}"))]
    process = subprocess.Popen(call, stdout=subprocess.DEVNULL, env={**os.environ, "OMP_NUM_THREADS": "1"})
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{' '.join(call)}: exit code {process.returncode}")
    left = int(file.with_suffix(f".{name}").read_text())
    return usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024, left


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=10_000)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--one", choices=list(PEERS), help=argparse.SUPPRESS)
    parser.add_argument("--file", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        options.out.write_text(str(one(options.one, options.file)))
        return
    found: dict[str, tuple[float, float, int]] = {}
    with tempfile.TemporaryDirectory() as name:
        file = Path(name) / "rows.jsonl"
        write_rows(file, options.rows, 1)
        for subject, package in PEERS.items():
            if package and importlib.util.find_spec(package) is None:
                print(f"{subject}: not installed", file=sys.stderr)
                continue
            found[subject] = measured(subject, file)
            print(subject, *found[subject], file=sys.stderr)
    table, figures = [], {"rows": float(options.rows)}
    for subject, (seconds, peak, left) in found.items():
        ours = found[OURS[subject]][0] if subject in OURS else seconds
        table.append([subject, f"{options.rows / seconds:,.0f}", f"{seconds / ours:.2f}", f"{peak:,.0f}", left])
        figures |= {f"{subject}.cpu_s": seconds, f"{subject}.peak_mib": peak, f"{subject}.rows_left": float(left)}
    print_table(f"{options.rows:,} rows", ["subject", "rows/CPU s", "times ours", "peak MiB", "rows left"], table)
    write_figures(options.out, figures)


if __name__ == "__main__":
    main()
