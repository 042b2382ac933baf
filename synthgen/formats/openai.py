"""Write chats for OpenAI's fine-tuning, with calls of tools, and check them by its published rules."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from synthgen.errors import InputError
from synthgen.formats.chat import ASSISTANT, CHATS, SYSTEM, USER, messages, write_lines
from synthgen.formats.fields import ExportFields, tool_checks
from synthgen.formats.format import ExportRow, Format, RowError
from synthgen.records import Json, to_json

LEAST = 10
"""Fewest examples that OpenAI's fine-tuning takes in a training file."""
_SHOWN = 10
_KEYS = {"role", "content", "name", "weight", "tool_calls"}


def _openai(fields: ExportFields, row: ExportRow) -> Json:
    turns = messages(fields, row)
    call = _call(fields, row)
    if call:
        turns[-1] = {"role": ASSISTANT, "tool_calls": [call]}
    for number, turn in enumerate(turns):
        if "tool_calls" not in turn and not turn["content"].strip():
            path = fields.path("messages") if fields.has("messages") else fields.path("output")
            raise RowError(f"{path}: message {number + 1}, of the {turn['role']}, is empty, which OpenAI refuses")
        if "weight" in turn and (turn["role"] != ASSISTANT or turn["weight"] not in (0, 1)):
            raise RowError(
                f"{fields.path('messages')}: message {number + 1} has the weight {to_json(turn['weight'])}; OpenAI takes 0 or 1, for"
                " the assistant alone"
            )
    return {"messages": turns, **({"tools": _tools(fields)} if call else {})}


def _call(fields: ExportFields, row: ExportRow) -> Json:
    """Return the call of a tool that is the answer; empty for a task without tools."""
    if not fields.has("tool", "arguments"):
        return {}
    text = fields.text("arguments", row.data)
    try:
        arguments = json.loads(text)
    except ValueError as error:
        raise RowError(f"{fields.path('arguments')}: not JSON ({error})") from error
    if not isinstance(arguments, dict):
        raise RowError(f"{fields.path('arguments')}: no JSON object, as the arguments of a call are")
    return {
        "id": f"call_{row.number}",
        "type": "function",
        "function": {"name": fields.text("tool", row.data), "arguments": json.dumps(arguments, ensure_ascii=False)},
    }


def _tools(fields: ExportFields) -> list[Json]:
    """Return the tools with the schemas of their arguments, from the task's check `schema_of`."""
    return [
        {"type": "function", "function": {"name": name, "parameters": schema}}
        for check in tool_checks(fields.task)[:1]
        for name, schema in check["schemas"].items()
    ]


def _write(fields: ExportFields, splits: Mapping[str, Sequence[Any]]) -> dict[str, bytes]:
    files = write_lines(fields, splits)
    first = next(iter(files))
    if faults := openai_faults(files[first].decode()):
        more = [f"... and {len(faults) - _SHOWN} more"] if len(faults) > _SHOWN else []
        told = "\n".join([*faults[:_SHOWN], *more])
        raise InputError(f"--format openai: OpenAI's fine-tuning would refuse {first}:\n{told}")
    return files


def openai_faults(text: str) -> list[str]:
    """Return the violations of OpenAI's published rules for a chat fine-tuning file, as `line: fault`.

    The rules are those of "Data preparation and analysis for chat model fine-tuning" in OpenAI's cookbook, and the
    fewest examples of a training file.
    """
    found = []
    lines = [line for line in text.split("\n") if line]
    if len(lines) < LEAST:
        found.append(f"{len(lines)} examples; {LEAST} are the fewest")
    for number, line in enumerate(lines, start=1):
        example = json.loads(line)
        turns = example.get("messages") if isinstance(example, dict) else None
        if not turns:
            found.append(f"{number}: no messages")
            continue
        for turn in turns:
            if "role" not in turn or set(turn) - _KEYS:
                found.append(f"{number}: a message with the keys {', '.join(turn)}")
            if turn.get("role") not in (SYSTEM, USER, ASSISTANT):
                found.append(f"{number}: the role {turn.get('role')}")
            if turn.get("weight", 1) not in (0, 1) or ("weight" in turn and turn.get("role") != ASSISTANT):
                found.append(f"{number}: the weight {turn['weight']}; it is 0 or 1, for the assistant alone")
            if not turn.get("tool_calls") and not (isinstance(turn.get("content"), str) and turn["content"]):
                found.append(f"{number}: a message without content")
        if not any(turn.get("role") == ASSISTANT for turn in turns):
            found.append(f"{number}: no message of the assistant")
    return found


OPENAI = Format(
    f"OpenAI's chat fine-tuning: `messages`, checked by its rules (no empty message, an answer, {LEAST} samples or more); "
    "with `tool` and `arguments`, the answer is a call of a tool, and `tools` has their schemas",
    "OpenAI's fine-tuning API and hosts that follow it",
    needs=CHATS,
    convert=_openai,
    write=_write,
    files="{split}.jsonl",
    load='from openai import OpenAI\n\nOpenAI().files.create(file=open("{file}", "rb"), purpose="fine-tune")',
)
