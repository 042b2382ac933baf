"""Test JSON fields against a schema of the task, and against the schema that the sample holds."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from synthgen.errors import ConfigError
from synthgen.filters.declared.kinds import declared_checks
from synthgen.records import Verdict
from synthgen.tasks.task import Task

WEATHER = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "days": {"type": "integer", "minimum": 1}},
    "required": ["city"],
    "additionalProperties": False,
}
MAIL = {"type": "object", "properties": {"to": {"type": "string"}}, "required": ["to"]}
FIXED = {"kind": "schema_of", "field": "arguments", "schema": WEATHER}
NAMED = {
    "kind": "schema_of", "field": "calls[].arguments", "schema_from": "tools[].parameters", "name": "calls[].name",
    "schema_name": "tools[].name",
}  # fmt: skip
BY_NAME = {
    "kind": "schema_of", "field": "arguments", "name": "tool", "schemas": {"weather": WEATHER, "mail": MAIL},
}  # fmt: skip
TOOLS = [{"name": "weather", "parameters": json.dumps(WEATHER)}, {"name": "mail", "parameters": json.dumps(MAIL)}]


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ('{"city": "Oslo", "days": 2}', None),
        ('{"city": "奥斯陆"}', None),
        ('{"city": "Oslo", "days": "2"}', "misfit"),
        ('{"days": 2}', "misfit"),
        ('{"city": "Oslo", "unit": "C"}', "misfit"),
        ("{'city': 'Oslo'}", "not_json"),
        ('{"city": "Oslo"', "not_json"),
    ],
)
def test_json_text_fits_the_schema_of_the_task(
    verdict: Callable[..., Verdict], arguments: str, reason: str | None
) -> None:
    assert verdict(FIXED, arguments=arguments).reason == reason


def test_an_object_is_checked_as_it_is(verdict: Callable[..., Verdict]) -> None:
    assert verdict(FIXED, arguments={"city": "Oslo"}).outcome == "pass"
    assert verdict(FIXED, arguments={"days": 1}).reason == "misfit"


@pytest.mark.parametrize(
    ("name", "arguments", "reason"),
    [
        ("weather", '{"city": "Oslo"}', None),
        ("mail", '{"to": "Ann"}', None),
        ("mail", '{"city": "Oslo"}', "misfit"),
        ("maps", '{"city": "Oslo"}', "no_schema"),
    ],
)
def test_a_call_fits_the_schema_of_the_tool_that_it_names(
    verdict: Callable[..., Verdict], name: str, arguments: str, reason: str | None
) -> None:
    found = verdict(NAMED, tools=TOOLS, calls=[{"name": name, "arguments": arguments}])
    assert found.reason == reason
    if reason:
        assert found.details["field"] == "calls[0].arguments"


@pytest.mark.parametrize(
    ("tool", "arguments", "reason"),
    [
        ("weather", '{"city": "Oslo"}', None),
        ("mail", '{"to": "Ann"}', None),
        ("mail", '{"city": "Oslo"}', "misfit"),
        ("weather", '{"city": "Oslo", "days": 0}', "misfit"),
        ("maps", '{"city": "Oslo"}', "no_schema"),
        ("mail", "Ann", "not_json"),
    ],
)
def test_a_call_fits_the_schema_that_the_task_has_for_its_tool(
    verdict: Callable[..., Verdict], tool: str, arguments: str, reason: str | None
) -> None:
    assert verdict(BY_NAME, tool=tool, arguments=arguments).reason == reason


def test_every_tool_that_the_sample_may_name_needs_a_schema(declaring: Callable[..., Task]) -> None:
    check = {"kind": "schema_of", "field": "text", "name": "entities[].type", "schemas": {"person": MAIL}}
    with pytest.raises(ConfigError, match=r"schemas: has no JSON Schema for place, which entities\[\].type may be"):
        declared_checks(declaring(check))


@pytest.mark.parametrize(
    "source",
    ["{", '{"type": "strange"}', "[]", '{"$ref": "https://example.org/schema.json"}', '"' + "a" * 30_000 + '"'],
)
def test_a_schema_of_the_sample_that_is_none_is_rejected(verdict: Callable[..., Verdict], source: str) -> None:
    check = {"kind": "schema_of", "field": "value", "schema_from": "schema"}
    assert verdict(check, value="{}", schema=source).reason == "no_schema"


def test_a_pattern_in_a_schema_of_the_sample_takes_no_exponential_time(verdict: Callable[..., Verdict]) -> None:
    check = {"kind": "schema_of", "field": "value", "schema_from": "schema"}
    source = json.dumps({"type": "string", "pattern": "^(a+)+$"})
    assert verdict(check, value=json.dumps("a" * 5000 + "!"), schema=source).reason == "misfit"


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({}, "schema: give exactly one of `schema`, `schemas` and `schema_from`"),
        ({"schema": WEATHER, "schemas": {"a": WEATHER}}, "schema: give exactly one of"),
        ({"schemas": {"a": WEATHER}}, "name: is missing; `schemas` needs the path of the field"),
        ({"schemas": {"a": {"type": "strange"}}, "name": "text"}, "schemas.a: is not a valid JSON Schema"),
        ({"schemas": {"a": MAIL}, "name": "text", "schema_name": "text"}, "schema_name: belongs to schema_from"),
        ({"schema": MAIL, "name": "text"}, "name: is for several schemas; leave it out"),
        ({"schema": {"type": "strange"}}, "schema: is not a valid JSON Schema"),
        ({"schema_from": "text", "name": "text"}, "`name` and `schema_name` belong together"),
        ({"schema": [1]}, "schema: must be of type mapping"),
    ],
)
def test_wrong_keys_are_named(declaring: Callable[..., Task], keys: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        declared_checks(declaring({"kind": "schema_of", "field": "tags[]", **keys}))
    assert message in str(caught.value)
