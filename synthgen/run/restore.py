"""Restore the state of a run from its ledger for a new session. For a new run the state is empty."""

import json
from collections import deque
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from itertools import groupby
from operator import itemgetter
from pathlib import Path

from synthgen.diversity.rounds import Accepted
from synthgen.generate.adapt import SettledSlot
from synthgen.generate.planner import Goal, Planner
from synthgen.ledger import Ledger, Reader
from synthgen.records import INHERITED, Completion, Json, PlannedSlot
from synthgen.run.budget import StopRules
from synthgen.run.progress import Progress

_GOALS = "goals"
"""Ledger key of the run's goals, each with the first slot that it applies to."""


@dataclass(frozen=True)
class Restored:
    """Hold the state of a run as the ledger has it."""

    planned: list[PlannedSlot]
    """Slots that are planned and not settled."""
    answers: dict[str, Completion]
    """Completions by request id for slots that are not settled. These requests are not sent again."""
    attempts: dict[str, int]
    """Number of times that each request of those slots was sent."""
    deaths: dict[str, int]
    """Number of engine deaths during which each of these requests was in flight."""
    quarantined: set[str]
    """Requests that killed the engine. They are never sent again."""
    alarms: set[tuple[str, int]]
    """(figure, slot) of the recorded alarms about accepted samples."""
    progress: Progress


def restore(path: Path, target: int, spent: float) -> Restored:
    """Read the state from a ledger. `spent` is the number of seconds that the loop ran in earlier sessions."""
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


def replan(
    ledger: Ledger,
    rules: StopRules,
    in_flight: int,
    group_size: int,
    items: int,
    rounds: int | None = None,
    longest: float = 1.0,
) -> Planner:
    """Return the planner of a run: repeat the planning of the earlier sessions, then follow the goal of this session.

    Count every settled candidate of the earlier sessions in the stop rules. Where the goal is new, write it to the
    ledger with the first slot that it applies to.
    """
    with Reader(ledger.path) as reader:
        for label in inherited_labels(reader):
            rules.inherited(label)
        kept = reader.meta(_GOALS) or []
        goals = deque((each["slot"], Goal(**each["goal"])) for each in kept or [_goal(0, rules.goal)])
        planner = Planner(rules.shares, in_flight, group_size, items, reader.groups(), rounds, longest)
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
    """Begin each goal whose first slot the planner's frontier has reached."""
    while goals and goals[0][0] <= planner.frontier:
        planner.begin(goals.popleft()[1])


def inherited_labels(reader: Reader) -> list[str | None]:
    """Return the label of each sample that the run took over from another one."""
    return [label for (label,) in reader.rows("SELECT label FROM samples WHERE slot = ?", (INHERITED,))]


def strategy_given(path: Path, strategy: str) -> list[Json]:
    """Return `given` of the planned slots and inherited samples of a strategy, in order."""
    with Reader(path) as reader:
        sql = (
            f"SELECT {reader.given_column} FROM slots WHERE strategy = ? UNION ALL"
            f" SELECT {reader.given_column} FROM samples WHERE strategy = ? AND slot = ?"
        )
        return [json.loads(given or "{}") for (given,) in reader.rows(sql, (strategy, strategy, INHERITED))]


def settled_slots(path: Path) -> Iterator[tuple[int, list[Accepted], int]]:
    """Yield (slot, accepted samples with their vectors, number of candidates) for each settled slot, in order."""
    with Reader(path) as reader:
        accepted = ((s, vector) for s, vector in reader.embedded_samples() if s.slot is not None and s.slot >= 0)
        upcoming = next(accepted, None)
        for slot, candidates in reader.settled():
            own: list[Accepted] = []
            while upcoming is not None and upcoming[0].slot == slot:
                own += [(upcoming[0], upcoming[1])] if upcoming[1] is not None else []
                upcoming = next(accepted, None)
            yield slot, own, candidates


def settled_by_strategy(reader: Reader) -> Iterator[SettledSlot]:
    """Yield the strategy of each settled slot with the novelty of its samples and its cost, in order."""
    written = (
        "(SELECT COALESCE(SUM(completion_tokens), 0) FROM requests r"
        " WHERE r.slot = t.slot AND r.state = 'answered' AND r.kind LIKE 'generate%')"
    )
    sql = (
        f"SELECT t.slot, t.strategy, {written}, c.item, COALESCE(s.novelty, 0.0) FROM slots t"
        " LEFT JOIN candidates c ON c.slot = t.slot LEFT JOIN samples s ON s.slot = c.slot AND s.item = c.item"
        " WHERE t.state <> 'planned' ORDER BY t.slot, c.item"
    )
    for (_, strategy, tokens), rows in groupby(reader.rows(sql), key=itemgetter(0, 1, 2)):
        yield SettledSlot(strategy, [novelty for *_, item, novelty in rows if item is not None], tokens)


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
