"""Recognise rows that `synthgen prepare` wrote, and leave out the fields that it added, so that they can be seeds."""

import re
from collections.abc import Container
from typing import Any

from synthgen.records import Json

SOURCES = ("source", "prepared_source")
"""The fields that name the file and line of a row; the second one where a row has its own field `source`."""
LICENCE, SPLIT = "license", "split"
_ADDED = (*SOURCES, LICENCE, SPLIT)
_REMOTE = re.compile(r"hf:|(?!sql:|file:)\w+://")
"""The beginning of a name that means the same on every machine."""


def is_origin(value: Any) -> bool:
    """Return True for a value that a preparation wrote as the place of a row."""
    return isinstance(value, dict) and value.keys() == {"file", "line"}


def origin_of(data: Json, own: Container[str]) -> Json:
    """Return the place and the licence that a preparation added to a row; empty for any other row.

    The place has no folders of this machine, because it is published with the dataset.
    """
    place = next((data[name] for name in reversed(SOURCES) if is_origin(data.get(name))), None)
    if place is None:
        return {}
    file, licence = str(place["file"]), data.get(LICENCE)
    if not _REMOTE.match(file):
        file = file.rpartition("/")[2]
    found = {SOURCES[0]: {**place, "file": file}}
    return found | ({LICENCE: licence} if isinstance(licence, str) and LICENCE not in own else {})


def without_added(data: Json, own: Container[str]) -> Json:
    """Return a row without the fields that a preparation added, unless they are among the task's `own` fields."""
    if not any(is_origin(data.get(name)) for name in SOURCES):
        return data
    return {name: value for name, value in data.items() if name in own or name not in _ADDED}
