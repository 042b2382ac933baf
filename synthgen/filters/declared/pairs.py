"""Check that a relation connects entities of types that may have it: a person founds an organisation, not a place."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

from synthgen.filters.declared.base import Fault, Found, KeyProblem, Path, Stage, quoted
from synthgen.filters.declared.choices import key_of_value, lists_in, refuse_unknown
from synthgen.filters.declared.fields import any_place, first_beside, string_place
from synthgen.records import Json
from synthgen.tasks.paths import beside, values
from synthgen.tasks.task import Task

_FORM = "{relation type: [[type of head, type of tail], ...]}"


@dataclass
class PairsConfig:
    relation: str
    """Path to the type of each relation, such as `relations[].type`."""
    head: str
    """Path to the name of its first entity, such as `relations[].head`."""
    tail: str
    """Path to the name of its second entity, such as `relations[].tail`."""
    entity: str
    """Path to the name of each entity, such as `entities[].text`."""
    type: str
    """Path to the type of each entity, such as `entities[].type`."""
    values: dict[str, Any]
    """The allowed pairs of types for each type of relation, such as `{works_for: [[person, organisation]]}`. A type of
    relation that is not listed here allows all."""


class TypePairs:
    """Find relations between entities whose types do not go together."""

    kind: ClassVar[str] = "pairs"
    meaning: ClassVar[str] = (
        "The entities `head` and `tail` of each relation have types that `values` lists as a pair for the type of the "
        "relation."
    )
    reasons: ClassVar[dict[str, str]] = {"no_pair": "has a relation between entities whose types do not allow it"}
    config: ClassVar[type[PairsConfig]] = PairsConfig
    scores: ClassVar[str] = ""
    stage: ClassVar[Stage] = "rules"

    def __init__(self, cfg: PairsConfig, task: Task) -> None:
        self._relation = any_place("relation", cfg.relation, task).steps
        self._head = string_place("head", cfg.head, task).steps
        self._tail = string_place("tail", cfg.tail, task).steps
        self._entity = string_place("entity", cfg.entity, task).steps
        self._type = any_place("type", cfg.type, task).steps
        allowed = lists_in("values", cfg.values, _FORM)
        refuse_unknown("values", allowed, self._relation, cfg.relation, task)
        for name, pairs in allowed.items():
            for pair in pairs:
                if not isinstance(pair, list) or len(pair) != 2:
                    raise KeyProblem("values", f"'{name}' has {pair!r}, which is not a pair of types; write {_FORM}")
                refuse_unknown("values", pair, self._type, cfg.type, task)
        self._allowed = {name: {tuple(map(key_of_value, pair)) for pair in pairs} for name, pairs in allowed.items()}

    def faults(self, data: Json) -> Iterator[Found]:
        for path, relation in values(data, self._relation):
            name = key_of_value(relation)
            if (allowed := self._allowed.get(name)) is None:
                continue
            head = first_beside(data, path, self._relation, self._head)
            tail = first_beside(data, path, self._relation, self._tail)
            heads, tails = self._types(data, path, head), self._types(data, path, tail)
            if not any((one, other) in allowed for one in heads for other in tails):
                choices = ", ".join(f"{one} and {other}" for one, other in sorted(allowed)) or "no types"
                found = f"{_described(head, heads)} and {_described(tail, tails)}"
                problem = f"{name} is not possible between {found}; it connects {choices}"
                yield Fault("no_pair", path, problem, {"relation": name, "head": heads, "tail": tails})

    def _types(self, data: Json, path: Path, name: Any) -> list[str]:
        """Return the types of the entities with a name. A name that is listed twice may have two."""
        return [
            key_of_value(first_beside(data, where, self._entity, self._type))
            for where, entity in beside(data, path, self._relation, self._entity)
            if entity == name
        ]


def _described(name: Any, types: list[str]) -> str:
    return f"{quoted(str(name))} ({' or '.join(types) if types else 'no entity of the sample'})"
