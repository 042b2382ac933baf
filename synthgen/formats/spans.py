"""Find the spans of a sample in its text, and cut the text into tokens that begin and end where spans do."""

import re
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

from synthgen.filters.declared.offsets import placed
from synthgen.formats.fields import ExportFields
from synthgen.formats.format import ExportRow, RowError
from synthgen.records import Json
from synthgen.tasks.paths import values, written
from synthgen.tasks.scripts import UNSPACED

OUTSIDE = "O"
_TOKEN = re.compile(rf"[{UNSPACED}]|[^\W{UNSPACED}]+|[^\w\s]")


class TextSpan(NamedTuple):
    """Hold a string of a sample, its type and its place in the text, in characters."""

    text: str
    type: str
    start: int
    end: int


class Token(NamedTuple):
    text: str
    start: int
    end: int


def text_of(fields: ExportFields, row: ExportRow) -> str:
    """Return the text that contains the spans. Raise RowError for an empty one."""
    text = fields.text("text", row.data)
    if not text.strip():
        raise RowError(f"{fields.path('text')}: empty")
    if "\r" in text:
        raise RowError(
            f"{fields.path('text')}: holds a carriage return, which readers change, so that offsets would be wrong"
        )
    return text


def spans_of(fields: ExportFields, row: ExportRow, overlap: bool) -> list[TextSpan]:
    """Return the spans of a sample in its own order.

    Raise RowError for a string that has no place of its own in the text. With `overlap`, spans may share characters.
    """
    text = text_of(fields, row)
    steps = fields.steps("spans")
    found = [(path, value) for path, value in values(row.data, steps) if isinstance(value, str)]
    types = [str(value) for value in fields.values("type", row.data)]
    if len(types) != len(found):
        raise RowError(f"{fields.path('type')}: {len(types)} types for {len(found)} spans")
    starts = placed([value for _, value in found], text, overlap)
    spans = []
    for (path, value), kind, start in zip(found, types, starts, strict=True):
        if start is None:
            why = "it does not occur there" if overlap else "it does not occur there, or it overlaps with another span"
            raise RowError(f"{written(path)}: '{value}' has no place of its own in {fields.path('text')}: {why}")
        spans.append(TextSpan(value, kind, start, start + len(value)))
    return spans


def relations_of(fields: ExportFields, row: ExportRow, spans: Sequence[TextSpan]) -> list[tuple[str, int, int]]:
    """Return the relations as (type, number of the head's span, number of the tail's span), counted from 0."""
    if not fields.has("relations"):
        return []
    numbers: dict[str, int] = {}
    for number, span in enumerate(spans):
        numbers.setdefault(span.text, number)
    relations = []
    [listed] = fields.values("relations", row.data) or [[]]
    for place, relation in enumerate(listed or []):
        for end in ("head", "tail"):
            if relation[end] not in numbers:
                raise RowError(f"{fields.path('relations')}[{place}].{end}: '{relation[end]}' is no span")
        relations.append((str(relation["type"]), numbers[relation["head"]], numbers[relation["tail"]]))
    return relations


def tokens_of(text: str, spans: Sequence[TextSpan]) -> list[Token]:
    """Return the words and punctuation marks of a text. No token goes over the beginning or the end of a span.

    A character of a script without spaces between words is a token of its own.
    """
    cuts = {edge for span in spans for edge in (span.start, span.end)}
    found = []
    for match in _TOKEN.finditer(text):
        edges = [match.start(), *sorted(cut for cut in cuts if match.start() < cut < match.end()), match.end()]
        found += [Token(text[start:end], start, end) for start, end in pairwise(edges)]
    return found


def tagged(fields: ExportFields, row: ExportRow) -> Json:
    """Return a sample as tokens and BIO tags: B-TYPE at the first token of a span, I-TYPE at its others, O outside."""
    text, spans = text_of(fields, row), spans_of(fields, row, overlap=False)
    tokens = tokens_of(text, spans)
    tags = [OUTSIDE] * len(tokens)
    for span in spans:
        inside = [place for place, token in enumerate(tokens) if span.start <= token.start < span.end]
        if not inside:
            raise RowError(f"{fields.path('spans')}: '{span.text}' holds no word, so that no token carries its tag")
        for place in inside:
            tags[place] = f"{'I' if place != inside[0] else 'B'}-{span.type}"
    if not tokens:
        raise RowError(f"{fields.path('text')}: holds no word")
    return {"id": row.id, "tokens": [token.text for token in tokens], "ner_tags": tags}
