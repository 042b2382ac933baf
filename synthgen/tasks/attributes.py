"""Read the attributes of a task: properties in which its samples should vary, such as topic and tone, with their
values.

`synthgen.generate.strategies.attributes` asks for combinations of values.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from synthgen.errors import ConfigError
from synthgen.records import Json

_LONGEST = 200
"""Most characters of a name, a value or a meaning."""
_MOST_VALUES, _MOST_ATTRIBUTES = 1000, 20
_EXAMPLE = "tone: [formal, casual], or tone: {formal: 3, casual: 1} with weights"


@dataclass(frozen=True)
class Attribute:
    """Hold one attribute: its values in order, and the share of slots that should ask for each."""

    name: str
    values: tuple[str, ...]
    shares: tuple[float, ...]
    """Shares of the values, which sum to 1."""
    meaning: str = ""
    """Explanation of the attribute, for prompts; may be empty."""

    def definition(self) -> Json:
        """Return the attribute as JSON, for the fingerprint and the ledger."""
        shares = [round(share, 9) for share in self.shares]
        return {"name": self.name, "values": list(self.values), "shares": shares, "meaning": self.meaning}


def read_attributes(given: Mapping[Any, Any]) -> tuple[Attribute, ...]:
    """Return the attributes under `task.attributes`. Raise ConfigError with key, cause and cure for a bad shape.

    Each attribute is a list of values, a mapping of value to weight, or a mapping with the keys `values` (one of the
    two) and `meaning`.
    """
    if len(given) > _MOST_ATTRIBUTES:
        raise ConfigError(f"task.attributes: has {len(given)} attributes, and at most {_MOST_ATTRIBUTES} are possible")
    return tuple(_attribute(name, part) for name, part in given.items())


def _attribute(name: Any, part: Any) -> Attribute:
    text = _text(name, "task.attributes", "the name")
    where = f"task.attributes.{text}"
    meaning = ""
    if isinstance(part, Mapping) and isinstance(part.get("values"), Mapping | list):
        if others := [str(key) for key in part if key not in ("values", "meaning")]:
            raise ConfigError(f"{where}: there is no key '{others[0]}' beside `values`, only `meaning`; remove it")
        meaning = _text(part["meaning"], f"{where}.meaning", "the meaning") if part.get("meaning") is not None else ""
        part, where = part["values"], f"{where}.values"
    if isinstance(part, Mapping):
        weighted = [
            (_text(value, where, "the value"), _weight(weight, f"{where}.{value}")) for value, weight in part.items()
        ]
    elif isinstance(part, list):
        weighted = [(_text(value, f"{where}[{place}]", "the value"), 1.0) for place, value in enumerate(part)]
    else:
        raise ConfigError(
            f"{where}: {part!r} is neither a list of values nor a mapping of value to weight; write {_EXAMPLE}"
        )
    values = [value for value, _ in weighted]
    _check_values(values, where)
    total = math.fsum(weight for _, weight in weighted)
    return Attribute(text, tuple(values), tuple(weight / total for _, weight in weighted), meaning)


def _check_values(values: Sequence[str], where: str) -> None:
    if len(values) < 2:
        raise ConfigError(
            f"{where}: an attribute needs two or more values; add one, or describe what never varies in task.description"
        )
    if len(values) > _MOST_VALUES:
        raise ConfigError(f"{where}: has {len(values)} values, and at most {_MOST_VALUES} are possible; leave some out")
    for place, value in enumerate(values):
        if value in values[:place]:
            raise ConfigError(f"{where}: the value '{value}' is listed twice; remove one of them")


def _text(value: Any, where: str, what: str) -> str:
    if isinstance(value, bool):
        said = "true" if value else "false"
        raise ConfigError(f"{where}: {what} is {said}, not a text, as YAML reads yes, no, on and off; put it in quotes")
    if not isinstance(value, str | int | float) or (isinstance(value, float) and not math.isfinite(value)):
        raise ConfigError(f"{where}: {what} {value!r} is neither a text nor a number; write {_EXAMPLE}")
    text = str(value).strip()
    if not text or "\n" in text or len(text) > _LONGEST:
        raise ConfigError(f"{where}: {what} {text[:60]!r} must be one line of 1 to {_LONGEST} characters")
    return text


def _weight(weight: Any, where: str) -> float:
    if isinstance(weight, bool) or not isinstance(weight, int | float) or not math.isfinite(weight) or weight <= 0:
        raise ConfigError(
            f"{where}: the weight {weight!r} is not a number above 0; write one, such as {_EXAMPLE}, or leave the value out"
        )
    return float(weight)
