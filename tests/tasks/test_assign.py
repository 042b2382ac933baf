"""Test what slots ask for where a task names fields in `assign`: values, combinations, and what a sample fits."""

from typing import Any

import pytest

from synthgen.errors import ConfigError
from synthgen.tasks.loading import load_task
from synthgen.tasks.task import Task, TaskConfig

TEXT = {"type": "string"}
ENTITY = {"type": "object", "properties": {"text": TEXT, "type": {"$ref": "#/$defs/kind"}}}
SCHEMA = {
    "type": "object",
    "$defs": {"kind": {"enum": ["person", "place"]}},
    "properties": {
        "tone": {"enum": ["formal", "casual"]},
        "urgent": {"type": "boolean"},
        "text": TEXT,
        "entities": {"type": "array", "items": ENTITY},
        "aspects": {"type": "array", "items": {"enum": ["food", "service"]}},
        "grade": {"enum": [1, 2, 3]},
    },
    "required": ["tone", "text"],
}


def changed(field: str, **keywords: Any) -> dict[str, Any]:
    """Return the schema with other keywords in one field."""
    properties: dict[str, Any] = SCHEMA["properties"]  # type: ignore[assignment]
    return SCHEMA | {"properties": properties | {field: properties[field] | keywords}}


def task(*assign: str, **changes: Any) -> Task:
    fields: dict[str, Any] = {
        "name": "notes", "kind": "generation", "schema": SCHEMA, "input": ["text"], "target": ["aspects"],
        "prompts": "generation", "seeds": "examples/instruction/seeds.jsonl", "assign": list(assign),
    }  # fmt: skip
    return load_task(TaskConfig(**(fields | changes)))


def test_a_field_of_the_sample_is_given_and_not_generated() -> None:
    found = task("tone")
    assert found.asked == ("formal", "casual")
    assert "tone" not in found.free_schema["properties"]
    assert found.free_schema["required"] == ["text"]
    assert found.labelled({"text": "Hello"}, "casual") == {"tone": "casual", "text": "Hello"}
    assert found.text({"tone": "casual", "text": "Hello"}) == "Hello"


def test_several_fields_are_combined_and_keep_their_types() -> None:
    found = task("urgent", "grade")
    assert found.asked[:2] == ("urgent=true, grade=1", "urgent=true, grade=2")
    assert len(found.asked) == 6
    assert found.labelled({"text": "Hello"}, "urgent=false, grade=3") == {"urgent": False, "text": "Hello", "grade": 3}
    assert found.asked_of({"urgent": True, "grade": 2}) == "urgent=true, grade=2"
    assert found.asked_of({"urgent": 1, "grade": True}) is None


@pytest.mark.parametrize(
    ("path", "data", "keys"),
    [
        ("entities[].type", {"entities": [{"text": "Rome", "type": "place"}, {"text": "Ann", "type": "person"}]},
         ["person", "place"]),
        ("entities[].type", {"entities": []}, []),
        ("entities[].type | none", {"entities": []}, ["none"]),
        ("entities[].type | none", {"text": "Rain."}, ["none"]),
        ("entities[].type | none", {"entities": [{"text": "Rome", "type": "place"}]}, ["place"]),
        ("entities[].type | none", {"entities": [{"text": "Rome"}]}, []),
        ("aspects[] | none", {"aspects": []}, ["none"]),
        ("aspects[]", {"aspects": ["service"]}, ["service"]),
        ("tone", {"tone": "formal"}, ["formal"]),
    ],
)  # fmt: skip
def test_a_sample_fits_every_value_that_it_has(path: str, data: dict[str, Any], keys: list[str]) -> None:
    assert task(path).assigned.keys_of(data) == keys


def test_a_sample_counts_for_the_value_that_was_asked_for() -> None:
    sample = {"entities": [{"type": "person"}, {"type": "place"}]}
    assert task("entities[].type").asked_of(sample, "place") == "place"
    assert task("entities[].type").asked_of({"entities": [{"type": "person"}]}, "place") == "person"


def test_a_field_in_a_list_is_generated_and_checked() -> None:
    found = task("entities[].type")
    assert "entities" in found.free_schema["properties"]
    assert found.assigned.needs_check
    assert not task("tone").assigned.needs_check
    [wish] = found.assigned.wishes["place"]
    assert (wish.inside, wish.field, wish.text) == ("entities", "type", "place")
    [wish] = task("aspects[]").assigned.wishes["food"]
    assert (wish.inside, wish.field) == ("aspects", "")


def test_a_list_may_be_asked_to_be_empty() -> None:
    found = task("entities[].type | none", labels={"none": "nobody is named"})
    assert found.asked == ("person", "place", "none")
    [wish] = found.assigned.wishes["none"]
    assert (wish.inside, wish.text, wish.meaning, wish.is_none) == ("entities", "none", "nobody is named", True)
    assert found.assigned.lacking("none", {"entities": [{"type": "place"}]}) == wish
    assert found.assigned.lacking("none", {"entities": []}) is None
    assert task("tone", "entities[].type | none").asked[2] == "tone=formal, entities[].type=none"


def test_the_definition_of_a_task_without_assign_is_that_of_older_ledgers() -> None:
    assert not {"assign", "asked"} & task().definition().keys()
    assert task("tone", labels={"formal": "polite"}).definition()["asked"] == {"formal": ["polite"], "casual": [""]}


@pytest.mark.parametrize(
    ("assign", "changes", "message"),
    [
        (["mood"], {}, "task.assign[0]: 'mood' is not a field of task.schema (it has: tone, urgent"),
        (["text"], {}, "task.assign[0]: 'text' has no enum of two or more values"),
        (["tone", "tone"], {}, "task.assign[1]: 'tone' is listed twice"),
        (
            ["tone | none"],
            {},
            "task.assign[0]: 'tone | none' is not in a list, which alone can be empty; remove '| none'",
        ),
        (
            ["aspects[] | none"],
            {"schema": changed("aspects", items={"enum": ["food", "none"]})},
            "'aspects[] | none' has a value 'none' of its own in task.schema; rename it",
        ),
        (["aspects[] | none"], {"schema": changed("aspects", minItems=1)}, "task.schema has minItems: 1; remove one"),
        (["tone"], {"labels": {"rude": ""}}, "task.labels: 'rude' is not a value of a field in task.assign"),
        ([], {"labels": {"formal": ""}}, "name its field in task.assign too"),
        (
            ["urgent"],
            {"kind": "classification", "target": ["tone"], "schema": SCHEMA | {"required": ["tone"]}},
            "task.assign: classification assigns its label, 'tone', and no other field; leave out urgent",
        ),
    ],
)
def test_what_cannot_be_assigned_is_named(assign: list[str], changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        task(*assign, **changes)
    assert message in str(caught.value)


def test_too_many_combinations_are_refused() -> None:
    many = {f"f{n}": {"enum": ["a", "b", "c"]} for n in range(5)}
    schema = {"type": "object", "properties": {"text": TEXT, "out": TEXT, **many}}
    with pytest.raises(ConfigError, match="have 243 combinations of values, and at most 200 are possible"):
        task(*many, schema=schema, target=["out"])


def test_classification_may_name_its_label() -> None:
    found = task("tone", kind="classification", target=["tone"])
    assert (found.asked, found.assign) == (("formal", "casual"), ())
