"""What a ledger tells a new session about the ones before it: nothing, for a new run."""

from dataclasses import dataclass
from pathlib import Path

from synthgen.ledger import Reader, Vector
from synthgen.loop import Progress
from synthgen.records import INHERITED, Completion, PlannedSlot, Sample


@dataclass(frozen=True)
class Restored:
    """The state of a run as it lies on disk."""

    planned: list[PlannedSlot]
    """Slots that were planned and not settled."""
    groups: list[tuple[int, str]]
    """(group, label) of every group planned so far."""
    samples: list[Sample]
    """Seeds and accepted samples, in order; empty for a run that never got to its seeds."""
    vectors: dict[str, Vector]
    """Their embeddings."""
    answers: dict[str, Completion]
    """Answers that are on disk and whose slots are not settled: not to be asked for again."""
    attempts: dict[str, int]
    """How often each of those slots' requests was sent."""
    deaths: dict[str, int]
    """How many engine deaths each of them was in flight at."""
    quarantined: set[str]
    """Those that the engine died of; they are not sent any more."""
    outcomes: list[tuple[str | None, float | None]]
    """(label, cosine to the nearest neighbour if accepted) of every settled candidate, in order."""
    settled: list[tuple[int, int]]
    """(slot, how many candidates it gave) of every settled slot, in order."""
    alarms: set[tuple[str, int]]
    """(figure, slot) of the alarms on what is accepted that were told."""
    progress: Progress

    @property
    def has_seeds(self) -> bool:
        return any(sample.origin == "seed" for sample in self.samples)

    @property
    def accepted(self) -> list[Sample]:
        """The samples that are not seeds, in order."""
        return [sample for sample in self.samples if sample.origin == "synthetic"]

    @property
    def inherited(self) -> list[Sample]:
        """The samples that this run took over from another."""
        return [sample for sample in self.accepted if sample.slot == INHERITED]

    @property
    def next_group(self) -> int:
        return self.groups[-1][0] + 1 if self.groups else 0


def restore(path: Path, target: int, spent: float) -> Restored:
    """Reads a ledger; `spent` are the seconds that the loop has had already."""
    with Reader(path) as reader:
        planned = reader.planned()
        frontier = planned[0].slot if planned else reader.one("SELECT COALESCE(MAX(slot), -1) + 1 FROM slots")
        return Restored(
            planned=planned,
            groups=reader.groups(),
            samples=reader.samples(),
            vectors=reader.embeddings(),
            answers=reader.answers(frontier) | reader.answers_before_slots(),
            attempts=reader.attempts(frontier),
            deaths=reader.deaths(frontier),
            quarantined=reader.quarantined(frontier),
            outcomes=list(reader.outcomes()),
            settled=list(reader.settled()),
            alarms={(alarm["figure"], alarm["slot"]) for alarm in reader.alarms()},
            progress=_progress(reader, target, spent),
        )


def _progress(reader: Reader, target: int, spent: float) -> Progress:
    progress = Progress(target=target, spent=spent)
    progress.accepted = reader.one("SELECT COUNT(*) FROM samples WHERE origin = 'synthetic'")
    progress.inherited = reader.one("SELECT COUNT(*) FROM samples WHERE slot = ?", (INHERITED,))
    progress.candidates = reader.one("SELECT COUNT(*) FROM candidates")
    rejected = "SELECT reason, COUNT(*) FROM candidates WHERE outcome = 'rejected' GROUP BY reason"
    progress.rejected.update(dict(reader.rows(rejected)))
    answered = "FROM requests WHERE state = 'answered'"
    progress.output_tokens = reader.one(f"SELECT COALESCE(SUM(completion_tokens), 0) {answered}")
    progress.all_tokens = progress.output_tokens + reader.one(f"SELECT COALESCE(SUM(prompt_tokens), 0) {answered}")
    return progress
