"""Paths to strings: which a schema has, through references and choices, and what they lead to in a row."""

from synthgen.tasks.paths import places, strings

TEXT = {"type": "string"}


def test_schema_positions_are_listed_by_path() -> None:
    schema = {
        "type": "object",
        "$defs": {"name": {"type": "object", "properties": {"first": TEXT}}},
        "properties": {
            "who": {"anyOf": [{"$ref": "#/$defs/name"}, {"type": "null"}]},
            "turns": {"type": "array", "items": {"properties": {"text": TEXT, "role": {"enum": ["a", "b"]}}}},
            "notes": {"type": ["string", "null"]},
            "any": {},
            "n": {"type": "number"},
        },
    }
    found = places(schema)
    assert [path for path, place in found.items() if place.holds_strings] == [
        "who.first", "turns[].text", "turns[].role", "notes", "any"
    ]  # fmt: skip
    assert found["who"].kinds == {"object", "null"}


def test_a_recursive_schema_is_walked_once() -> None:
    schema = {"type": "object", "properties": {"text": TEXT, "child": {"$ref": "#"}}}
    assert places(schema)["child.child.text"].holds_strings


def test_strings_come_with_the_keys_and_indices_that_lead_to_them() -> None:
    row = {"turns": [{"text": "a"}, {"role": "b"}, {"text": 3}, {"text": "c"}]}
    assert list(strings(row, ("turns", None, "text"))) == [(("turns", 0, "text"), "a"), (("turns", 3, "text"), "c")]
    assert list(strings({"turns": "a"}, ("turns", None, "text"))) == []
