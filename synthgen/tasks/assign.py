"""Define the values that each slot of a run asks for: one value of each field that a task names in `assign`.

A slot's value has a key, such as `formal`, or `tone=formal, answerable=true` for several fields. Every combination of
values has a key and an even share of the target. `entities[].type | none` also asks for samples without any entity, under
the key `none`.
"""

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any, NamedTuple

from synthgen.errors import ConfigError
from synthgen.records import Json
from synthgen.tasks.paths import ITEMS, Steps, parts, places, values, written

_MOST = 200
"""Most combinations, because each needs samples of its own."""
NONE = "none"
"""Key that asks for an empty list, and the word behind a path in `assign` that allows it."""
_OR_NONE = f" | {NONE}"


class RequestedValue(NamedTuple):
    """Hold one value that a slot asks for, for prompts and checks."""

    steps: Steps
    value: Any
    text: str
    """The value as text."""
    meaning: str
    """The meaning that `task.labels` gives the value; empty if it gives none."""
    is_none: bool = False
    """True when the slot asks for a sample whose list `inside` is empty."""

    @property
    def inside(self) -> str:
        """Return the list of which at least one item has the value, such as `entities`; empty for a single field."""
        return written(self.steps[: self._items])[:-2] if self._items else ""

    @property
    def field(self) -> str:
        """Return the name of the field, or its path in an item of `inside`; empty for an item that is the value."""
        return written(self.steps[self._items :])

    @property
    def _items(self) -> int:
        return max((place for place, step in enumerate(self.steps, 1) if step is ITEMS), default=0)

    @property
    def is_given(self) -> bool:
        """Return True for a field of the sample itself, which the generator does not write."""
        return len(self.steps) == 1

    @property
    def given(self) -> Any:
        """Return the value for a sample, which may change it."""
        return list(self.value) if isinstance(self.value, list) else self.value

    def granted(self, data: Json) -> bool:
        """Return True for a sample that has the value."""
        if self.is_none:
            return not any(True for _ in values(data, self.steps[: self._items]))
        if isinstance(self.value, list):  # a set of labels, in any order
            return any(
                isinstance(found, list) and set(found) == set(self.value) for _, found in values(data, self.steps)
            )
        return any(found == self.value and type(found) is type(self.value) for _, found in values(data, self.steps))


@dataclass(frozen=True)
class Assigned:
    """Hold the values that slots may ask for, by key. It is empty for a task without `assign`."""

    wishes: Mapping[str, tuple[RequestedValue, ...]]
    """Map each key to the values that it stands for."""

    @property
    def keys(self) -> tuple[str, ...]:
        return tuple(self.wishes)

    @property
    def given_fields(self) -> frozenset[str]:
        """Return the fields of a sample that the generator does not write."""
        first = next(iter(self.wishes.values()), ())
        return frozenset(str(wish.steps[0]) for wish in first if wish.is_given)

    @property
    def needs_check(self) -> bool:
        """Return True when the generator writes a field that is asked for."""
        return any(not wish.is_given for wish in next(iter(self.wishes.values()), ()))

    def meanings(self) -> dict[str, list[str]]:
        """Return the meanings of the values of each key, for the fingerprint and the ledger."""
        return {key: [wish.meaning for wish in wishes] for key, wishes in self.wishes.items()}

    def keys_of(self, data: Json) -> list[str]:
        """Return the keys whose values a sample has. A sample with entities of two types has two."""
        return [key for key, wishes in self.wishes.items() if all(wish.granted(data) for wish in wishes)]

    def lacking(self, key: str | None, data: Json) -> RequestedValue | None:
        """Return the first value of a key that a sample lacks, or None."""
        return next((wish for wish in self.wishes.get(key or "", ()) if not wish.granted(data)), None)


def label_sets(field: str, labels: Mapping[str, str], rows: Iterable[Json] = ()) -> Assigned:
    """Return the label sets that slots ask for, in a task whose samples have several labels.

    `labels` maps labels to meanings. Slots ask for every label alone, and for the sets of labels that `rows`, the
    seeds, have. A set is left out when it would make one of its labels more than twice as frequent as the rarest label.
    """
    found = list(dict.fromkeys(tuple(label for label in labels if label in set(row[field])) for row in rows))
    sets = [(label,) for label in labels] + [each for each in found if len(each) > 1][:_MOST]
    while len(sets) > len(labels):
        counts = Counter(label for each in sets for label in each)
        common, rarest = max(counts.values()), min(counts.values())
        surplus = [each for each in sets if len(each) > 1 and any(counts[label] == common for label in each)]
        if common <= 2 * rarest or not surplus:
            break
        sets.remove(max(surplus, key=lambda each: min(counts[label] for label in each)))  # keeps the rare labels' sets
    wishes = {", ".join(each): (_set_wish(field, each, labels),) for each in sets}
    return Assigned(wishes)


def _set_wish(field: str, chosen: Sequence[str], labels: Mapping[str, str]) -> RequestedValue:
    meanings = "; ".join(f"{label}: {labels[label]}" for label in chosen if labels[label])
    return RequestedValue((field,), list(chosen), ", ".join(chosen), meanings)


def read_assigned(paths: Sequence[str], meanings: Mapping[str, str], schema: Json) -> Assigned:
    """Return the values that slots ask for.

    Raise ConfigError for a path without choices, and for too many combinations.
    """
    axes: list[list[RequestedValue]] = []
    for number, path in enumerate(paths):
        if path in paths[:number]:
            raise ConfigError(f"task.assign[{number}]: '{path}' is listed twice; remove one of them")
        axes.append(_axis(path, number, meanings, schema))
    known = {wish.text for axis in axes for wish in axis}
    for label in meanings:
        if label not in known:
            raise ConfigError(f"task.labels: '{label}' is not a value of a field in task.assign")
    count = 1
    for axis in axes:
        count *= len(axis)
    if count > _MOST:
        raise ConfigError(
            f"task.assign: the fields have {count} combinations of values, and at most {_MOST} are possible; "
            "leave out a field"
        )
    return Assigned({_key(paths, wishes): wishes for wishes in product(*axes)} if axes else {})


def _key(paths: Sequence[str], wishes: Sequence[RequestedValue]) -> str:
    if len(wishes) == 1:
        return wishes[0].text
    fields = [path.removesuffix(_OR_NONE) for path in paths]
    return ", ".join(f"{field}={wish.text}" for field, wish in zip(fields, wishes, strict=True))


def _axis(path: str, number: int, meanings: Mapping[str, str], schema: Json) -> list[RequestedValue]:
    """Return the values that slots may ask for, of one entry of `assign`."""
    field = path.removesuffix(_OR_NONE)
    steps, choices = _choices(field, number, schema)
    texts = [choice if isinstance(choice, str) else json.dumps(choice) for choice in choices]
    wishes = [RequestedValue(steps, *each, meanings.get(each[1], "")) for each in zip(choices, texts, strict=True)]
    if path == field:
        return wishes
    nothing = RequestedValue(steps, None, NONE, meanings.get(NONE, ""), is_none=True)
    _check_none(nothing, texts, f"task.assign[{number}]: '{path}'", schema)
    return [*wishes, nothing]


def _check_none(nothing: RequestedValue, texts: Sequence[str], where: str, schema: Json) -> None:
    """Raise ConfigError where no sample can have an empty list, or the key would have two meanings."""
    if not nothing.inside:
        raise ConfigError(f"{where} is not in a list, which alone can be empty; remove '| {NONE}'")
    if NONE in texts:
        raise ConfigError(f"{where} has a value '{NONE}' of its own in task.schema; rename it, or remove '| {NONE}'")
    least = [part.get("minItems", 0) for part in parts(schema, places(schema)[nothing.inside].steps)]
    if least and min(least) > 0:
        raise ConfigError(
            f"{where} asks for an empty list, and task.schema has minItems: {min(least)}; remove one of them"
        )


def _choices(path: str, number: int, schema: Json) -> tuple[Steps, list[Any]]:
    """Return the steps of a path and the values that its enum allows."""
    where = f"task.assign[{number}]"
    place = places(schema).get(path)
    if place is None:
        raise ConfigError(f"{where}: '{path}' is not a field of task.schema (it has: {', '.join(places(schema))})")
    found: list[Any] = []
    for part in parts(schema, place.steps):
        found += part["enum"] if isinstance(part.get("enum"), list) else []
        found += [True, False] if part.get("type") == "boolean" else []
    if len(found) < 2:
        raise ConfigError(
            f"{where}: '{path}' has no enum of two or more values in task.schema; add one, or leave it out"
        )
    return place.steps, found
