"""Compare two datasets: rows added, removed, changed and moved, labels and lengths, and their students.

A row is *moved* if it is in another split, and *changed* if a row with the same input differs in any other field, such as
the target. All others are *added* or *removed*. Copies of a row are counted one by one.
"""

from collections import Counter, deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from synthgen.records import Json, content_id, to_json
from synthgen.versions import shifts
from synthgen.versions.entries import content_hash
from synthgen.versions.facts import FACTS
from synthgen.versions.reading import Dataset
from synthgen.versions.roles import Roles, roles_of
from synthgen.versions.rows import DatasetRows, Entry, split_order


@dataclass(frozen=True)
class Change:
    """Hold one difference. An added row has no `before`, a removed one no `after`."""

    kind: str
    """added, removed, changed or moved"""
    before: Entry | None
    after: Entry | None

    @property
    def splits(self) -> str:
        """Return the split of the row, or `old -> new`."""
        names = [entry.split for entry in (self.before, self.after) if entry is not None]
        return " -> ".join(dict.fromkeys(names))


@dataclass
class Diff:
    """Hold the differences of two datasets."""

    before: Dataset
    after: Dataset
    roles: Roles
    same: bool
    """True when both have the same rows in the same splits."""
    unchanged: int
    changes: list[Change]
    labels: tuple[Counter[str], Counter[str]] | None
    figures: Json = field(default_factory=dict)
    """The shifts of labels and lengths, by name."""

    def counts(self, kind: str) -> dict[str, int]:
        """Return the number of changes of a kind, by split."""
        found = Counter(change.splits for change in self.changes if change.kind == kind)
        return {name: found[name] for name in sorted(found, key=split_order)}

    @property
    def changed_fields(self) -> Counter[str]:
        """Return the fields in which changed rows differ, each with the number of rows."""
        found = Counter[str]()
        for line in self.lines():
            if line["change"] == "changed":
                before, after = ({name: [value] for name, value in line[side].items()} for side in ("before", "after"))
                found.update(
                    name for name in {**before, **after} if to_json(before.get(name)) != to_json(after.get(name))
                )
        return found

    @property
    def students(self) -> tuple[Json, Json] | None:
        """Return the figures of both students; None where one has none."""
        one, other = (each.facts.get("student") for each in (self.before, self.after))
        return (one, other) if one and other else None

    @property
    def facts(self) -> list[str]:
        """Return the names of the facts that differ."""
        known = {name for name in FACTS if name not in ("origin", "student", "licence", "published")}
        differing = [n for n in FACTS if n in known and self.before.facts.get(n) != self.after.facts.get(n)]
        return differing + (["licence"] if self.before.licences.keys() != self.after.licences.keys() else [])

    def lines(self) -> Iterable[Json]:
        """Yield every difference with the content of its rows, in a stable order."""
        for change in self.changes:
            sides = (("before", self.before, change.before), ("after", self.after, change.after))
            rows = {name: side.rows.data(entry.position) for name, side, entry in sides if entry is not None}
            yield {"change": change.kind, "split": change.splits, **rows}


KINDS = ("added", "removed", "changed", "moved")


def compare(before: Dataset, after: Dataset, target: Sequence[str] = ()) -> Diff:
    """Return the differences of two datasets. `target` names the target fields where no task does."""
    tasks = [before.facts.get("task"), after.facts.get("task")]
    roles = roles_of(tasks, [*before.rows.kinds, *after.rows.kinds], target)
    changes, unchanged = _changes(before.rows, after.rows, roles)
    one, other = shifts.profile(before, roles), shifts.profile(after, roles)
    figures: Json = {"length": shifts.of_lengths(one.lengths, other.lengths).json}
    labels = None
    if roles.target and one.labels is not None and other.labels is not None:
        labels = one.labels, other.labels
        if found := shifts.of_labels(*labels):
            figures["labels"] = found.json
    elif roles.target and set(roles.target) <= before.rows.kinds.keys() & after.rows.kinds.keys():
        figures["target_length"] = shifts.of_lengths(one.answers, other.answers).json
    same = content_hash(before.rows.counted()) == content_hash(after.rows.counted())
    return Diff(before, after, roles, same, unchanged, changes, labels, figures)


def _changes(before: DatasetRows, after: DatasetRows, roles: Roles) -> tuple[list[Change], int]:
    """Return the differences in a stable order, and the number of rows without one."""
    lost, gained = _left(before.entries, after.counted()), _left(after.entries, before.counted())
    unchanged = len(after) - len(gained)
    moved, lost, gained = _paired("moved", [(each.id, each) for each in lost], [(each.id, each) for each in gained])
    old = {id(each): _input_and_answer(before.data(each.position), roles) for each in lost}
    new = {id(each): _input_and_answer(after.data(each.position), roles) for each in gained}
    changed = []
    # First within a split, then across splits; of rows with one input, first those with the same target too.
    for within, whole in ((True, True), (True, False), (False, True), (False, False)):
        found, lost, gained = _paired(
            "changed",
            [(_part(old[id(each)], each, within, whole), each) for each in lost],
            [(_part(new[id(each)], each, within, whole), each) for each in gained],
        )
        changed += found
    added = [Change("added", None, entry) for entry in gained]
    removed = [Change("removed", entry, None) for entry in lost]
    return [*added, *removed, *changed, *moved], unchanged


def _left(entries: Sequence[Entry], others: Counter[tuple[str, str]]) -> list[Entry]:
    """Return the rows that the other side does not have in the same split, sorted."""
    found = []
    for entry in sorted(entries, key=_order):
        if others[entry.id, entry.split] > 0:
            others[entry.id, entry.split] -= 1
        else:
            found.append(entry)
    return found


def _paired(
    kind: str, lost: Sequence[tuple[object, Entry]], gained: Sequence[tuple[object, Entry]]
) -> tuple[list[Change], list[Entry], list[Entry]]:
    """Pair lost and gained rows with equal keys, in their order. Return the pairs, and the others of both sides.

    A row whose key is None has no pair.
    """
    waiting: dict[object, deque[Entry]] = {}
    for key, entry in lost:
        waiting.setdefault(key, deque()).append(entry)
    pairs, others = [], []
    taken: set[int] = set()
    for key, entry in gained:
        if key is not None and waiting.get(key):
            found = waiting[key].popleft()
            taken.add(id(found))
            pairs.append(Change(kind, found, entry))
        else:
            others.append(entry)
    return pairs, [entry for _, entry in lost if id(entry) not in taken], others


def _input_and_answer(data: Json, roles: Roles) -> tuple[str, str] | None:
    """Return hashes of the input and of the target; None for a row without an input."""
    key = roles.key(data)
    return None if key is None else (key, content_id(roles.answer(data)))


def _part(keys: tuple[str, str] | None, entry: Entry, within: bool, whole: bool) -> object:
    """Return the key by which a row is paired: its input, with its target if `whole`, and its split if `within`."""
    return None if keys is None else (keys if whole else keys[:1], entry.split if within else "")


def _order(entry: Entry) -> tuple[tuple[int, str], str, int]:
    return (split_order(entry.split), entry.id, entry.position)
