"""Write samples for annotation tools: brat's standoff files, and doccano's JSON Lines."""

import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from synthgen.formats.chat import write_lines
from synthgen.formats.fields import ExportFields
from synthgen.formats.format import ExportRow, Format, RowError
from synthgen.formats.spans import TextSpan, relations_of, spans_of, text_of
from synthgen.records import Json
from synthgen.report.tables import utf8

_SPANS = ("text", "spans", "type")
_BREAK = re.compile(r"[\r\n]+")
_TYPE = re.compile(r"[\w-]+")


class _Document(NamedTuple):
    """Hold a brat document: its text, its annotation lines, its spans and the types of its relations."""

    text: str
    lines: list[str]
    spans: list[TextSpan]
    relations: list[str]


def _brat(fields: ExportFields, row: ExportRow) -> _Document:
    text, spans = text_of(fields, row), spans_of(fields, row, overlap=True)
    relations = relations_of(fields, row, spans)
    for part, kinds in (("type", [span.type for span in spans]), ("relations", [kind for kind, _, _ in relations])):
        for kind in kinds:
            if not _TYPE.fullmatch(kind):
                raise RowError(f"{fields.path(part)}: '{kind}' is no type of brat, which has letters, digits, - and _")
    lines = [f"T{number}\t{span.type} {_places(text, span)}" for number, span in enumerate(spans, start=1)]
    lines += [
        f"R{number}\t{kind} Arg1:T{head + 1} Arg2:T{tail + 1}"
        for number, (kind, head, tail) in enumerate(relations, start=1)
    ]
    return _Document(text, lines, spans, [kind for kind, _, _ in relations])


def _places(text: str, span: TextSpan) -> str:
    """Return the places of a span and its text. A span over a line break has a place on each line."""
    edges = [span.start]
    for match in _BREAK.finditer(text, span.start, span.end):
        edges += [match.start(), match.end()]
    edges.append(span.end)
    pieces = list(zip(edges[::2], edges[1::2], strict=True))
    return (
        f"{';'.join(f'{start} {end}' for start, end in pieces)}\t{' '.join(text[start:end] for start, end in pieces)}"
    )


def _write_brat(_: ExportFields, splits: Mapping[str, Sequence[Any]]) -> dict[str, bytes]:
    files: dict[str, bytes] = {}
    for name, records in splits.items():
        for number, document in enumerate(records, start=1):
            files[f"{name}/{number:06}.txt"] = utf8(document.text)
            files[f"{name}/{number:06}.ann"] = utf8("".join(f"{line}\n" for line in document.lines))
    documents = [document for records in splits.values() for document in records]
    entities = sorted({span.type for document in documents for span in document.spans})
    relations = sorted({kind for document in documents for kind in document.relations})
    config = [
        "[entities]",
        *entities,
        "",
        "[relations]",
        *(f"{kind}\tArg1:<ENTITY>, Arg2:<ENTITY>" for kind in relations),
    ]
    files["annotation.conf"] = utf8("\n".join([*config, "", "[events]", "", "[attributes]", ""]))
    return files


def _doccano(fields: ExportFields, row: ExportRow) -> Json:
    """Return a sample for the project type that fits: sequence labelling, relations, or text classification."""
    if not fields.has(*_SPANS):
        [label] = fields.values("label", row.data) or [None]
        labels = label if isinstance(label, list) else [] if label is None else [label]
        return {"id": row.number, "text": text_of(fields, row), "label": [str(one) for one in labels]}
    spans = spans_of(fields, row, overlap=True)
    record: Json = {"id": row.number, "text": text_of(fields, row)}
    if not fields.has("relations"):
        return {**record, "label": [[span.start, span.end, span.type] for span in spans]}
    entities = [
        {"id": number, "label": span.type, "start_offset": span.start, "end_offset": span.end}
        for number, span in enumerate(spans)
    ]
    relations = [
        {"id": number, "from_id": head, "to_id": tail, "type": kind}
        for number, (kind, head, tail) in enumerate(relations_of(fields, row, spans))
    ]
    return {**record, "entities": entities, "relations": relations}


BRAT = Format(
    "brat standoff: for each sample a `.txt` with the text and a `.ann` with spans and relations; `annotation.conf` has "
    "the types",
    "brat, and tools that read its standoff format",
    needs=(_SPANS,),
    convert=_brat,
    write=_write_brat,
    files="{split}/",
    load='text, spans = open("{out}/train/000001.txt").read(), open("{out}/train/000001.ann").read()',
)
DOCCANO = Format(
    "doccano JSON Lines: `text` with `label` (spans or labels), or with `entities` and `relations`",
    "doccano's import for sequence labelling, relation extraction and text classification",
    needs=(_SPANS, ("text", "label")),
    convert=_doccano,
    write=write_lines,
    files="{split}.jsonl",
    load='import json\n\nrows = [json.loads(line) for line in open("{file}", encoding="utf-8")]',
)
