"""Derive the layout of an annotation tool from a task's schema: the fields that it shows, and the questions that people
answer."""

import re
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Any, Literal

from synthgen.errors import InputError
from synthgen.records import Json
from synthgen.tasks.task import as_text

NOT_A_SAMPLE, GOOD_SAMPLE = "not a sample", "good sample"
VERDICT = "verdict"
COLOURS = ("#4e79a7", "#f28e2b", "#59a14f", "#e15759", "#b07aa1", "#76b7b2", "#edc948", "#9c755f", "#ff9da7", "#bab0ac")
"""Colours of labels, one after the other."""
_MOST_STARS = 10
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


@dataclass(frozen=True)
class ShownField:
    """Hold a field that is shown as text."""

    field: str
    name: str
    """The field's name where the tool allows it, else a number."""


@dataclass(frozen=True)
class ChoiceQuestion:
    """Ask for one or several of `values`."""

    field: str
    name: str
    values: Sequence[str]
    meanings: Sequence[str]
    several: bool = False
    of: Literal["text", "boolean", "number"] = "text"


@dataclass(frozen=True)
class SpanQuestion:
    """Ask for the parts of a shown field, each with a type."""

    field: str
    name: str
    inside: str
    text_key: str
    type_key: str
    types: Sequence[str]


@dataclass(frozen=True)
class RelationQuestion:
    """Ask for relations between the spans of a field."""

    field: str
    name: str
    spans: str
    head_key: str
    tail_key: str
    type_key: str
    types: Sequence[str]


@dataclass(frozen=True)
class RatingQuestion:
    """Ask for a whole number from 1 to `most`."""

    field: str
    name: str
    most: int


@dataclass(frozen=True)
class TextQuestion:
    """Ask for a text: a string, or any other value as JSON."""

    field: str
    name: str
    as_json: bool


Control = ChoiceQuestion | SpanQuestion | RelationQuestion | RatingQuestion | TextQuestion


@dataclass(frozen=True)
class Layout:
    """Hold the shown fields and the questions. Without labels, people first say whether the sample is good."""

    labelled: bool
    shown: Sequence[ShownField]
    controls: Sequence[Control]
    corrections: Sequence[TextQuestion] = ()
    """Shown texts that a person may write anew. An empty answer leaves the text as it is."""


def layout(definition: Json) -> Layout:
    """Return the layout for a task, from its definition in the ledger."""
    schema: Json = definition.get("schema") or {}
    properties: Json = schema.get("properties") or {}
    labels: dict[str, str] = definition.get("labels") or {}
    target = [str(name) for name in definition.get("target") or ()]
    names = {field: field if _NAME.fullmatch(field) else f"field_{place}" for place, field in enumerate(properties)}
    shown = [ShownField(field, names[field]) for field in properties if field not in target]
    if labels:
        of: Literal["text", "number"] = "number" if _is_number(properties.get(target[0], {})) else "text"
        values, meanings = [*labels, NOT_A_SAMPLE], [*labels.values(), ""]
        choice = ChoiceQuestion(target[0], names[target[0]], values, meanings, of=of)
        return Layout(True, shown, [choice], _corrections(shown, properties, names, set()))
    spans = {one.field: one for field in target if (one := _spans(field, names[field], properties, definition))}
    meant = definition.get("multi_labels") or {}
    controls: list[Control] = []
    for field in target:
        part = properties.get(field) or {}
        related = _relations(field, names[field], part, definition, spans)
        controls.append(spans.get(field) or related or _plain(field, names[field], part, meant))
    inside = {one.inside for one in spans.values()}  # a text whose spans have places in it stays as it is
    return Layout(False, shown, controls, _corrections(shown, properties, names, inside))


def _corrections(
    shown: Sequence[ShownField], properties: Json, names: Mapping[str, str], without: Set[str]
) -> list[TextQuestion]:
    found = [one for one in shown if one.field not in without and properties[one.field].get("type") == "string"]
    made = [TextQuestion(one.field, f"{one.name}_corrected", as_json=False) for one in found]
    return [one for one in made if one.name not in names.values()]


def _plain(field: str, name: str, part: Json, meant: dict[str, str]) -> Control:
    items = part.get("items") or {}
    if values := part.get("enum"):
        of: Literal["text", "number"] = "number" if _is_number(part) else "text"
        return ChoiceQuestion(field, name, [str(value) for value in values], ["" for _ in values], of=of)
    if part.get("type") == "boolean":
        return ChoiceQuestion(field, name, ["true", "false"], ["", ""], of="boolean")
    if part.get("type") == "array" and (values := items.get("enum")):
        return ChoiceQuestion(
            field, name, [str(one) for one in values], [meant.get(str(one), "") for one in values], several=True
        )
    if part.get("type") == "integer" and part.get("minimum") == 1 and 1 < part.get("maximum", 0) <= _MOST_STARS:
        return RatingQuestion(field, name, int(part["maximum"]))
    return TextQuestion(field, name, part.get("type") != "string")


def _is_number(part: Json) -> bool:
    return part.get("type") == "integer" or all(isinstance(value, int) for value in part.get("enum", [""]))


def _spans(field: str, name: str, properties: Json, definition: Json) -> SpanQuestion | None:
    """Return the spans of a list whose strings a check `spans` or `offsets` finds in a text field."""
    parts = _items(properties.get(field))
    type_key = next((key for key, one in parts.items() if one.get("enum")), None)
    for check in definition.get("checks") or ():
        inside = check.get("in")
        if check.get("kind") not in ("spans", "offsets") or inside not in properties or type_key is None:
            continue
        for path in _paths(check.get("field")):
            owner, _, key = path.partition("[].")
            if owner == field and key in parts and len(parts) == 2 and properties[inside].get("type") == "string":
                return SpanQuestion(field, name, inside, key, type_key, [str(one) for one in parts[type_key]["enum"]])
    return None


def _relations(
    field: str, name: str, part: Json, definition: Json, spans: dict[str, SpanQuestion]
) -> RelationQuestion | None:
    """Return the relations of a list whose two strings a check `member` takes from the spans of a field."""
    parts = _items(part)
    type_key = next((key for key, one in parts.items() if one.get("enum")), None)
    for check in definition.get("checks") or ():
        of = next((path.partition("[].")[0] for path in _paths(check.get("of"))), "")
        ends = [
            key for path in _paths(check.get("field")) for owner, _, key in [path.partition("[].")] if owner == field
        ]
        known = len(ends) == 2 and len(parts) == 3 and type_key is not None and set(ends) <= parts.keys()
        if check.get("kind") == "member" and of in spans and known and type_key is not None:
            return RelationQuestion(
                field, name, of, ends[0], ends[1], type_key, [str(one) for one in parts[type_key]["enum"]]
            )
    return None


def _items(part: Any) -> Json:
    """Return the properties of the objects in a list; empty for any other schema."""
    found: Json = ((part or {}).get("items") or {}).get("properties") or {}
    return found if (part or {}).get("type") == "array" else {}


def _paths(value: Any) -> list[str]:
    return [value] if isinstance(value, str) else [str(one) for one in value or ()]


def texts(made: Layout, data: Json) -> dict[str, str]:
    """Return the text of each shown field, by its name in the tool."""
    return {one.name: as_text(data[one.field]) for one in made.shown if one.field in data}


def spelt(value: object) -> str:
    """Return the value of a choice as tools show it."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def places(control: SpanQuestion, text: str, value: Sequence[Json]) -> list[tuple[int, int, str]]:
    """Return start, end and type of each span that occurs in `text`. Equal strings get places one after the other."""
    found, after = [], {"": 0}
    for one in value:
        part = str(one[control.text_key])
        start = text.find(part, after.get(part, 0))
        if start >= 0:
            after[part] = start + len(part)
            found.append((start, start + len(part), str(one[control.type_key])))
    return found


def typed(choice: ChoiceQuestion, chosen: Sequence[str], where: str) -> Any:
    """Return the value of a choice as the sample has it. Raise InputError where it is no choice of the field."""
    if strange := [one for one in chosen if one not in choice.values] or (
        [] if chosen or choice.several else ["nothing"]
    ):
        raise InputError(f"{where}: {choice.field}: {strange[0]} is no choice; was the labelling config changed?")
    if choice.several:
        return [value for value in choice.values if value in chosen]
    match choice.of:
        case "boolean":
            return chosen[0] == "true"
        case "number":
            return int(chosen[0])
        case _:
            return chosen[0]
