"""Plans groups of slots: which label is asked for, how often with one prompt, and how far ahead of what is settled.

A plan follows from the slots that were settled, in their order, and from nothing else: not from timing, and not from
where a run was interrupted. A session that goes on repeats the planning of the earlier ones from the ledger.
"""

import math
from array import array
from bisect import bisect_right
from collections import Counter, defaultdict, deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from synthgen.generate.balance import Shares

GENERATIONS = 9
"""Of the slots that a run should take, one part in so many is planned ahead of what is settled: prompts show what was
accepted at most one part ago."""
_LEAST_AHEAD = 4
_GROUPS_AHEAD = 4  # groups that are planned ahead at the least, so that the engine does not run dry between two
_CAP = 2.0  # times its fair share of the slots that a label gets while others lack samples
_SLACK = 0.1  # of a slot, which is asked for all the same where that much of it is needed beyond whole ones
_MEMORY = 64  # slots of a label over which its yield is taken, roughly
_LONG_MEMORY = 256  # the same for all labels together
_TRUST = 4.0  # slots that the yield of all labels counts for in that of one
_OPTIMISM = 2.0  # slots with nothing rejected that a run is assumed to begin with
_LEAST_YIELD = 0.01
_HOPELESS_SLOTS = 50
_ALWAYS = 2**62


Known = tuple[int, int, int, str | None]
"""A group that a ledger has: its number, first slot, size and label."""


@dataclass(frozen=True)
class Goal:
    """Hold what a run is to reach, as far as its budget says."""

    target: int
    per_label: int | None = None
    """Most samples of a label."""
    candidates: int | None = None
    """Most candidates."""
    attempts: int | None = None
    """Slots that ask for a label, for each sample of its share, before the label is given up."""


@dataclass(frozen=True)
class Group:
    """Describe slots that share one prompt, which shows what was settled before the slot `horizon`."""

    number: int
    first: int
    size: int
    label: str | None
    horizon: int


class Planner:
    """Tell it of every settled slot with `settle`, in order; it puts groups that are to be asked for into `pending`.

    `in_flight` is the most requests under way, `group_size` the most slots of a group, `items` the candidates of a slot.
    Groups that a ledger has are `known`, in order; they stand as they are.
    """

    def __init__(
        self,
        shares: Shares,
        in_flight: int,
        group_size: int,
        items: int = 1,
        known: Iterable[Known] = (),
    ) -> None:
        self._shares = shares
        self._goal = Goal(0)
        self._group_size = group_size
        self._items = items
        self._most_ahead = 2 * in_flight + group_size
        self._known: Iterator[Known] = iter(known)
        self.pending: deque[Group] = deque()
        """Planned groups that no ledger has yet."""
        self.frontier = 0
        """The first slot that is not settled."""
        self._end = 0
        self._next_number = 0
        self._starts = array("q")
        self._horizons = array("q")
        self._planned: Counter[str | None] = Counter()
        self._waiting: Counter[str | None] = Counter()
        self._candidates = 0
        self._barren: Counter[str | None] = Counter()
        """The label's latest slots that brought no candidate at all: the engine refused them, or died of them."""
        self._yields = _Yields(items)
        self._look_at = _ALWAYS

    @property
    def reach(self) -> int:
        """Return the most slots between a slot and the horizon of its group."""
        return self._most_ahead + self._group_size

    def horizon(self, slot: int) -> int:
        """Return the slot before which everything was settled when the group of `slot` was planned."""
        return self._horizons[bisect_right(self._starts, slot) - 1]

    def begin(self, goal: Goal) -> None:
        """Plan towards a goal from here on. The shares must know what the run began with."""
        self._goal = goal
        self._shares.retarget(goal.target, goal.per_label)
        self._look_at = _ALWAYS
        self._plan()

    def settle(self, label: str | None, candidates: int, passed: Sequence[str | None]) -> None:
        """Count the next slot, which asked for `label`, as settled.

        `passed` are the labels of those of its candidates that passed all checks, full labels included.
        """
        while self._end <= self.frontier and self._take():
            continue  # this version would have made that part of the ledger's plan later
        self._waiting[label] -= 1
        self._candidates += candidates
        self._barren[label] = 0 if candidates else self._barren[label] + 1
        self._yields.add(label, passed)
        self.frontier += 1
        self._plan()

    def take_known(self) -> None:
        """Plan all groups of the ledger, after `settle` was called for all settled slots."""
        while self._take():
            continue

    def hopeless(self) -> str | None:
        """Return the stop rule when every label short of samples was asked for far more often than its share."""
        if not self._shares.needed:
            return None
        for label in self._shares.labels:  # the first one settles it nearly always
            if self._shares.lacks(label) and not self._is_hopeless(label):
                return None
        return "unfilled_labels"

    def _is_hopeless(self, label: str | None) -> bool:
        attempts = self._goal.attempts
        barren = attempts is not None and self._barren[label] >= attempts
        return barren or self._yields.slots[label] >= self._most_slots(label)

    def _most_slots(self, label: str | None) -> float:
        """Return how many slots may ask for a label that lacks samples, over the whole run."""
        if self._goal.attempts is None:
            return math.inf
        share = self._shares.accepted(label) + self._shares.lacks(label)
        return self._goal.attempts * share + _HOPELESS_SLOTS

    def _plan(self) -> None:
        """Plan groups while there is room for them and a label that needs them."""
        while self._end - self.frontier <= self._look_at:
            self._look_at = _ALWAYS
            found = self._next_group()
            if found is None:
                return
            if not self._take():
                label, size = found
                group = Group(self._next_number, self._end, size, label, self.frontier)
                self._enter(group)
                self.pending.append(group)

    def _take(self) -> bool:
        """Plan the next group of the ledger, if there is one."""
        known = next(self._known, None)
        if known is None:
            return False
        number, first, size, label = known
        self._enter(Group(number, first, size, label, self.frontier))
        return True

    def _enter(self, group: Group) -> None:
        self._starts.append(group.first)
        self._horizons.append(group.horizon)
        self._next_number = group.number + 1
        self._end = group.first + group.size
        self._planned[group.label] += group.size
        self._waiting[group.label] += group.size

    def _next_group(self) -> tuple[str | None, int] | None:
        """Return label and size of the next group; None where it must wait for slots to be settled."""
        ahead, room = self._end - self.frontier, self._room()
        if ahead >= room and ahead:
            self._look_at = ahead - 1
            return None
        shares, yields = self._shares, self._yields
        lacks = {label: short for label in shares.labels if (short := shares.lacks(label))}
        coming = yields.coming(self._waiting, lacks)
        most = int(
            (shares.needed - sum(min(coming[label], short) for label, short in lacks.items())) / yields.overall + _SLACK
        )
        if self._goal.candidates is not None:
            most = min(most, -(-(self._goal.candidates - self._candidates) // self._items) - ahead)
        slots = {
            label: min(
                (short - coming[label]) / yields.of(label) + _SLACK, self._most_slots(label) - self._planned[label]
            )
            for label, short in lacks.items()
        }
        open_labels = [label for label, count in slots.items() if count >= 1 and most >= 1]
        if not open_labels:
            if ahead or not lacks:
                return None
            open_labels = list(lacks)  # nothing is under way that could bring what is missing
        fair = _CAP * (self._end + 1) / len(shares.labels)
        allowed = [label for label in open_labels if self._planned[label] <= fair] or open_labels
        label = min(allowed, key=lambda label: (shares.accepted(label) + coming[label], self._planned[label]))
        size = max(1, min(self._group_size, room // max(_GROUPS_AHEAD, len(lacks)), most, int(slots[label])))
        if ahead and ahead + size > room:
            self._look_at = room - size
            return None
        return label, size

    def _room(self) -> int:
        """Return how many slots may be planned and not settled."""
        expected = self.frontier + self._shares.needed / self._yields.overall
        return max(_LEAST_AHEAD, min(self._most_ahead, int(expected / GENERATIONS)))


class _Yields:
    """Estimate how many samples pass all checks per slot, by the label asked for.

    Older slots count for less: the fuller the pool, the fewer candidates are new.
    """

    def __init__(self, items: int) -> None:
        self.slots: Counter[str | None] = Counter()
        """Settled slots by the label that was asked for."""
        self._tries: defaultdict[str | None, float] = defaultdict(float)
        self._own: defaultdict[str | None, float] = defaultdict(float)
        self._moved: defaultdict[str | None, Counter[str | None]] = defaultdict(Counter)
        self._all_tries = _OPTIMISM
        self._all_own = self._all_passed = _OPTIMISM * items

    def add(self, label: str | None, passed: Sequence[str | None]) -> None:
        """Takes in a settled slot and the labels of what passed."""
        own = sum(found == label for found in passed)
        self.slots[label] += 1
        self._tries[label] = self._tries[label] * (1 - 1 / _MEMORY) + 1
        self._own[label] = self._own[label] * (1 - 1 / _MEMORY) + own
        if own < len(passed):
            self._moved[label].update(found for found in passed if found != label)
        keep = 1 - 1 / _LONG_MEMORY
        self._all_tries = self._all_tries * keep + 1
        self._all_own = self._all_own * keep + own
        self._all_passed = self._all_passed * keep + len(passed)

    @property
    def overall(self) -> float:
        """Return the samples per slot, whatever label they turned out to have."""
        return max(_LEAST_YIELD, self._all_passed / self._all_tries)

    def of(self, label: str | None) -> float:
        """Return the samples with `label` per slot that asks for it; shrunk to the overall rate where slots are few."""
        own = self._own[label] + _TRUST * self._all_own / self._all_tries
        return max(_LEAST_YIELD, own / (self._tries[label] + _TRUST))

    def coming(self, waiting: Mapping[str | None, int], labels: Iterable[str | None]) -> dict[str | None, float]:
        """Return the samples expected from slots under way, by label; `waiting` counts the slots by label asked for."""
        coming = {label: waiting.get(label, 0) * self.of(label) for label in labels}
        for asked, found in self._moved.items():
            if waiting.get(asked):
                for label, count in found.items():
                    if label in coming:
                        coming[label] += waiting[asked] * count / (self.slots[asked] + _TRUST)
        return coming
