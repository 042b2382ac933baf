"""Measure whether every label gets its share of the target, and how many requests are wasted.

    python benchmarks/balance.py --out balance.json

The replay engine writes, with delays and with faults: duplicates, replies that are cut off, and texts of another label
than the requested one. Each line is one run. It is then resumed to half as many samples again, and forked, with its
accepted samples, to as many more. `labels` gives the fewest and the most accepted samples of a label, next to its
share. `unused` is the share of output tokens of candidates that were still in flight at the end, or whose label had its
share already. `generations` is the length of the longest chain of prompts in which each could show samples from the
one before.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.common import machine, print_table, write_figures

ROOT = Path(__file__).resolve().parents[1]
FAULTS = ["engine.delay=0.02", "engine.jitter=0.02", "engine.repeat=0.1", "engine.broken=0.1", "engine.astray=0.1"]
COLUMNS = ["labels", "target", "labels' share", "accepted", "unused", "generations", "fed back", "resumed", "forked"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--labels", type=int, nargs="+", default=[3, 10, 40])
    parser.add_argument("--targets", type=int, nargs="+", default=[20, 60, 120, 200])
    parser.add_argument("--in-flight", type=int, default=64)
    parser.add_argument("--embedder", choices=["hash", "minilm"], default="hash",
                        help="with minilm candidates are relabelled, with hash they are rejected")  # fmt: skip
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    settings = [*FAULTS, f"engine.in_flight={options.in_flight}", f"diversity={options.embedder}"]
    table, figures = [], dict[str, float]()
    with tempfile.TemporaryDirectory(prefix="synthgen-balance-") as folder:
        for labels in options.labels:
            for target in options.targets:
                runs = measure(Path(folder), labels, target, settings)
                table.append(row(labels, target, runs))
                for name, found in runs.items():
                    figures |= {f"{labels}.{target}.{name}.{key}": value for key, value in found.items()}
    print_table(f"Replay with faults, {options.in_flight} in flight", COLUMNS, table, 130)
    print(machine())
    ends = [value for key, value in figures.items() if key.endswith(".off")]
    used = [value for key, value in figures.items() if key.endswith(".unused_share") and target_of(key) >= 60]
    headline = {"most_off": max(ends), "most_unused": max(used, default=0.0)}
    write_figures(options.out, {**headline, **figures})


def target_of(key: str) -> int:
    return int(key.split(".")[1])


def row(labels: int, target: int, runs: dict[str, dict[str, float]]) -> Sequence[str]:
    first = runs["run"]

    def counts(name: str) -> str:
        return f"{runs[name]['least']:.0f} to {runs[name]['most']:.0f} of {runs[name]['share']:.1f}"

    return (
        str(labels), str(target), f"{first['share']:.1f}", f"{first['least']:.0f} to {first['most']:.0f}",
        f"{first['unused_share']:.3f}", f"{first['generations']:.0f}", f"{first['fed_back']:.2f}", counts("resumed"),
        counts("forked"),
    )  # fmt: skip


def measure(folder: Path, labels: int, target: int, settings: Sequence[str]) -> dict[str, dict[str, float]]:
    """Return the figures of a run, of its resume, and of a fork of the resumed run."""
    name, more = f"{labels}-{target}", target + target // 2
    write_task(folder / name, labels)
    synthgen(folder / name, "run", "--config-dir", "conf", "experiment=smoke", "task=mine", "run.dir=run",
             f"budget.target={target}", *settings)  # fmt: skip
    found = {"run": read(folder / name / "run")}
    synthgen(folder / name, "resume", "run", f"budget.target={more}")
    found["resumed"] = read(folder / name / "run")
    synthgen(folder / name, "resume", "run", "--fork", "forked", f"budget.target={more + target}", "run.seed=1")
    found["forked"] = read(folder / name / "forked")
    return found


def write_task(folder: Path, labels: int) -> None:
    """Write a task with this many labels and two seeds per label."""
    names = [f"topic{number:02}" for number in range(labels)]
    (folder / "conf/task").mkdir(parents=True)
    task = {
        "name": "mine", "kind": "classification", "description": "Short texts by topic.", "language": "en",
        "schema": {"type": "object", "required": ["text", "label"],
                   "properties": {"text": {"type": "string", "minLength": 8, "maxLength": 120}, "label": {"enum": names}}},
        "input": ["text"], "target": ["label"], "labels": {name: f"all about {name}" for name in names},
        "rubric": {"natural": "It reads like a text."}, "prompts": "classification", "seeds": "seeds.jsonl",
    }  # fmt: skip
    (folder / "conf/task/mine.yaml").write_text(json.dumps(task))
    lines = [json.dumps({"text": text, "label": name}) for name in names for text in seeds(name)]
    (folder / "seeds.jsonl").write_text("\n".join(lines))


def seeds(name: str) -> Iterator[str]:
    yield f"Everything that people say about {name}"
    yield f"On a quiet evening somebody wrote of {name}"


def synthgen(folder: Path, *arguments: str) -> None:
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "synthgen", *arguments]
    done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True)
    if done.returncode not in (0, 3):
        raise SystemExit(done.stdout + done.stderr)


def read(folder: Path) -> dict[str, float]:
    """Return the figures of a run's folder.

    `off` is the distance of the worst label from its share, beyond a tenth of the share or one sample: 0 means
    balanced.
    """
    summary = json.loads((folder / "summary.json").read_text())
    counts, tokens = summary["counts"], summary["tokens"]
    accepted = [entry["accepted"] for entry in summary["labels"].values()]
    share = next(iter(summary["labels"].values()))["share"]
    furthest = max(abs(count - share) for count in accepted)
    return {
        "share": share,
        "least": min(accepted),
        "most": max(accepted),
        "off": max(0.0, furthest - max(1.0, 0.1 * share)),
        "unused_share": tokens["unused_share"] or 0.0,
        "generations": generations(folder),
        "fed_back": counts["fed_back"] / (counts["accepted"] - counts["inherited"]),
    }


def generations(folder: Path) -> float:
    """Return the length of the longest chain of slots in which each was planned after the one before was settled."""
    from synthgen.config import from_saved
    from synthgen.generate.settings import group_size
    from synthgen.ledger import Ledger, Reader
    from synthgen.run.budget import StopRules
    from synthgen.run.restore import replan

    with Reader(folder / "ledger.sqlite") as reader:
        config = from_saved(reader.meta("config"), [])
        labels = reader.meta("task")["labels"]
    with Ledger.open(folder / "ledger.sqlite") as ledger:
        rules = StopRules(config.budget, labels)
        size = group_size(config.generate, len(labels))
        planner = replan(ledger, rules, config.engine.in_flight, size, config.generate.items)
    found, slot = 0, planner.frontier - 1
    while slot >= 0:
        found, slot = found + 1, planner.horizon(slot) - 1
    return found


if __name__ == "__main__":
    main()
