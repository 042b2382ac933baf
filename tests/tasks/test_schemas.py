"""Bounds on the values of a schema."""

import json
import math

import pytest

from synthgen.tasks.schemas import longest

WORD = {"type": "string", "maxLength": 5}


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        (WORD, "abcde"),
        ({"enum": ["on", "off", "dimmed"]}, "dimmed"),
        ({"const": "on"}, "on"),
        ({"type": ["string", "null"], "maxLength": 9}, "abcdefghi"),
        ({"anyOf": [{"type": "boolean"}, WORD]}, "abcde"),
    ],
)
def test_a_value_is_as_long_as_its_longest_json(schema, value):
    assert longest(schema) == len(json.dumps(value))


def test_lists_and_objects_add_up_to_at_least_their_longest_json():
    pair = {"type": "object", "properties": {"text": WORD, "kind": {"enum": ["ab", "c"]}, "at": {"type": "integer"}}}
    value = [{"text": "abcde", "kind": "ab", "at": 123456}] * 3
    found = longest({"type": "array", "items": pair, "maxItems": 3})
    assert len(json.dumps(value)) <= found < 2 * len(json.dumps(value))


@pytest.mark.parametrize(
    "schema", [{"type": "string"}, {"type": "array", "items": WORD}, {"type": "object"}, {}, {"$ref": "#/$defs/x"}]
)
def test_a_value_without_a_bound_has_no_longest(schema):
    assert longest(schema) == math.inf
