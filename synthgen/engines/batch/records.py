"""Keep a record of every batch in the run folder, so that a later session finds its batches and their answers again.

A record is on disk before the host is asked to create the batch, and names the requests in it. The answers stay at the
host until a request asks for them.
"""

import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path

from synthgen.ledger.durable import read_json, write_json
from synthgen.records import Json

FOLDER = "batches"
CREATING, LOST = "creating", "lost"
"""Statuses besides the host's own: the host was asked to create the batch and has not confirmed it; the host does not
know the batch, or no longer has its answers."""
WITH_ANSWERS = ("completed", "expired", "cancelled")
"""Statuses of batches that have ended and may have answers."""
ENDED = (*WITH_ANSWERS, "failed", LOST)


@dataclass
class BatchRecord:
    """Hold one batch. `path` is the file that keeps it."""

    path: Path
    requests: list[str]
    """Ids of its requests, which are the custom_ids of its lines."""
    file: str
    """The host's id of the uploaded file."""
    dialect: Json
    """The dialect in which its requests are written."""
    sent_at: float
    """Seconds since the epoch."""
    id: str | None = None
    """The host's id of the batch; None while the batch is being created."""
    status: str = CREATING
    done: int = 0
    """Number of requests that the host has answered or refused."""
    results: list[str] = field(default_factory=list)
    """The host's ids of the output file and the error file."""

    @property
    def name(self) -> str:
        return f"batch {int(self.path.stem)}"

    @property
    def has_ended(self) -> bool:
        return self.status in ENDED

    def take(self, found: Json | None) -> bool:
        """Update the record with the host's description of the batch, None if the host does not know it.

        Return True if anything changed.
        """
        before = self.id, self.status, self.done
        if found is None:
            self.status = LOST
        else:
            counts = found.get("request_counts") or {}
            self.id, self.status = str(found["id"]), str(found.get("status") or "validating")
            self.done = (counts.get("completed") or 0) + (counts.get("failed") or 0)
            self.results = [str(found[key]) for key in ("output_file_id", "error_file_id") if found.get(key)]
        return before != (self.id, self.status, self.done)

    def save(self) -> None:
        """Write the record to disk, completely or not at all."""
        write_json(self.path, {key: value for key, value in asdict(self).items() if key != "path"})


def add(run: Path, requests: Sequence[str], file: str, dialect: Json) -> BatchRecord:
    """Return the record of a new batch of the run in the folder `run`; it is on disk."""
    folder = run / FOLDER
    folder.mkdir(exist_ok=True)
    number = max((int(path.stem) for path in folder.glob("*.json")), default=0) + 1
    record = BatchRecord(folder / f"{number:06d}.json", list(requests), file, dialect, time.time())
    record.save()
    return record


def load(run: Path) -> Iterator[BatchRecord]:
    """Yield the records of a run, in the order in which its batches were sent."""
    known = {entry.name for entry in fields(BatchRecord)}
    for path in sorted((run / FOLDER).glob("*.json")):
        if (found := read_json(path)) is not None:
            yield BatchRecord(path=path, **{key: value for key, value in found.items() if key in known})


def waiting(run: Path) -> list[BatchRecord]:
    """Return the batches of a run that have not ended, as far as the run has heard."""
    return [record for record in load(run) if not record.has_ended]


def waiting_figures(run: Path, now: float) -> Json | None:
    """Return how many batches wait at the host, their requests and the age of the oldest; None if none waits."""
    found = waiting(run)
    if not found:
        return None
    return {
        "batches": len(found),
        "requests": sum(len(record.requests) for record in found),
        "done": sum(record.done for record in found),
        "seconds": round(max(0.0, now - min(record.sent_at for record in found)), 1),
        "ids": [record.id for record in found],
    }
