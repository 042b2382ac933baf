"""What a ledger tells a new session about the ones before it: nothing, for a new run."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from synthgen.diversity.rounds import Accepted
from synthgen.ledger import Reader
from synthgen.loop import Progress
from synthgen.records import INHERITED, Completion, PlannedSlot
from synthgen.stopping import StopRules


@dataclass(frozen=True)
class Restored:
    """The state of a run as it lies on disk."""

    planned: list[PlannedSlot]
    """Slots that were planned and not settled."""
    groups: list[tuple[int, str]]
    """(group, label) of every group planned so far."""
    answers: dict[str, Completion]
    """Answers that are on disk and whose slots are not settled: not to be asked for again."""
    attempts: dict[str, int]
    """How often each of those slots' requests was sent."""
    deaths: dict[str, int]
    """How many engine deaths each of them was in flight at."""
    quarantined: set[str]
    """Those that the engine died of; they are not sent any more."""
    alarms: set[tuple[str, int]]
    """(figure, slot) of the alarms on what is accepted that were told."""
    progress: Progress

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
            answers=reader.answers(frontier) | reader.answers_before_slots(),
            attempts=reader.attempts(frontier),
            deaths=reader.deaths(frontier),
            quarantined=reader.quarantined(frontier),
            alarms={(alarm["figure"], alarm["slot"]) for alarm in reader.alarms()},
            progress=_progress(reader, target, spent),
        )


def recount(path: Path, rules: StopRules) -> None:
    """Tells the stop rules what they would have heard of earlier sessions, one settled candidate after another."""
    with Reader(path) as reader:
        for label in inherited_labels(reader):
            rules.inherited(label)
        for label, similarity in reader.outcomes():
            rules.settled(label, similarity)


def inherited_labels(reader: Reader) -> list[str | None]:
    """Return the label of every sample that the run took over from another one."""
    return [label for (label,) in reader.rows("SELECT label FROM samples WHERE slot = ?", (INHERITED,))]


def settled_slots(path: Path) -> Iterator[tuple[int, list[Accepted], int]]:
    """(slot, what was accepted of it, its candidates) of every settled slot, one after another."""
    with Reader(path) as reader:
        accepted = ((s, vector) for s, vector in reader.held() if s.slot is not None and s.slot >= 0)
        upcoming = next(accepted, None)
        for slot, candidates in reader.settled():
            own: list[Accepted] = []
            while upcoming is not None and upcoming[0].slot == slot:
                own += [(upcoming[0], upcoming[1])] if upcoming[1] is not None else []
                upcoming = next(accepted, None)
            yield slot, own, candidates


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
