"""Print one row for each run in a folder: task, candidates, accepted, main rejections, and the student beside the seeds.

    python scripts/tasks_table.py runs/all_tasks

The figures are those of each run's summary.json. A run without a student, or whose student was not trained, shows why.
"""

import json
import sys
from pathlib import Path
from typing import Any


def row(folder: Path) -> str:
    """Return a run's row of the table, in Markdown."""
    summary = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
    counts = summary["counts"]
    rejected = sorted(counts["rejected"].items(), key=lambda item: -item[1])
    main = ", ".join(f"{reason} {count}" for reason, count in rejected[:3]) or "none"
    return f"| {folder.name} | {counts['candidates']} | {counts['accepted']} | {main} | {student(summary)} |"


def student(summary: dict[str, Any]) -> str:
    """Return the headline figure with samples beside that of the seeds alone."""
    found = summary.get("student") or {}
    if "synthetic" not in found or not found["synthetic"]:
        return "not trained"
    seeds, samples = found["seeds_only"], found["synthetic"]
    return f"{found['metric']} {_figure(samples)}, seeds {_figure(seeds)}"


def _figure(found: dict[str, float] | None) -> str:
    if not found or found.get("mean") is None:
        return "none"
    return f"{found['mean']:.3f} ({found['low']:.3f} to {found['high']:.3f})"


def main() -> None:
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    folders = sorted(path.parent for path in Path(sys.argv[1]).glob("*/summary.json"))
    print("| task | candidates | accepted | main rejections | student |")
    print("|---|---|---|---|---|")
    for folder in folders:
        print(row(folder))


if __name__ == "__main__":
    main()
