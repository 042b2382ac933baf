"""Print one row for each run in a folder: task, candidates, accepted, main rejections, and both figures of the student.

    python scripts/tasks_table.py runs/all_tasks

The figures are those of each run's summary.json. A run without a student, or whose student was not trained, says so.
"""

import json
import sys
from pathlib import Path
from typing import Any

CAPTION = """\
Student: the same student trained without the samples and with them (95 % intervals over the eval rows). Without samples it
has the seeds, and for classification, whose student is the frozen one, the label names too. All others are trained for a
few steps, the same number in both arms: 60 for spans, 30 for a retriever, 16 with LoRA for written answers and for
preferences. Written answers are scored on 12 eval rows. These students show that the path works; they are not the best
that a task allows."""


def row(folder: Path) -> str:
    """Return a run's row of the table, in Markdown."""
    summary = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
    counts = summary["counts"]
    rejected = sorted(counts["rejected"].items(), key=lambda item: -item[1])
    main = ", ".join(f"{reason} {count}" for reason, count in rejected[:3]) or "none"
    return (
        f"| {folder.name} | {counts['candidates']} | {counts['accepted']} | {main} | {' | '.join(student(summary))} |"
    )


def student(summary: dict[str, Any]) -> list[str]:
    """Return the metric, its value for the student without samples, and its value for the student with samples.

    Without samples means the seeds, and the label names where the run has an arm with both.
    """
    found = summary.get("student") or {}
    if not found.get("synthetic"):
        return ["not trained", "", ""]
    before = found.get("described") or found["seeds_only"]
    return [found["metric"], _figure(before), _figure(found["synthetic"])]


def _figure(found: dict[str, float] | None) -> str:
    if not found or found.get("mean") is None:
        return "none"
    return f"{found['mean']:.3f} ({found['low']:.3f} to {found['high']:.3f})"


def main() -> None:
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    folders = sorted(path.parent for path in Path(sys.argv[1]).glob("*/summary.json"))
    print("| task | candidates | accepted | main rejections | student's metric | without samples | with samples |")
    print("|---|---|---|---|---|---|---|")
    for folder in folders:
        print(row(folder))
    print(f"\n{CAPTION}")


if __name__ == "__main__":
    main()
