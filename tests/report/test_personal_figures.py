"""Summary and report count personal data in candidates, and say how many candidates were searched."""

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import yaml

from synthgen.report import summarise, write_reports


def search(folder: Path, *found: tuple[int, str]) -> None:
    """Add verdicts of the check `personal_data`: for each slot, the kinds that it found, as JSON."""
    with closing(sqlite3.connect(folder / "ledger.sqlite")) as ledger, ledger:
        ledger.executemany(
            "INSERT INTO verdicts VALUES (?, 0, 50, 'personal_data', 'pass', NULL, ?, ?)",
            [(slot, float(kinds != "{}"), f'{{"kinds": {kinds}}}') for slot, kinds in found],
        )


def test_candidates_with_personal_data_are_counted_with_those_that_were_accepted(run: Any) -> None:
    search(run.path, (1, '{"email": 2}'), (6, '{"email": 1, "phone": 1}'), (7, "{}"))
    found = {"searched": 3, "candidates": 2, "accepted": 1, "kinds": {"email": 3, "phone": 1}}
    assert summarise(run.path)["personal_data"] == found
    write_reports(run.path, yaml.safe_dump)
    page = " ".join((run.path / "report.html").read_text(encoding="utf-8").split())
    assert (
        "3 candidates were searched for personal data of a fixed form, and 2 hold some (email 3, phone 1); accepted: 1."
        in page
    )


def test_a_run_of_an_earlier_version_claims_nothing_about_personal_data(run: Any) -> None:
    assert summarise(run.path)["personal_data"] is None
    write_reports(run.path, yaml.safe_dump)
    assert "personal data" not in (run.path / "report.html").read_text(encoding="utf-8")
