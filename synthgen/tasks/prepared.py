"""Recognise rows that `synthgen prepare` wrote, and leave out the fields that it added, so that they can be seeds."""

from collections.abc import Container
from typing import Any

from synthgen.records import Json

SOURCES = ("source", "prepared_source")
"""The fields that name the file and line of a row; the second one where a row has its own field `source`."""
LICENCE, SPLIT = "license", "split"
_ADDED = (*SOURCES, LICENCE, SPLIT)


def is_origin(value: Any) -> bool:
    """Return True for a value that a preparation wrote as the place of a row."""
    return isinstance(value, dict) and value.keys() == {"file", "line"}


def without_added(data: Json, own: Container[str]) -> Json:
    """Return a row without the fields that a preparation added, unless they are among the task's `own` fields."""
    if not any(is_origin(data.get(name)) for name in SOURCES):
        return data
    return {name: value for name, value in data.items() if name in own or name not in _ADDED}
