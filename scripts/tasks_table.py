"""Print one row for each run in a folder: task, candidates, accepted, main rejections, and both figures of the student.

    python scripts/tasks_table.py runs/all_tasks
    python scripts/tasks_table.py runs/all_tasks --examples

With `--examples`, print candidates of each run instead: the fifth accepted one (or the last, where there are fewer), and the
first one that was rejected for the commonest reason.

The figures are those of each run's summary.json. A run without a student, or whose student was not trained, says so.
"""

import json
import sqlite3
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

_SHOWN = 320
CAPTION = """\
Student: the same student trained without the samples and with them (95 % intervals over the eval rows). Without samples it
has the seeds, and for classification, whose student is the frozen one, the label names too. All others are trained for a
few steps, the same number in both arms: 24 for spans, 30 for a retriever, 16 with LoRA for written answers and for
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


def examples(folder: Path) -> str:
    """Return an accepted and a rejected candidate of a run, in Markdown."""
    accepted = "SELECT text, label, NULL FROM candidates WHERE outcome = 'accepted' ORDER BY slot, item LIMIT 5"
    commonest = "SELECT reason FROM candidates WHERE outcome = 'rejected' GROUP BY reason ORDER BY COUNT(*) DESC, reason LIMIT 1"
    rejected = f"SELECT text, label, reason FROM candidates WHERE reason = ({commonest}) ORDER BY slot, item LIMIT 1"
    address = f"{(folder / 'ledger.sqlite').absolute().as_uri()}?mode=ro"
    with closing(sqlite3.connect(address, uri=True)) as ledger:
        found = [*list(ledger.execute(accepted))[-1:], *ledger.execute(rejected)]
    lines = [f"### `{folder.name}`", "", "```"]
    for text, label, reason in found:
        asked = f" ({label})" if label else ""
        lines.append(f"{'accepted' if reason is None else f'rejected as {reason}'}{asked}: {_shortened(text)}")
    return "\n".join([*lines, "```", ""])


def _shortened(text: str) -> str:
    """Return a reply in one line, cut to its first characters; a fence inside it must not end the block."""
    line = " ".join(text.split()).replace("`" * 3, "...")
    return line if len(line) <= _SHOWN else f"{line[:_SHOWN]} ..."


def main() -> None:
    if len(sys.argv) not in (2, 3) or sys.argv[2:] not in ([], ["--examples"]):
        sys.exit(__doc__)
    folders = sorted(path.parent for path in Path(sys.argv[1]).glob("*/summary.json"))
    if sys.argv[2:]:
        for folder in folders:
            print(examples(folder))
        return
    print("| task | candidates | accepted | main rejections | student's metric | without samples | with samples |")
    print("|---|---|---|---|---|---|---|")
    for folder in folders:
        print(row(folder))
    print(f"\n{CAPTION}")


if __name__ == "__main__":
    main()
