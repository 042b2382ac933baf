"""Print two tables of the runs in a folder: each strategy alone on its task, and the strategies of each mix.

    python scripts/strategies_table.py runs/all_strategies

The folder of a run is named STRATEGY--TASK, or mixed--TASK. The figures are those of the runs' summary.json. A run without
one, such as one whose strategy does not fit its task, is named with the last line that it printed.
"""

import json
import sys
from pathlib import Path
from typing import Any

ALONE = ["strategy", "task", "accepted", "candidates", "tokens per accepted", "novelty", "main rejection"]
MIXED = ["task", "strategy", *ALONE[2:], "labels right", "student's gain by its samples"]


def figures(row: dict[str, Any]) -> list[str]:
    """Return accepted, candidates, tokens per accepted sample, novelty and main rejection of one strategy."""
    main = max(row["rejected"].items(), key=lambda item: item[1], default=None)
    return [
        str(row["accepted"]), str(row["candidates"]), _number(row["tokens_per_accepted"], 0), _number(row["novelty"], 2),
        f"{main[0]} {main[1]}" if main else "none",
    ]  # fmt: skip


def quality(row: dict[str, Any]) -> list[str]:
    """Return the estimated share of right labels, and what the frozen student owes to the strategy, in points."""
    gain, right = row["student_gain"], row["label_right"]
    return [
        "" if right is None else f"{100 * right:.0f} %",
        "" if gain is None else f"{100 * gain['mean']:+.1f} ({100 * gain['low']:+.1f} to {100 * gain['high']:+.1f})",
    ]


def _number(value: float | None, digits: int) -> str:
    return "" if value is None else f"{value:,.{digits}f}"


def table(columns: list[str], rows: list[list[str]]) -> str:
    """Return a table in Markdown."""
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def main() -> None:
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    alone, mixed, failed = [], [], []
    for log in sorted(Path(sys.argv[1]).glob("*--*.log")):
        name, task = log.stem.split("--", 1)
        summary = log.with_suffix("") / "summary.json"
        if not summary.is_file():
            failed.append(f"{log.stem}: {(log.read_text(encoding='utf-8').splitlines() or ['no output'])[-1]}")
            continue
        found = json.loads(summary.read_text(encoding="utf-8"))["strategies"]
        if name == "mixed":
            mixed += [[task, strategy, *figures(row), *quality(row)] for strategy, row in found.items()]
        else:
            alone += [[strategy, task, *figures(row)] for strategy, row in found.items()]
    parts = [table(ALONE, alone)] if alone else []
    parts += [table(MIXED, mixed)] if mixed else []
    print("\n\n".join([*parts, *(f"without figures: {line}" for line in failed)]))


if __name__ == "__main__":
    main()
