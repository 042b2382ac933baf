"""What a run leaves for people and programs, rebuilt from its ledger: summary, dataset, page."""

import json
from pathlib import Path

from synthgen.records import Json
from synthgen.report.closing import last_lines
from synthgen.report.dataset import export_dataset
from synthgen.report.figures import summarise
from synthgen.report.files import write_atomic
from synthgen.report.page import write_report

__all__ = ["export_dataset", "last_lines", "summarise", "write_report", "write_summary"]


def write_summary(folder: Path) -> Json:
    """Writes `folder/summary.json` in one step and returns its content."""
    summary = summarise(folder)
    write_atomic(folder / "summary.json", json.dumps(summary, ensure_ascii=False, indent=2) + "\n")
    return summary
