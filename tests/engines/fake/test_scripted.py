"""The scripted writer: what it writes fits the schema that was asked for, whatever way the schema says it."""

import json
import random
from typing import Any

import jsonschema_rs
import pytest

from synthgen.engines.fake.scripted import Writer
from synthgen.engines.grammar.schema import choice
from synthgen.records import Grammar

TEXT = {"type": "string", "minLength": 3, "maxLength": 40}
FIELDS: dict[str, Any] = {
    "an integer or nothing": {"type": ["integer", "null"]},
    "several types": {"type": ["string", "boolean", "array"], "items": {"type": "number"}, "maxLength": 20},
    "bounds left out": {"type": "integer", "exclusiveMinimum": 5, "exclusiveMaximum": 8},
    "multiples": {"type": "integer", "minimum": 10, "maximum": 50, "multipleOf": 7},
    "numbers": {"type": "number", "minimum": -2.5, "maximum": -1},
    "any of": {
        "anyOf": [{"type": "null"}, {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}]
    },
    "any of what is required": {
        "type": "object",
        "properties": {"a": TEXT, "b": TEXT},
        "anyOf": [{"required": ["a"]}, {"required": ["b"]}],
    },
    "all of": {"allOf": [{"type": "object", "required": ["a"]}, {"properties": {"a": {"type": "boolean"}}}]},
    "a reference": {"$ref": "#/$defs/name"},
    "a tree": {"$ref": "#/$defs/tree"},
    "a pair": {"type": "array", "prefixItems": [TEXT, {"type": "integer"}], "minItems": 2, "maxItems": 2},
    "no type": {"properties": {"n": {"type": "integer"}}, "required": ["n"]},
}
DEFS = {
    "name": TEXT,
    "tree": {
        "type": "object",
        "properties": {"name": TEXT, "below": {"type": "array", "items": {"$ref": "#/$defs/tree"}, "maxItems": 2}},
        "required": ["name"],
    },
}


@pytest.mark.parametrize("name", FIELDS)
def test_what_is_written_fits_the_schema(name: str) -> None:
    schema = {"type": "object", "properties": {"field": FIELDS[name]}, "required": ["field"], "$defs": DEFS}
    validator, rng, found = jsonschema_rs.validator_for(schema), random.Random(1), set()
    for _ in range(40):
        text = Writer(1).write("About tea", Grammar(kind="json_schema", spec=schema), rng).text
        validator.validate(json.loads(text))
        found.add(text)
    assert len(found) > 1


@pytest.mark.parametrize("approve", [1.0, 0.0])
def test_a_comparison_has_the_same_winner_in_both_orders(approve: float) -> None:
    short, long = "[ab12]\nanswer: No.\n[ab12]", "[ab12]\nanswer: Ten minutes,\nnot more.\n[ab12]"
    writer, rng = Writer(0, approve=approve), random.Random(0)
    answers = [
        writer.write(f"Example A:\n{a}\nExample B:\n{b}\nWhich is better?", choice(("A", "B")), rng).text
        for a, b in ((short, long), (long, short))
    ]
    assert answers == (["B", "A"] if approve else ["A", "B"])
