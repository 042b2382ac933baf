"""Replace entities of a sample by those of the same type in other samples, in its text and wherever it repeats them."""

import random
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any

from synthgen.generate.spans import SpanField
from synthgen.records import Json, Sample
from synthgen.tasks.normal import places_of

_Donor = tuple[str, str]
"""A string, and the id of the seed that has it."""


class Entities:
    """Hold the entities of the seeds by type."""

    def __init__(self, fields: Sequence[SpanField], seeds: Sequence[Sample]) -> None:
        self._fields = fields
        self._donors: dict[tuple[SpanField, str | None], list[_Donor]] = defaultdict(list)
        for seed in seeds:
            for field in fields:
                for _, value, kind in field.of(seed.data):
                    self._donors[field, kind].append((value, seed.id))

    def replaced(self, data: Json, share: float, rng: random.Random) -> tuple[Json, list[str]]:
        """Return a copy of a sample with a share of its entities replaced, and the ids of the seeds they come from."""
        found = [
            (field, value, kind)
            for field in self._fields
            for _, value, kind in field.of(data)
            if self._donors.get((field, kind))
        ]
        rng.shuffle(found)
        left, donors = max(1, round(share * len(found))), []
        for field, value, kind in found:
            if left == 0:
                break
            others = {one for every in self._fields for _, one, _ in every.of(data) if one != value}
            text = data.get(field.text)
            options = [
                (new, seed)
                for new, seed in self._donors[field, kind]
                if isinstance(text, str) and new.lower() not in text.lower() and value.lower() not in new.lower()
            ]
            if not options or any(value in one or one in value for one in others):
                continue  # an entity inside another one would tear it
            new, seed = rng.choice(options)
            texts = {every.text for every in self._fields}
            data = {
                name: _in_text(part, value, new) if name in texts else _everywhere(part, value, new)
                for name, part in data.items()
            }
            donors.append(seed)
            left -= 1
        return data, donors

    def locked(self, data: Json, name: str) -> list[tuple[int, int]]:
        """Return the stretches of a text field that hold entities, as start and end."""
        text = data[name]
        return [
            (start, start + len(value))
            for field in self._fields
            if field.text == name
            for _, value, _ in field.of(data)
            for start in places_of(value, text)
        ]

    def words(self, data: Json) -> Iterator[str]:
        """Yield the words of all entities in lower case."""
        for field in self._fields:
            for _, value, _ in field.of(data):
                yield from value.lower().split()


def _in_text(text: Any, value: str, new: str) -> Any:
    if not isinstance(text, str):
        return text
    for start in reversed(list(places_of(value, text))):
        text = text[:start] + new + text[start + len(value) :]
    return text


def _everywhere(part: Any, value: str, new: str) -> Any:
    """Return a part of a sample with every string that equals `value` replaced, such as in relations of the entity."""
    if isinstance(part, dict):
        return {name: _everywhere(below, value, new) for name, below in part.items()}
    if isinstance(part, list):
        return [_everywhere(below, value, new) for below in part]
    return new if part == value else part
