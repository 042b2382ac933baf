"""Check a stopped run's folder after each fault: nothing is lost and nothing is repeated."""

import hashlib
import json
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from synthgen.diversity.embedder import HashEncoder
from synthgen.ledger import Reader, check
from synthgen.report.view import read_task


@dataclass
class Finding:
    """Count lost and repeated work; all counts should be zero."""

    lost: int = 0
    repeated: int = 0
    notes: list[str] = field(default_factory=list)

    def lose(self, count: int, what: str) -> None:
        self._note(count, what)
        self.lost += count

    def repeat(self, count: int, what: str) -> None:
        self._note(count, what)
        self.repeated += count

    def _note(self, count: int, what: str) -> None:
        if count:
            self.notes.append(f"{count} {what}")


class Watch:
    """Follow one run through its faults; call `look` whenever no process works on it."""

    def __init__(self, folder: Path, acknowledged: Path) -> None:
        self.folder = folder
        self.acknowledged = acknowledged
        self.finding = Finding()
        self._answered: dict[str, int] = {}
        self._settled: dict[int, Any] = {}

    def look(self) -> Finding:
        ledger = self.folder / "ledger.sqlite"
        told = set(self.acknowledged.read_text().split()) if self.acknowledged.exists() else set()
        if not ledger.exists():  # killed before the run had begun
            self.finding.lose(len(told), "acknowledged without a ledger")
            return self.finding
        check(ledger)
        with Reader(ledger) as reader:
            held = {sample.id for sample in reader.samples()}
            self.finding.lose(len(told - held), "acknowledged samples that the ledger lacks")
            self._compare_requests(reader)
            self._compare_candidates(reader)
            self._compare_index(reader)
        return self.finding

    def _compare_requests(self, reader: Reader) -> None:
        """Check that no request has two answers, and that none is sent again after its answer."""
        twice = (
            "SELECT COUNT(*) FROM (SELECT id FROM requests WHERE state = 'answered' GROUP BY id HAVING COUNT(*) > 1)"
        )
        self.finding.repeat(reader.one(twice), "requests answered twice")
        sent = dict(reader.rows("SELECT id, MAX(attempt) FROM requests GROUP BY id"))
        again = sum(sent.get(key, 0) > attempts for key, attempts in self._answered.items())
        self.finding.repeat(again, "requests sent again after their answer was on disk")
        self.finding.lose(len(self._answered.keys() - sent.keys()), "answers gone")
        self._answered = {
            key: sent[key] for (key,) in reader.rows("SELECT DISTINCT id FROM requests WHERE state = 'answered'")
        }

    def _compare_candidates(self, reader: Reader) -> None:
        """Check that settled candidates do not change, and that no text is accepted twice."""
        now = {row[0]: row[1:] for row in reader.rows("SELECT slot, id, outcome FROM candidates WHERE item = 0")}
        changed = sum(now.get(slot) != row for slot, row in self._settled.items())
        self.finding.lose(changed, "settled candidates changed")
        self._settled = now
        texts = Counter(data for (data,) in reader.rows("SELECT data FROM samples"))
        self.finding.repeat(sum(count - 1 for count in texts.values()), "samples that stand twice")

    def _compare_index(self, reader: Reader) -> None:
        """Check that the stored vectors equal the vectors computed from the texts."""
        task, vectors = read_task(reader), reader.embeddings()
        samples = [sample for sample in reader.samples() if sample.id in vectors]
        self.finding.lose(len(reader.samples()) - len(samples), "samples without a vector")
        if samples:
            made = HashEncoder().encode([task.text(sample.data) for sample in samples])
            held = np.stack([vectors[sample.id] for sample in samples])
            self.finding.lose(int((held != made).any(axis=1).sum()), "vectors that differ from a rebuild")


def dataset(folder: Path) -> dict[str, bytes]:
    """Return the files of a dataset that contain no dates or times."""
    names = ("train.jsonl", "validation.jsonl", "meta/lineage.jsonl")
    return {name: (folder / "dataset" / name).read_bytes() for name in names}


def is_whole(folder: Path) -> bool:
    """Return True if every file of the dataset matches its manifest."""
    manifest = json.loads((folder / "dataset" / "manifest.json").read_text())
    return bool(manifest) and all(
        hashlib.sha256((folder / "dataset" / name).read_bytes()).hexdigest() == entry["sha256"]
        for name, entry in manifest.items()
    )
