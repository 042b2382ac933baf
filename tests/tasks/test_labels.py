"""The forms of a classification task's target: one label or a grade."""

from typing import Any

import pytest

from synthgen.errors import ConfigError
from synthgen.tasks.labels import read_labels


def schema(part: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "properties": {"text": {"type": "string"}, "label": part}, "required": ["label"]}


def test_an_integer_enum_is_a_scale_of_grades_in_ascending_order() -> None:
    found = read_labels(["label"], schema({"type": "integer", "enum": [3, 1, 2]}), {"1": "not urgent"})
    assert found.grades == (1, 2, 3)
    assert dict(found.single) == {"1": "not urgent", "2": "", "3": ""}


@pytest.mark.parametrize(
    ("part", "message"),
    [
        ({"type": "integer", "enum": [1, "2"]}, "the grade '2' is not a whole number"),
        ({"type": "integer", "enum": [True, 2]}, "the grade True is not a whole number"),
        ({"enum": [1, 2]}, r"the label 1 is not text; put it in quotes \(\"1\"\), or set type: integer for grades"),
        ({"enum": ["a", "a"]}, "the same label is listed twice"),
        ({"enum": ["a"]}, "needs a list of at least two labels"),
    ],
)
def test_a_target_that_is_no_list_of_labels_is_refused_with_a_cure(part: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        read_labels(["label"], schema(part), {})
