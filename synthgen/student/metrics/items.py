"""Compare answers item by item: lists (set_f1), events (trigger_f1, argument_f1) and tool calls.

Texts are compared without regard to case, width and white space. JSON values are compared as values.
"""

import json
import unicodedata
from collections.abc import Callable
from typing import Any

from synthgen.records import Json
from synthgen.student.metrics.base import Items, Mean, MicroF1
from synthgen.student.turns import UNREADABLE, read_json, read_target
from synthgen.tasks.task import Task

TOOL, ARGUMENTS = "name", "field"
"""Keys of the check `schema_of` that name the fields of a tool call."""


def set_f1(task: Task) -> MicroF1:
    """Return F1 over the items of all target fields. A field that is no list is one item.

    A list that another target refers to by a check of kind `member` does not count, because it only names the
    material of the other.
    """
    served = _served(task) & set(task.target)
    return MicroF1("set_f1", task.target, frozenset(set(task.target) - served or task.target),
                   lambda row: _items(task, row), _reader(task, lambda fields: _items(task, fields)))  # fmt: skip


def event_f1(task: Task, field: str, name: str) -> MicroF1:
    """Return F1 over triggers, each with the type of its event, or over arguments, each with its role and that type."""
    of = _triggers if name == "trigger_f1" else _arguments
    return MicroF1(name, (field,), frozenset([field]), lambda row: {field: of(row.get(field))},
                   _reader(task, lambda fields: {field: of(fields.get(field))}))  # fmt: skip


def call_accuracy(task: Task, tool: str, arguments: str) -> Mean:
    """Return the share of answers with the right tool and arguments, compared as JSON."""

    def score(row: Json, answer: str) -> float:
        true, given = (_call(fields, tool, arguments) for fields in (row, read_target(task, answer)))
        return float(given is not None and true == given)

    return Mean("call_accuracy", score)


def call_argument_f1(task: Task, tool: str, arguments: str) -> MicroF1:
    """Return F1 over the arguments of tool calls, each with its name and its tool."""

    def items(fields: Json) -> Items:
        name, given = _call(fields, tool, arguments) or (None, None)
        if not isinstance(given, dict):
            raise ValueError("the arguments are no JSON object")
        return {arguments: [_key([name, key, value]) for key, value in given.items()]}

    return MicroF1("argument_f1", (arguments,), frozenset([arguments]), items, _reader(task, items))


def event_field(task: Task) -> str | None:
    """Return the target field that is a list of events, objects with a `trigger`; None if the task has none."""
    for name in task.target:
        items = task.schema["properties"][name].get("items")
        if isinstance(items, dict) and "trigger" in items.get("properties", ()):
            return name
    return None


def call_fields(task: Task) -> tuple[str, str] | None:
    """Return the target fields of a tool and its arguments, as the check `schema_of` names them; None without one."""
    for check in task.checks:
        if isinstance(check, dict) and check.get("kind") == "schema_of" and {TOOL, ARGUMENTS} <= set(check):
            found = (str(check[TOOL]), str(check[ARGUMENTS]))
            if set(found) <= set(task.target):
                return found
    return None


def _reader(task: Task, items: Callable[[Json], Items]) -> Callable[[str], Items | None]:
    """Return a function that reads an answer's items; it returns None if a field lacks or has another form."""

    def read(answer: str) -> Items | None:
        fields = read_target(task, answer)
        if UNREADABLE in fields:
            return None
        for name, value in fields.items():
            if value is None or (
                task.schema["properties"][name].get("type") == "array" and not isinstance(value, list)
            ):
                return None
        try:
            return items(fields)
        except (TypeError, ValueError, AttributeError):  # a list of strings where objects are expected
            return None

    return read


def _items(task: Task, fields: Json) -> Items:
    found: Items = {}
    for name in task.target:
        value = fields.get(name)
        found[name] = [_key(item) for item in (value if isinstance(value, list) else [value]) if item not in (None, "")]
    return found


def _served(task: Task) -> set[str]:
    """Return the fields that a check of kind `member` looks values up in for another field."""
    pairs = [
        (str(field).partition("[")[0], str(check.get("of", "")).partition("[")[0])
        for check in task.checks
        if isinstance(check, dict) and check.get("kind") == "member"
        for field in _listed(check.get("field"))
    ]
    return {of for field, of in pairs if of != field and field in task.target}


def _listed(value: Any) -> list[Any]:
    """Return a key of a check that is one path or a list of paths as a list."""
    return list(value) if isinstance(value, list) else [value]


def _triggers(events: Any) -> list[str]:
    return [_key([event.get("type"), event.get("trigger")]) for event in events or ()]


def _arguments(events: Any) -> list[str]:
    return [
        _key([event.get("type"), argument.get("role"), argument.get("text")])
        for event in events or ()
        for argument in event.get("arguments") or ()
    ]


def _call(fields: Json, tool: str, arguments: str) -> tuple[Any, Any] | None:
    """Return the tool and its arguments; None if they cannot be read."""
    name, given = fields.get(tool), fields.get(arguments)
    if isinstance(given, str):
        given = read_json(given)
    return None if name is None or given is None else (name, _comparable(given))


def _key(item: Any) -> str:
    """Return a string that is equal for equal items."""
    return json.dumps(_comparable(item, fold=True), ensure_ascii=False, sort_keys=True)


def _comparable(value: Any, fold: bool = False) -> Any:
    """Return a value in which 1 equals 1.0 and not true, and with `fold` texts are equal as the module says."""
    if isinstance(value, dict):
        return {str(key): _comparable(part, fold) for key, part in value.items()}
    if isinstance(value, list):
        return [_comparable(part, fold) for part in value]
    if isinstance(value, bool):
        return ["true" if value else "false"]
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, str) and fold:
        return " ".join(unicodedata.normalize("NFKC", value).casefold().split())
    return value
