"""Write pairs of a better and a worse answer for DPO, and single answers with a verdict for KTO."""

from collections.abc import Mapping, Sequence
from typing import Any

from synthgen.formats.chat import messages, prompt_of, said, unweighted, write_lines
from synthgen.formats.fields import ExportFields
from synthgen.formats.format import LOAD, ExportRow, Format, RowError
from synthgen.records import Json

_PAIR = ("instruction", "chosen", "rejected")


def _dpo(fields: ExportFields, row: ExportRow) -> Json:
    chosen, rejected = _text(fields, "chosen", row), _text(fields, "rejected", row)
    if chosen == rejected:
        raise RowError(f"{fields.path('rejected')}: equal to {fields.path('chosen')}, so that nothing can be preferred")
    return {"prompt": prompt_of(fields, row), "chosen": said(chosen), "rejected": said(rejected)}


def _kto(fields: ExportFields, row: ExportRow) -> list[Json]:
    """Return the answers of a sample: two where it has a pair, else one with the verdict of the field `desirable`."""
    if fields.has(*_PAIR):
        prompt = prompt_of(fields, row)
        return [
            {"prompt": prompt, "completion": said(_text(fields, part, row)), "label": part == "chosen"}
            for part in ("chosen", "rejected")
        ]
    [verdict] = fields.values("desirable", row.data) or [None]
    if not isinstance(verdict, bool):
        raise RowError(f"{fields.path('desirable')}: neither true nor false")
    *prompt, answer = unweighted(messages(fields, row))
    return [{"prompt": prompt, "completion": [answer], "label": verdict}]


def _text(fields: ExportFields, part: str, row: ExportRow) -> str:
    text = fields.text(part, row.data)
    if not text.strip():
        raise RowError(f"{fields.path(part)}: empty")
    return text


def _write_kto(fields: ExportFields, splits: Mapping[str, Sequence[Any]]) -> dict[str, bytes]:
    return write_lines(fields, {name: [one for found in records for one in found] for name, records in splits.items()})


DPO = Format(
    "Preference pairs: `prompt`, `chosen`, `rejected`, each a list of messages",
    "TRL's DPOTrainer and RewardTrainer",
    needs=(_PAIR,),
    convert=_dpo,
    write=write_lines,
    files="{split}.jsonl",
    load=LOAD,
    is_table=True,
)
KTO = Format(
    "KTO: `prompt`, `completion` and `label` (true for a good answer); a pair becomes two rows",
    "TRL's KTOTrainer",
    needs=(_PAIR, ("instruction", "output", "desirable")),
    convert=_kto,
    write=_write_kto,
    files="{split}.jsonl",
    load=LOAD,
    is_table=True,
)
