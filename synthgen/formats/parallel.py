"""Write pairs of texts as WMT's tab-separated files: the source, a tab, the target, one pair a line, without quotes."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from synthgen.formats.fields import ExportFields
from synthgen.formats.format import ExportRow, Format, RowError
from synthgen.report.tables import utf8

_SEPARATOR = re.compile("[\t\n\r\x0b\x0c\x1c-\x1e\x85\u2028\u2029]")


def _pair(fields: ExportFields, row: ExportRow) -> str:
    texts = []
    for part in ("source", "target"):
        text = fields.text(part, row.data)
        if not text.strip():
            raise RowError(f"{fields.path(part)}: empty")
        if found := _SEPARATOR.search(text):
            name = f"U+{ord(found.group()):04X}"
            raise RowError(f"{fields.path(part)}: holds a tab or line break ({name}), which ends a column or line")
        texts.append(text)
    return "\t".join(texts)


def _write(_: ExportFields, splits: Mapping[str, Sequence[Any]]) -> dict[str, bytes]:
    return {f"{name}.tsv": utf8("".join(f"{line}\n" for line in lines)) for name, lines in splits.items()}


WMT = Format(
    "WMT's TSV: source, tab, target; no header and no quotes",
    "sacreBLEU, Marian, fairseq, after `cut -f`",
    needs=(("source", "target"),),
    convert=_pair,
    write=_write,
    files="{split}.tsv",
    load='pairs = [line.rstrip("\\n").split("\\t") for line in open("{file}", encoding="utf-8")]',
)
