"""Write a run's results from its ledger, for people and programs: summary, events, dataset, and report page."""

import json
from collections.abc import Callable
from pathlib import Path

from synthgen.ledger import Reader, durable
from synthgen.ledger.durable import exporting, with_manifest, write_files
from synthgen.records import Json
from synthgen.report.closing import last_lines, student_lines
from synthgen.report.dataset import export_dataset
from synthgen.report.figures import summarise
from synthgen.report.page import report_page
from synthgen.report.tables import json_lines, pretty, utf8
from synthgen.report.view import open_ledger

__all__ = ["damage", "export_dataset", "last_lines", "student_lines", "summarise", "write_events", "write_reports"]


def write_reports(folder: Path, as_yaml: Callable[[Json], str]) -> Json:
    """Write summary.json, report.html, their manifest, events.jsonl and config.yaml; return the summary.

    Each file is replaced atomically. `as_yaml` formats the config that the ledger keeps.
    Raise WriteError if a file cannot be written.
    """
    summary = summarise(folder)
    with open_ledger(folder) as ledger:
        saved = ledger.meta("config")
        events = _events(ledger)
    config = as_yaml(saved) if saved else ""
    page = utf8(report_page(folder, summary, config))
    growing = {"events.jsonl": events, **({"config.yaml": utf8(config)} if config else {})}
    with exporting(folder / "report.html", f"synthgen report {folder}"):
        write_files(folder, growing)  # not in the manifest, because a resumed run changes them
        write_files(folder, with_manifest({"summary.json": pretty(summary), "report.html": page}))
    return summary


def write_events(folder: Path) -> None:
    """Write events.jsonl again from the ledger, because a kill may have truncated or omitted its last lines."""
    with open_ledger(folder) as ledger:
        events = _events(ledger)
    with exporting(folder / "events.jsonl", f"synthgen report {folder}"):
        write_files(folder, {"events.jsonl": events})


def damage(folder: Path) -> list[str]:
    """Return the damaged, edited or missing files of the export in `folder`, each as `file: problem`."""
    with exporting(folder, f"synthgen report {folder}"):
        return durable.damage(folder)


def _events(ledger: Reader) -> bytes:
    rows = [
        {"at": round(at, 3), "kind": kind, **json.loads(data)}
        for at, kind, data in ledger.rows("SELECT at, kind, data FROM events ORDER BY seq")
    ]
    return json_lines(list(rows))
