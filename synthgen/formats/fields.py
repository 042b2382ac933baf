"""Determine which fields of a task are the instruction, the answer, the spans and so on, and read them from a sample.

The task's key `export` names them. The parts that it leaves out follow from the task's kind, schema and declared
checks.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from synthgen.records import Json
from synthgen.report.view import TaskView
from synthgen.tasks.exporting import Constant, Value, read_parts
from synthgen.tasks.paths import ITEMS, Steps, places, values, written
from synthgen.tasks.task import as_text

_PLACED = ("spans", "offsets")
"""Kinds of declared checks that name the text in which a string occurs."""
CONTENTS = ("text", "content")


@dataclass(frozen=True)
class ExportFields:
    """Hold a task and the parts of its samples, each as paths into a sample or as a constant text."""

    task: TaskView
    parts: Mapping[str, Value]

    def has(self, *parts: str) -> bool:
        return all(part in self.parts for part in parts)

    def path(self, part: str) -> str:
        """Return the path of a part, for messages."""
        value = self.parts.get(part)
        return part if value is None or isinstance(value, Constant) else written(value[0])

    def steps(self, part: str) -> Steps:
        value = self.parts[part]
        assert not isinstance(value, Constant)
        return value[0]

    def values(self, part: str, data: Json) -> list[Any]:
        """Return the values of a part that has one path, in the order of the sample."""
        return [value for _, value in values(data, self.steps(part))] if part in self.parts else []

    def text(self, part: str, data: Json) -> str:
        """Return a part as text: its non-empty fields, with empty lines between them; an empty text where it has none."""
        value = self.parts.get(part)
        if value is None:
            return ""
        if isinstance(value, Constant):
            return value.text
        found = [text for steps in value if (text := _text(data, steps))]
        return "\n\n".join(found)

    def answer(self, data: Json) -> str:
        """Return the part `output`: one field as text, several as a JSON object."""
        value = self.parts["output"]
        assert not isinstance(value, Constant)
        if len(value) == 1:
            return _text(data, value[0])
        found = {written(steps): inner for steps in value for _, inner in values(data, steps)}
        return json.dumps(found, ensure_ascii=False)


def fields_of(task: TaskView, export: Mapping[str, Any]) -> ExportFields:
    """Return the parts that a task's samples have. Raise ConfigError where `export` names a wrong part or field."""
    given = read_parts(export, task.schema)
    usual = {name: value for name, value in _usual(task).items() if export.get(name, "") is not None}
    return ExportFields(task, {**usual, **given})


def _usual(task: TaskView) -> dict[str, Value]:
    """Return the parts by the task's kind, schema and checks."""
    found: dict[str, Value] = {}
    turns = next((name for name in (*task.target, *task.input) if _is_turns(_property(task, name))), None)
    if turns is not None:
        others = [name for name in task.input if name != turns]
        answers = [name for name in task.target if name != turns]
        found |= {"messages": ((turns,),), **_named("system", others), **_named("output", answers)}
        return found | _call(task)
    found |= _spans(task) | _question(task) | _label(task)
    found |= _request(task, found) | _named("output", task.target)
    if "rejected" in task.schema.get("properties", {}) and len(task.target) == 1:
        found |= _named("chosen", task.target) | _named("rejected", ["rejected"])
    elif task.kind == "generation" and len(task.input) == len(task.target) == 1 and "context" not in found:
        texts = [*task.input, *task.target]
        if all(_is_text(_property(task, name)) for name in texts):
            found |= _named("source", task.input) | _named("target", task.target)
    return found


def _request(task: TaskView, found: Mapping[str, Value]) -> dict[str, Value]:
    """Return `instruction` and `input`. Classification and extraction get an instruction that is the same for all."""
    match task.kind:
        case "classification":
            asked = f"Give the {' and '.join(task.target)}. Answer with one of: {', '.join(task.labels)}."
            if not task.labels:
                asked = f"Give the {' and '.join(task.target)}. Answer with a JSON list."
            return {"instruction": Constant(asked), **_named("input", task.input)}
        case "extraction":
            asked = f"Find in the text: {', '.join(task.target)}. Answer with JSON."
            return {"instruction": Constant(asked), **_named("input", task.input)}
    if "question" in found:
        return {"instruction": found["question"], "input": found["context"]}
    first = "instruction" if "instruction" in task.input else task.input[0] if len(task.input) == 1 else None
    if first is None:
        return _named("instruction", task.input)
    return {**_named("instruction", [first]), **_named("input", [name for name in task.input if name != first])}


def _call(task: TaskView) -> dict[str, Value]:
    """Return `tool` and `arguments`: two target fields, where a declared check selects the second one's schema by the
    first."""
    for check in tool_checks(task):
        if check["name"] in task.target and check["field"] in task.target:
            return {**_named("tool", [check["name"]]), **_named("arguments", [check["field"]])}
    return {}


def tool_checks(task: TaskView) -> list[Json]:
    """Return the declared checks that have a JSON Schema for the arguments of each tool."""
    return [
        check
        for check in task.checks
        if isinstance(check, dict) and check.get("kind") == "schema_of" and {"name", "field", "schemas"} <= check.keys()
    ]


def _label(task: TaskView) -> dict[str, Value]:
    if task.kind != "classification" or len(task.input) != 1:
        return {}
    return {**_named("text", task.input), **_named("label", task.target)}


def _spans(task: TaskView) -> dict[str, Value]:
    """Return `text`, `spans`, `type` and `relations`: a list of strings that, by a declared check, occur in a text."""
    known = places(task.schema)
    for check in _placing(task):
        steps = known[check["field"]].steps
        if steps.count(ITEMS) != 1 or len(steps) != 3 or check["in"] not in known:
            continue
        items = _property(task, str(steps[0])).get("items") or {}
        parts = items.get("properties") or {}
        kind = next((name for name, part in parts.items() if isinstance(part, dict) and "enum" in part), None)
        if kind is None or any(part.get("type") in ("array", "object") for part in parts.values()):
            continue
        found: dict[str, Value] = {
            "text": (known[check["in"]].steps,),
            "spans": (steps,),
            "type": ((*steps[:2], kind),),
        }
        for name in task.target:
            inner = (_property(task, name).get("items") or {}).get("properties") or {}
            if {"head", "type", "tail"} <= inner.keys():
                found["relations"] = ((name,),)
        return found
    return {}


def _question(task: TaskView) -> dict[str, Value]:
    """Return `context`, `question` and `answers`: a target that, by a declared check, occurs in an input field."""
    for check in _placing(task):
        others = [name for name in task.input if name != check["in"]]
        if check["field"] in task.target and check["in"] in task.input and len(others) == 1:
            names = {"context": check["in"], "question": others[0], "answers": check["field"]}
            return {part: ((name,),) for part, name in names.items()}
    return {}


def _placing(task: TaskView) -> list[Json]:
    known = places(task.schema)
    return [
        check
        for check in task.checks
        if isinstance(check, dict) and check.get("kind") in _PLACED and check.get("field") in known and "in" in check
    ]


def _named(part: str, names: Sequence[str]) -> dict[str, Value]:
    return {part: tuple((name,) for name in names)} if names else {}


def _property(task: TaskView, name: str) -> Json:
    found = task.schema.get("properties", {}).get(name)
    return found if isinstance(found, dict) else {}


def _is_turns(part: Json) -> bool:
    names = ((part.get("items") or {}).get("properties") or {}).keys()
    return part.get("type") == "array" and "role" in names and any(name in names for name in CONTENTS)


def _is_text(part: Json) -> bool:
    return bool(part.get("type", "string") == "string")


def _text(data: Json, steps: Steps) -> str:
    found = [value for _, value in values(data, steps) if value is not None]
    return "\n".join(as_text(value) for value in found)
