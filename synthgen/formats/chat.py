"""Write samples as instructions and chats: Alpaca, ShareGPT, and TRL's two forms."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from synthgen.formats.fields import CONTENTS, ExportFields
from synthgen.formats.format import LOAD, ExportRow, Format, RowError
from synthgen.records import Json, to_json
from synthgen.report.tables import json_lines, utf8

SYSTEM, USER, ASSISTANT = "system", "user", "assistant"
_SPEAKERS = {SYSTEM: "system", USER: "human", ASSISTANT: "gpt"}
CHATS = (("messages",), ("instruction", "output"))


def messages(fields: ExportFields, row: ExportRow) -> list[Json]:
    """Return a sample as a chat that ends with the assistant's answer. Turns of one role in a row become one.

    A turn's `weight` is kept, which OpenAI's fine-tuning alone reads. Raise RowError for a role that chats do not have, for
    a turn without a text, and for a chat without an answer.
    """
    system = fields.text("system", row.data)
    found: list[Json] = [{"role": SYSTEM, "content": system}] if system else []
    if fields.has("messages"):
        found += _turns(fields, row)
    else:
        found.append({"role": USER, "content": _request(fields, row)})
    if not fields.has("messages") or fields.has("output"):
        found.append({"role": ASSISTANT, "content": fields.answer(row.data)})
    while found and found[-1]["role"] != ASSISTANT:  # nobody answers the last turns
        found.pop()
    if not found:
        raise RowError(f"{fields.path('messages')}: the assistant says nothing")
    return found


def prompt_of(fields: ExportFields, row: ExportRow) -> list[Json]:
    """Return the request of a sample as the turns before an answer."""
    system = fields.text("system", row.data)
    start = [{"role": SYSTEM, "content": system}] if system else []
    return [*start, {"role": USER, "content": _request(fields, row)}]


def said(text: str) -> list[Json]:
    """Return an answer as a turn."""
    return [{"role": ASSISTANT, "content": text}]


def _request(fields: ExportFields, row: ExportRow) -> str:
    parts = [fields.text("instruction", row.data), fields.text("input", row.data)]
    text = "\n\n".join(part for part in parts if part)
    if not text.strip():
        raise RowError(f"{fields.path('instruction')}: empty, so that there is no request")
    return text


def _turns(fields: ExportFields, row: ExportRow) -> list[Json]:
    found: list[Json] = []
    [turns] = fields.values("messages", row.data) or [[]]
    for number, turn in enumerate(turns or []):
        where = f"{fields.path('messages')}[{number}]"
        role, content, weight = _said(where, turn)
        if role not in _SPEAKERS:
            raise RowError(f"{where}.role: '{role}' is none of {', '.join(_SPEAKERS)}")
        if found and found[-1]["role"] == role:
            before = found.pop()
            if before.get("weight") != weight:
                raise RowError(f"{where}.weight: differs from that of the turn before, of the same role")
            content = f"{before['content']}\n{content}"
        found.append({"role": role, "content": content, **({"weight": weight} if weight is not None else {})})
    return found


def _said(where: str, turn: Any) -> tuple[Any, str, Any]:
    """Return role, text and weight of a turn. Raise RowError where it has no text."""
    if not isinstance(turn, dict):
        raise RowError(f"{where}: no turn, which is an object with role and text")
    name = next((name for name in CONTENTS if name in turn), None)
    if name is None:
        raise RowError(f"{where}: has none of the fields {', '.join(CONTENTS)}, which hold what is said")
    if not isinstance(turn[name], str):
        raise RowError(f"{where}.{name}: {to_json(turn[name])[:60]} is no text")
    return turn.get("role"), turn[name], turn.get("weight")


def _alpaca(fields: ExportFields, row: ExportRow) -> Json:
    if fields.has("instruction", "output"):
        return {
            "instruction": fields.text("instruction", row.data),
            "input": fields.text("input", row.data),
            "output": fields.answer(row.data),
        }
    *before, answer = [turn for turn in messages(fields, row) if turn["role"] != SYSTEM]
    if not before:
        raise RowError(f"{fields.path('messages')}: begins with the answer, so that there is no instruction")
    *before, question = before
    if any(turn["role"] == ASSISTANT for turn in before[::2]) or question["role"] != USER:
        raise RowError(f"{fields.path('messages')}: user and assistant do not take turns")
    pairs = [[one["content"], other["content"]] for one, other in zip(before[::2], before[1::2], strict=True)]
    system = fields.text("system", row.data)
    return {
        "instruction": question["content"],
        "input": "",
        "output": answer["content"],
        "system": system,
        "history": pairs,
    }


def _sharegpt(fields: ExportFields, row: ExportRow) -> Json:
    turns = messages(fields, row)
    return {
        "system": "".join(turn["content"] for turn in turns if turn["role"] == SYSTEM),
        "conversations": [
            {"from": _SPEAKERS[turn["role"]], "value": turn["content"]} for turn in turns if turn["role"] != SYSTEM
        ],
    }


def unweighted(turns: Sequence[Json]) -> list[Json]:
    """Return turns without weights, for formats that have none."""
    return [{"role": turn["role"], "content": turn["content"]} for turn in turns]


def _trl_messages(fields: ExportFields, row: ExportRow) -> Json:
    return {"messages": unweighted(messages(fields, row))}


def _prompt_completion(fields: ExportFields, row: ExportRow) -> Json:
    *prompt, answer = unweighted(messages(fields, row))
    if not prompt:
        raise RowError(f"{fields.path('messages')}: begins with the answer, so that there is no prompt")
    return {"prompt": prompt, "completion": [answer]}


def write_lines(_: ExportFields, splits: Mapping[str, Sequence[Any]]) -> dict[str, bytes]:
    """Write each split as JSON Lines."""
    return {f"{name}.jsonl": json_lines(records) for name, records in splits.items()}


def write_array(_: ExportFields, splits: Mapping[str, Sequence[Any]]) -> dict[str, bytes]:
    """Write each split as one JSON array, one record a line."""
    return {
        f"{name}.json": utf8("[\n")
        + utf8(",\n").join(json_lines([one]).rstrip(b"\n") for one in records)
        + utf8("\n]\n")
        for name, records in splits.items()
    }


_lines = partial(Format, needs=CHATS, write=write_lines, files="{split}.jsonl", load=LOAD, is_table=True)
_array = partial(Format, write=write_array, files="{split}.json", load=LOAD, is_table=True)

ALPACA = _array(
    "Alpaca: `instruction`, `input`, `output`; a dialogue also has `system` and `history`",
    "LLaMA-Factory, Axolotl, `datasets`",
    needs=(("instruction", "output"), ("messages",)),
    convert=_alpaca,
)
SHAREGPT = _array(
    "ShareGPT: `system` and `conversations` of `from` (human, gpt) and `value`",
    "LLaMA-Factory, Axolotl, `datasets`",
    needs=CHATS,
    convert=_sharegpt,
)
TRL_MESSAGES = _lines(
    "TRL, conversational language modelling: `messages` of `role` and `content`",
    "TRL's SFTTrainer",
    convert=_trl_messages,
)
TRL_PROMPT_COMPLETION = _lines(
    "TRL, conversational prompt-completion: `prompt` and `completion`, each a list of messages; a dialogue's completion is "
    "its last answer",
    "TRL's SFTTrainer, with the loss on the completion alone",
    convert=_prompt_completion,
)
