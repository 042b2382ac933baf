"""Write extraction samples as tokens with tags: the columns of CoNLL-2003, and JSON Lines with BIO tags."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from synthgen.formats.chat import write_lines
from synthgen.formats.fields import ExportFields
from synthgen.formats.format import LOAD, ExportRow, Format, RowError
from synthgen.formats.spans import tagged
from synthgen.records import Json
from synthgen.report.tables import utf8

_NEEDS = (("text", "spans", "type"),)
_DOCUMENT = "-DOCSTART- -X- -X- O"
_SPACE = re.compile(r"\s")


def _bio(fields: ExportFields, row: ExportRow) -> Json:
    return tagged(fields, row)


def _conll(fields: ExportFields, row: ExportRow) -> str:
    found = tagged(fields, row)
    for tag in found["ner_tags"]:
        if _SPACE.search(tag):
            raise RowError(f"{fields.path('type')}: '{tag[2:]}' has a space, which separates the columns of CoNLL")
    lines = (f"{token} -X- -X- {tag}" for token, tag in zip(found["tokens"], found["ner_tags"], strict=True))
    return "".join(f"{line}\n" for line in lines)


def _write_conll(_: ExportFields, splits: Mapping[str, Sequence[Any]]) -> dict[str, bytes]:
    return {
        f"{name}.conll": utf8("\n".join([f"{_DOCUMENT}\n", *records]) if records else "")
        for name, records in splits.items()
    }


BIO = Format(
    "Tokens and BIO tags: `id`, `tokens`, `ner_tags` (B-TYPE, I-TYPE, O)",
    "`datasets` and seqeval, for token classification",
    needs=_NEEDS,
    convert=_bio,
    write=write_lines,
    files="{split}.jsonl",
    load=LOAD,
    is_table=True,
)
CONLL = Format(
    "CoNLL-2003: a token a line with four columns, of which the first is the token and the last the BIO tag; an empty "
    "line between samples",
    "Flair, spaCy (`spacy convert -c ner`) and other taggers",
    needs=_NEEDS,
    convert=_conll,
    write=_write_conll,
    files="{split}.conll",
    load='samples = open("{file}", encoding="utf-8").read().split("\\n\\n")[1:]',
)
