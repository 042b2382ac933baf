"""Check the key `export` of a task, which maps its fields to the parts that export formats have.

`synthgen.formats` uses the map, and fills the parts that it leaves out from the task's kind and schema.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from synthgen.errors import ConfigError
from synthgen.records import Json
from synthgen.tasks.paths import Steps, places
from synthgen.tasks.typed import nearest

PARTS = {
    "instruction": "request to a model",
    "input": "material that the request is about",
    "output": "answer to the request; several fields become a JSON object",
    "system": "system message of a chat",
    "messages": "list of turns, each an object with `role` and `text` or `content`",
    "chosen": "better answer",
    "rejected": "worse answer",
    "desirable": "boolean: the answer is a good one",
    "tool": "name of the tool that the answer calls",
    "arguments": "arguments of the call, as JSON",
    "label": "label of a text, or list of labels",
    "text": "text that contains the spans",
    "spans": "strings that occur in `text`, such as `entities[].text`",
    "type": "type of each span, in the same list, such as `entities[].type`",
    "relations": "list of objects with `head`, `type` and `tail`, where head and tail are spans",
    "context": "passage that a question is about",
    "question": "question",
    "answers": "answer that occurs in `context`, or a list of them; empty for a question without an answer",
    "source": "text to translate or to rewrite",
    "target": "its translation or new form",
}
"""The parts of export formats, each with its meaning."""
CONSTANT = "text"
_MAY_BE_CONSTANT = ("instruction", "input", "system")
_MAY_BE_SEVERAL = (*_MAY_BE_CONSTANT, "output")


@dataclass(frozen=True)
class Constant:
    """Hold a text that is the same for every sample."""

    text: str


Value = tuple[Steps, ...] | Constant


def read_parts(export: Mapping[str, Any], schema: Json, key: str = "task.export") -> dict[str, Value]:
    """Return the part of each key of `export` as paths into a sample, or as a constant.

    Raise ConfigError for a part that no format has, and for a field that the schema does not have.
    """
    return {part: _read(part, value, schema, f"{key}.{part}") for part, value in export.items() if value is not None}


def _read(part: str, value: Any, schema: Json, key: str) -> Value:
    if part not in PARTS:
        raise ConfigError(f"{key}: no format has this part{nearest(part, PARTS)}")
    if isinstance(value, Mapping):
        if part not in _MAY_BE_CONSTANT or list(value) != [CONSTANT] or not isinstance(value[CONSTANT], str):
            raise ConfigError(
                f"{key}: write the name of a field; {', '.join(_MAY_BE_CONSTANT)} may also be the same text for all "
                "samples: {text: ...}"
            )
        return Constant(value[CONSTANT])
    names = value if isinstance(value, list) and part in _MAY_BE_SEVERAL else [value]
    known = places(schema)
    for name in names:
        if not isinstance(name, str):
            raise ConfigError(f"{key}: '{name}' is not the name of a field; write one, such as {next(iter(known))}")
        if name not in known:
            raise ConfigError(f"{key}: '{name}' is not a field of task.schema{nearest(name, known)}")
    return tuple(known[name].steps for name in names)
