"""Convert targets that occur verbatim in the input to BIO tags of its words, and back.

A target field may hold spans in three forms: a string, a list of strings, or a list of objects with a
string and a type from an enum. It depends on no model; the tokenizer defines the words.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from synthgen.errors import InputError
from synthgen.records import Json
from synthgen.tasks.task import Task

OUTSIDE = "O"


@dataclass(frozen=True)
class Span:
    """Hold the characters from `start` to `end` (exclusive) of the input, with a type."""

    start: int
    end: int
    type: str


@dataclass(frozen=True)
class Field:
    """Describe a target field. For a list of typed spans, `text` and `type` are the keys of its objects."""

    name: str
    many: bool
    text: str = ""
    type: str = ""
    types: tuple[str, ...] = ()


class NoSpansError(InputError):
    """Report a target that is not a span of its input. The message names the target."""


class SpanTargets:
    """Convert between samples and spans for one task. Raise NoSpansError if a target field has another form.

    The choice beside the spans, if the task has one, is no span.
    """

    def __init__(self, task: Task) -> None:
        self._task = task
        names = [name for name in task.target if name != choice_field(task)]
        self.fields = [_field(name, task.schema["properties"][name]) for name in names]

    @cached_property
    def types(self) -> list[str]:
        """Return the span types: a field's name, or FIELD.TYPE for a field with typed spans."""
        return [name for field in self.fields for name in _types(field)]

    @cached_property
    def tags(self) -> list[str]:
        """Return all tags: O, and B- and I- for every type."""
        return [OUTSIDE, *(f"{part}-{name}" for name in self.types for part in "BI")]

    def locate(self, row: Json) -> list[Span]:
        """Return the spans of a sample's targets in its input. Raise NoSpansError for a target that is not found."""
        text = self._task.input_text(row)
        wanted = [found for field in self.fields for found in _values(field, row.get(field.name))]
        taken = [False] * len(text)
        spans = []
        for kind, value in sorted(wanted, key=lambda found: -len(found[1])):  # "New York" before "York"
            start = _free(text, value, taken)
            if start is None:
                raise NoSpansError(f"{kind}: {value!r} does not occur in the input {text!r}")
            taken[start : start + len(value)] = [True] * len(value)
            spans.append(Span(start, start + len(value), kind))
        return sorted(spans, key=lambda span: span.start)

    def fields_of(self, text: str, spans: Sequence[Span]) -> Json:
        """Return the target fields for the spans of a text. A string field without a span is None."""
        out: Json = {}
        for field in self.fields:
            found = [span for span in sorted(spans, key=lambda span: span.start) if span.type in _types(field)]
            texts = [text[span.start : span.end] for span in found]
            if field.type:
                kinds = [span.type.removeprefix(f"{field.name}.") for span in found]
                out[field.name] = [
                    {field.type: kind, field.text: part} for kind, part in zip(kinds, texts, strict=True)
                ]
            else:
                out[field.name] = texts if field.many else (texts[0] if texts else None)
        return out


def choice_field(task: Task) -> str | None:
    """Return the one target field that is an enum of texts, such as an intent, where there are other targets beside it."""
    enums = [name for name in task.target if _is_choice(task.schema["properties"][name])]
    return enums[0] if len(enums) == 1 and len(task.target) > 1 else None


def shown(span: Span) -> Json:
    """Return a span for an answer."""
    return {"start": span.start, "end": span.end, "type": span.type}


def to_tags(words: Sequence[tuple[int, int]], spans: Sequence[Span]) -> list[str]:
    """Return a BIO tag for every word of a text with these spans. A word is (start, end), with `end` exclusive."""
    tags = [OUTSIDE] * len(words)
    for span in spans:
        inside = [i for i, (start, end) in enumerate(words) if start < span.end and span.start < end]
        for index in inside:
            tags[index] = f"{'B' if index == inside[0] else 'I'}-{span.type}"
    return tags


def to_spans(words: Sequence[tuple[int, int]], tags: Sequence[str]) -> list[Span]:
    """Return the spans of BIO tags as seqeval reads them: an I- tag without a B- tag of its type begins a span."""
    from seqeval.metrics.sequence_labeling import get_entities

    return [Span(words[first][0], words[last][1], kind) for kind, first, last in get_entities(list(tags))]


def why_not_spans(task: Task, rows: Sequence[Json]) -> str:
    """Return the reason why a task with these rows is not a span task, or an empty string if it is one."""
    try:
        spans, choice = SpanTargets(task), choice_field(task)
        for row in rows:
            if choice and row.get(choice) is None:
                raise NoSpansError(f"{choice}: a row has none")
            spans.locate(row)
    except NoSpansError as error:
        return str(error)
    return ""


def _field(name: str, schema: Json) -> Field:
    items: Json = schema["items"] if isinstance(schema.get("items"), dict) else {}
    if _is_text(schema):
        return Field(name, many=False)
    if schema.get("type") == "array" and _is_text(items):
        return Field(name, many=True)
    parts = items.get("properties") or {}
    texts = [key for key, part in parts.items() if _is_text(part)]
    types = [key for key, part in parts.items() if part.get("enum")]
    if schema.get("type") == "array" and len(parts) == 2 and len(texts) == len(types) == 1:
        values = tuple(str(value) for value in parts[types[0]]["enum"])
        return Field(name, many=True, text=texts[0], type=types[0], types=values)
    raise NoSpansError(
        f"target {name} is neither a string, nor a list of strings, nor a list of objects with a string and an enum"
    )


def _is_choice(schema: Json) -> bool:
    values = schema.get("enum")
    return isinstance(values, list) and len(values) > 1 and all(isinstance(value, str) for value in values)


def _is_text(schema: Json) -> bool:
    kinds = schema.get("type")
    kinds = [kinds] if isinstance(kinds, str) else kinds or []
    return set(kinds) - {"null"} == {"string"} and "enum" not in schema


def _types(field: Field) -> list[str]:
    return [f"{field.name}.{value}" for value in field.types] if field.type else [field.name]


def _values(field: Field, value: Any) -> list[tuple[str, str]]:
    """Return (type, text) for every span in a field's value, without empty texts."""
    if not value:
        return []
    if field.type:
        return [(f"{field.name}.{part[field.type]}", part[field.text]) for part in value if part.get(field.text)]
    return [(field.name, part) for part in (value if field.many else [value]) if part]


def _free(text: str, value: str, taken: Sequence[bool]) -> int | None:
    """Return the first position of `value` that overlaps no other span, preferably as whole words, or None."""
    starts = []
    start = text.find(value)
    while start >= 0:
        if not any(taken[start : start + len(value)]):
            starts.append(start)
        start = text.find(value, start + 1)
    whole = [start for start in starts if _is_whole(text, start, start + len(value))]
    return next(iter(whole or starts), None)


def _is_whole(text: str, start: int, end: int) -> bool:
    return not (text[start - 1 : start].isalnum() or text[end : end + 1].isalnum())
