"""Write questions about passages as SQuAD 2.0: a passage with its questions, and each answer with its place."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from synthgen.formats.fields import ExportFields
from synthgen.formats.format import ExportRow, Format, RowError
from synthgen.records import Json
from synthgen.report.tables import utf8
from synthgen.tasks.normal import places_of

_PARTS = ("context", "question", "answers")


class _Asked(NamedTuple):
    context: str
    question: Json


def _squad(fields: ExportFields, row: ExportRow) -> _Asked:
    context, question = fields.text("context", row.data), fields.text("question", row.data)
    for part, text in (("context", context), ("question", question)):
        if not text.strip():
            raise RowError(f"{fields.path(part)}: empty")
    found = fields.values("answers", row.data)
    listed = found[0] if found and isinstance(found[0], list) else found
    answers = []
    for text in listed:
        if not isinstance(text, str | None):
            raise RowError(f"{fields.path('answers')}: {text} is no text")
        if not text:
            continue
        start = next(places_of(text, context), context.find(text))
        if start < 0:
            raise RowError(f"{fields.path('answers')}: '{text}' does not occur in {fields.path('context')}")
        answers.append({"text": text, "answer_start": start})
    return _Asked(context, {"id": row.id, "question": question, "answers": answers, "is_impossible": not answers})


def _write(fields: ExportFields, splits: Mapping[str, Sequence[Any]]) -> dict[str, bytes]:
    files = {}
    for name, records in splits.items():
        passages: dict[str, list[Json]] = {}
        for asked in records:
            passages.setdefault(asked.context, []).append(asked.question)
        articles = [
            {"title": f"{fields.task.name} {number}", "paragraphs": [{"context": context, "qas": questions}]}
            for number, (context, questions) in enumerate(passages.items(), start=1)
        ]
        # ASCII, because some readers split lines at characters that JSON allows in texts
        files[f"{name}.json"] = utf8(json.dumps({"version": "v2.0", "data": articles}, indent=1) + "\n")
    return files


SQUAD = Format(
    "SQuAD 2.0: `data`, `paragraphs`, `qas`; a question without an answer is `is_impossible`",
    "SQuAD's evaluation script, `transformers` (SquadV2Processor), Haystack",
    needs=(_PARTS,),
    convert=_squad,
    write=_write,
    files="{split}.json",
    load='import json\n\narticles = json.load(open("{file}"))["data"]',
)
