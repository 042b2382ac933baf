"""The stand-in for a seed, with which prompts are rendered where a task has none."""

import pytest

from synthgen.records import Json
from synthgen.tasks.schemas import blank


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        ({"type": "string", "minLength": 5}, ""),
        ({"enum": ["b", "a"]}, "b"),
        ({"type": ["integer", "null"]}, 0),
        ({"type": "array", "items": {"type": "string"}, "minItems": 1}, []),
        ({"type": "object", "properties": {"a": {"type": "boolean"}, "b": {}}}, {"a": False, "b": ""}),
    ],
)
def test_a_blank_value_has_the_type_of_its_schema(schema: Json, value: object) -> None:
    assert blank(schema) == value
