"""Plan groups of slots: choose their label and size, and how many slots to plan ahead of the settled ones.

The plan depends only on the settled slots and their order: not on timing, and not on where a run was interrupted. A
resumed session repeats the planning of the earlier sessions from the ledger.
"""

import math
from array import array
from bisect import bisect_right
from collections import Counter, defaultdict, deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from synthgen.generate.balance import Shares

GENERATIONS = 9
"""Number of parts into which a run's expected slots are divided. At most one part is planned ahead of the settled
slots, so prompts can show samples that were accepted one part earlier."""
_LEAST_AHEAD = 8  # keeps four places of an endpoint in use; from a target of about 60 on there are 8 generations
_GROUPS_AHEAD = 4  # least number of groups planned ahead, so that the engine always has requests
_CAP = 2.0  # a label gets at most so many times its fair share of slots while other labels lack samples
_SLACK = 0.1  # added to the number of slots needed before it is rounded down
_RECENT_SLOTS = 64  # approximate number of a label's latest slots that determine its yield
_RECENT_SLOTS_OF_ALL = 256  # the same for the yield over all labels
_PRIOR_SLOTS = 4.0  # weight, in slots, of the yield over all labels as the prior of one label's yield
_FIRST_SLOTS = 2.0  # prior of the yield over all labels: so many slots in which nothing was rejected
_LEAST_YIELD = 0.01
_HOPELESS_SLOTS = 50
_ALWAYS = 2**62


Known = tuple[int, int, int, str | None]
"""A group in a ledger: its number, first slot, size and label."""


@dataclass(frozen=True)
class Goal:
    """Hold the goal of a run, as its budget sets it."""

    target: int
    per_label: int | None = None
    """Most samples per label."""
    candidates: int | None = None
    """Most candidates."""
    attempts: int | None = None
    """Most slots for a label per sample of its share, before the label is given up."""
    quotas: Mapping[str, int] | None = None
    """Samples of each label; None for even shares."""


@dataclass(frozen=True)
class Group:
    """Describe slots that share one prompt. The prompt may show samples from slots before `horizon`.

    `earlier` is the number of slots with this label that the group's strategy planned before, set by `Mix`.
    """

    number: int
    first: int
    size: int
    label: str | None
    horizon: int
    earlier: int = 0


class Planner:
    """Plan groups of slots. Call `settle` for every settled slot in order; new groups appear in `pending`.

    `in_flight` is the in-flight limit, `group_size` the most slots of a group, `items` the number of candidates per
    slot. `known` are the groups in the ledger, in order; they are taken over unchanged. `rounds` is the number of parts
    of the expected slots, GENERATIONS if it is None. `longest` is how many times as long as an average slot the longest
    one takes. While it is under way, so many times more of the others are finished and wait for it to be settled.
    """

    def __init__(
        self,
        shares: Shares,
        in_flight: int,
        group_size: int,
        items: int = 1,
        known: Iterable[Known] = (),
        rounds: int | None = None,
        longest: float = 1.0,
    ) -> None:
        self._shares = shares
        self._goal = Goal(0)
        self._group_size = group_size
        self._items = items
        self._rounds = rounds or GENERATIONS
        self._most_ahead = math.ceil(2 * in_flight * longest) + group_size
        self._known: Iterator[Known] = iter(known)
        self.pending: deque[Group] = deque()
        """Planned groups that are not in the ledger yet."""
        self.frontier = 0
        """The first slot that is not settled."""
        self._end = 0
        self._next_number = 0
        self._starts = array("q")
        self._horizons = array("q")
        self._planned: Counter[str | None] = Counter()
        self._waiting: Counter[str | None] = Counter()
        self._candidates = 0
        self._empty_in_a_row: Counter[str | None] = Counter()
        """Number of latest slots in a row, by label, without any candidate: the engine refused them or died of them."""
        self._yields = _Yields(items)
        self._next_plan = _ALWAYS
        """Number of unsettled slots down to which `_plan` need not try again."""

    @property
    def reach(self) -> int:
        """Return the most slots between a slot and the horizon of its group."""
        return self._most_ahead + self._group_size

    def horizon(self, slot: int) -> int:
        """Return the first slot that was not settled when the group of `slot` was planned."""
        return self._horizons[bisect_right(self._starts, slot) - 1]

    def begin(self, goal: Goal) -> None:
        """Follow `goal` from now on. The shares must already count the samples that the run began with."""
        self._goal = goal
        self._shares.retarget(goal.target, goal.per_label, goal.quotas)
        self._next_plan = _ALWAYS
        self._plan()

    def settle(self, label: str | None, candidates: int, passed: Sequence[str | None]) -> None:
        """Count the next slot, which asked for `label`, as settled.

        `passed` has the label of each candidate that passed all checks, including candidates rejected only as surplus.
        """
        while self._end <= self.frontier and self._take():
            continue  # the version that wrote the ledger planned this group earlier than this version does
        self._waiting[label] -= 1
        self._candidates += candidates
        self._empty_in_a_row[label] = 0 if candidates else self._empty_in_a_row[label] + 1
        self._yields.add(label, passed)
        self.frontier += 1
        self._plan()

    def take_known(self) -> None:
        """Take over the remaining groups of the ledger. Call this after `settle` for all settled slots."""
        while self._take():
            continue

    def hopeless(self) -> str | None:
        """Return the name of the stop rule when every label that lacks samples has been given up, else None."""
        if not self._shares.needed:
            return None
        for label in self._shares.labels:  # nearly always the first label already returns
            if self._shares.lacks(label) and not self._is_hopeless(label):
                return None
        return "unfilled_labels"

    def _is_hopeless(self, label: str | None) -> bool:
        attempts = self._goal.attempts
        useless = attempts is not None and self._empty_in_a_row[label] >= attempts
        return useless or self._yields.slots[label] >= self._most_slots(label)

    def _most_slots(self, label: str | None) -> float:
        """Return the most slots over the whole run that may ask for a label."""
        if self._goal.attempts is None:
            return math.inf
        share = self._shares.accepted(label) + self._shares.lacks(label)
        return self._goal.attempts * share + _HOPELESS_SLOTS

    def _plan(self) -> None:
        """Plan groups while the limit allows more slots and a label needs them."""
        while self._end - self.frontier <= self._next_plan:
            self._next_plan = _ALWAYS
            found = self._next_group()
            if found is None:
                return
            if not self._take():
                label, size = found
                group = Group(self._next_number, self._end, size, label, self.frontier)
                self._enter(group)
                self.pending.append(group)

    def _take(self) -> bool:
        """Take over the next group of the ledger. Return False when there is none."""
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
        """Return the label and size of the next group; None where more slots must be settled first."""
        ahead, room = self._end - self.frontier, self._room()
        if ahead >= room and ahead:
            self._next_plan = ahead - 1
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
            open_labels = list(lacks)  # no slot is in flight that could bring the missing samples
        factors = {label: shares.factor(label) for label in open_labels}
        fair = _CAP * (self._end + 1)
        allowed = [label for label in open_labels if self._planned[label] <= fair / factors[label]] or open_labels

        def filled(label: str | None) -> tuple[float, float]:
            """Return the samples and the slots of a label, relative to its share."""
            return (shares.accepted(label) + coming[label]) * factors[label], self._planned[label] * factors[label]

        label = min(allowed, key=filled)
        size = max(1, min(self._group_size, room // max(_GROUPS_AHEAD, len(lacks)), most, int(slots[label])))
        if ahead and ahead + size > room:
            self._next_plan = room - size
            return None
        return label, size

    def _room(self) -> int:
        """Return the most slots that may be planned and not settled."""
        expected = self.frontier + self._shares.needed / self._yields.overall
        return max(_LEAST_AHEAD, min(self._most_ahead, int(expected / self._rounds)))


class _Yields:
    """Estimate how many samples per slot pass all checks, by the label asked for.

    Older slots count for less, because fewer candidates are new as the pool grows.
    """

    def __init__(self, items: int) -> None:
        self.slots: Counter[str | None] = Counter()
        """Number of settled slots by the label asked for."""
        self._tries: defaultdict[str | None, float] = defaultdict(float)
        self._own: defaultdict[str | None, float] = defaultdict(float)
        self._other_labels: defaultdict[str | None, Counter[str | None]] = defaultdict(Counter)
        self._all_tries = _FIRST_SLOTS
        self._all_own = self._all_passed = _FIRST_SLOTS * items

    def add(self, label: str | None, passed: Sequence[str | None]) -> None:
        """Count a settled slot. `passed` has the label of each candidate that passed all checks."""
        own = sum(found == label for found in passed)
        self.slots[label] += 1
        self._tries[label] = self._tries[label] * (1 - 1 / _RECENT_SLOTS) + 1
        self._own[label] = self._own[label] * (1 - 1 / _RECENT_SLOTS) + own
        if own < len(passed):
            self._other_labels[label].update(found for found in passed if found != label)
        keep = 1 - 1 / _RECENT_SLOTS_OF_ALL
        self._all_tries = self._all_tries * keep + 1
        self._all_own = self._all_own * keep + own
        self._all_passed = self._all_passed * keep + len(passed)

    @property
    def overall(self) -> float:
        """Return the samples per slot, whatever their label."""
        return max(_LEAST_YIELD, self._all_passed / self._all_tries)

    def of(self, label: str | None) -> float:
        """Return the samples with `label` per slot that asks for it, shrunk to the overall rate where slots are few."""
        own = self._own[label] + _PRIOR_SLOTS * self._all_own / self._all_tries
        return max(_LEAST_YIELD, own / (self._tries[label] + _PRIOR_SLOTS))

    def coming(self, waiting: Mapping[str | None, int], labels: Iterable[str | None]) -> dict[str | None, float]:
        """Return the samples expected from unsettled slots, by label. `waiting` has these slots by label asked for."""
        coming = {label: waiting.get(label, 0) * self.of(label) for label in labels}
        for asked, found in self._other_labels.items():
            if waiting.get(asked):
                for label, count in found.items():
                    if label in coming:
                        coming[label] += waiting[asked] * count / (self.slots[asked] + _PRIOR_SLOTS)
        return coming
