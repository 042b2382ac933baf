"""Write a sample as the turns of a chat, and read target fields back from an answer.

It depends on the task alone. `chat` turns the result into tokens.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from synthgen.records import Json
from synthgen.tasks.schemas import longest
from synthgen.tasks.task import Task

ASSISTANT, USER, SYSTEM = "assistant", "user", "system"
UNREADABLE = "unreadable"
"""Key of an answer that should be JSON and is not."""


@dataclass(frozen=True)
class Turn:
    """Hold one turn of a chat. The loss is on the tokens of turns that are `learnt`."""

    role: str
    text: str
    learnt: bool = False


def conversation(task: Task, row: Json) -> list[Turn]:
    """Return the turns of a sample.

    The input fields become the user's turn and the target fields the assistant's turn, which is learnt. In a dialogue
    the turns of the sample are the turns of the chat, its other input fields become the system turn, and every turn of
    the assistant is learnt.
    """
    if field := dialogue_field(task):
        about = [task.input_text({name: row.get(name) for name in task.input if name != field})]
        turns = [Turn(SYSTEM, text) for text in about if text] + _spoken(row.get(field) or ())
    else:
        turns = [Turn(USER, task.input_text(row))]
    return turns if field in task.target else [*turns, Turn(ASSISTANT, write_target(task, row), learnt=True)]


def asked(turns: Sequence[Turn]) -> list[Turn]:
    """Return the turns that a student has to answer: all turns, without an answer of the assistant at the end."""
    return list(turns[:-1] if turns and turns[-1].role == ASSISTANT else turns)


def complete(task: Task, row: Json) -> Json:
    """Return a sample whose dialogue ends with the assistant's last turn, which is the answer that is scored."""
    field = dialogue_field(task)
    if field is None or field not in task.target:
        return row
    turns = list(row.get(field) or ())
    while turns and turns[-1]["role"] != ASSISTANT:
        turns.pop()
    return {**row, field: turns}


def expected(task: Task, row: Json) -> str:
    """Return the answer that is right for a sample: its target, or in a dialogue the assistant's last turn."""
    return next((turn.text for turn in reversed(conversation(task, row)) if turn.role == ASSISTANT), "")


def answered(task: Task, row: Json, answer: str) -> Json:
    """Return the target fields as the student wrote them. In a dialogue they are the turns up to its answer."""
    field = dialogue_field(task)
    if field not in task.target:
        return read_target(task, answer)
    assert field is not None
    before = [{"role": turn.role, "text": turn.text} for turn in asked(conversation(task, row)) if turn.role != SYSTEM]
    return {field: [*before, {"role": ASSISTANT, "text": answer}]}


def dialogue_field(task: Task) -> str | None:
    """Return the field with the turns of a dialogue: an input field, or the only target field. None for other tasks."""
    if task.kind != "dialogue":
        return None
    names = [*(task.target if len(task.target) == 1 else ()), *task.input]
    return next((name for name in names if _is_turns(task.schema["properties"][name])), None)


def write_target(task: Task, row: Json) -> str:
    """Return the assistant's turn: one target field as text, several as a JSON object. `read_target` reverses it."""
    if len(task.target) == 1:
        return task.target_text(row)
    return json.dumps({name: row[name] for name in task.target if name in row}, ensure_ascii=False)


def read_target(task: Task, answer: str) -> Json:
    """Read the target fields from an answer. An answer that cannot be parsed stays text; missing fields are None."""
    if len(task.target) == 1:
        [name] = task.target
        if is_prose(task):
            return {name: answer}
        fields = read_json(answer)
        return {name: answer if fields is None else fields}
    fields = read_json(answer)
    if not isinstance(fields, dict):
        return {**dict.fromkeys(task.target), UNREADABLE: answer}
    return {name: fields.get(name) for name in task.target}


def longest_answer(task: Task) -> float:
    """Return the most characters of an answer that the schema allows; infinity where it sets no bound."""
    if (field := dialogue_field(task)) in task.target:
        return longest(task.schema["properties"][field]["items"]["properties"]["text"])
    fields = {name: task.schema["properties"][name] for name in task.target}
    return longest({"type": "object", "properties": fields} if len(fields) > 1 else fields[task.target[0]])


def is_prose(task: Task) -> bool:
    """Return True if the answer is the text of the only target field, and no JSON."""
    if len(task.target) > 1:
        return False
    [name] = task.target
    return name == dialogue_field(task) or task.schema["properties"][name].get("type", "string") == "string"


def read_json(text: str) -> Any:
    """Return the JSON value of a text; None if it is no JSON, or `null`."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _is_turns(schema: Json) -> bool:
    items = schema.get("items") if schema.get("type") == "array" else None
    return isinstance(items, dict) and {"role", "text"} <= set(items.get("properties", ()))


def _spoken(turns: Sequence[Json]) -> list[Turn]:
    """Return the turns of a dialogue. Turns of the same role in a row become one, because many templates refuse them."""
    found: list[Turn] = []
    for turn in turns:
        role, text = str(turn["role"]), str(turn["text"])
        if found and found[-1].role == role:
            text = f"{found.pop().text}\n{text}"
        found.append(Turn(role, text, role == ASSISTANT))
    return found
