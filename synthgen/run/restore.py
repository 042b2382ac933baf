"""What a ledger tells a new session about the ones before it: nothing, for a new run."""

from collections import deque
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from synthgen.diversity.rounds import Accepted
from synthgen.generate.planner import Goal, Planner
from synthgen.ledger import Ledger, Reader
from synthgen.records import INHERITED, Completion, Json, PlannedSlot
from synthgen.run.budget import StopRules
from synthgen.run.progress import Progress

_GOALS = "goals"
"""The key under which a ledger has the run's goals, each with the slot from which it holds."""


@dataclass(frozen=True)
class Restored:
    """Hold the state of a run as it is on disk."""

    planned: list[PlannedSlot]
    """Slots that were planned and not settled."""
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


def restore(path: Path, target: int, spent: float) -> Restored:
    """Read the state from a ledger; `spent` are the loop's seconds in earlier sessions."""
    with Reader(path) as reader:
        planned = reader.planned()
        frontier = planned[0].slot if planned else reader.one("SELECT COALESCE(MAX(slot), -1) + 1 FROM slots")
        return Restored(
            planned=planned,
            answers=reader.answers(frontier) | reader.answers_before_slots(),
            attempts=reader.attempts(frontier),
            deaths=reader.deaths(frontier),
            quarantined=reader.quarantined(frontier),
            alarms={(alarm["figure"], alarm["slot"]) for alarm in reader.alarms()},
            progress=_progress(reader, target, spent),
        )


def replan(ledger: Ledger, rules: StopRules, in_flight: int, group_size: int, items: int) -> Planner:
    """The planner of a run, which has repeated what the earlier sessions planned and follows the goal of this one.

    The stop rules are told what they would have heard of those sessions, one settled candidate after another. The
    ledger gets the goal, and the slot from which it holds, where it is new.
    """
    with Reader(ledger.path) as reader:
        for label in inherited_labels(reader):
            rules.inherited(label)
        kept = reader.meta(_GOALS) or []
        goals = deque((each["slot"], Goal(**each["goal"])) for each in kept or [_goal(0, rules.goal)])
        planner = Planner(rules.shares, in_flight, group_size, items, reader.groups())
        _follow(planner, goals)
        for _, asked, found in reader.outcomes():
            for each in found:
                rules.settled(*each)
            planner.settle(asked, len(found), [each.label for each in found if each.passed])
            _follow(planner, goals)
        planner.take_known()
    if not kept:
        ledger.set_meta(_GOALS, [_goal(0, rules.goal)])
    elif Goal(**kept[-1]["goal"]) != rules.goal:
        planner.begin(rules.goal)
        ledger.set_meta(_GOALS, [*kept, _goal(planner.frontier, rules.goal)])
    return planner


def _goal(slot: int, goal: Goal) -> Json:
    return {"slot": slot, "goal": asdict(goal)}


def _follow(planner: Planner, goals: deque[tuple[int, Goal]]) -> None:
    """Apply the goals that hold from the planner's frontier on."""
    while goals and goals[0][0] <= planner.frontier:
        planner.begin(goals.popleft()[1])


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
    return progress
