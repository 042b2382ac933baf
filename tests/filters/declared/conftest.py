"""An extraction task with declared checks, and a way to make candidates of it."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from synthgen.filters.declared.kinds import declared_checks
from synthgen.records import Candidate, Verdict, content_id
from synthgen.tasks.loading import load_task
from synthgen.tasks.task import Task, TaskConfig

TEXT = {"type": "string", "minLength": 1, "maxLength": 200}
ENTITY = {"type": "object", "properties": {"text": TEXT, "type": {"enum": ["person", "place"]}}, "required": ["text"]}
SCHEMA = {
    "type": "object",
    "properties": {
        "text": TEXT,
        "entities": {"type": "array", "items": ENTITY},
        "tags": {"type": "array", "items": TEXT},
        "size": {"type": "integer"},
    },
    "required": ["text"],
}


@pytest.fixture(scope="session")
def declaring() -> Callable[..., Task]:
    """`declaring({kind: ...}, language="de")`: a task with these checks."""

    def make(*checks: Any, language: str = "en", **changes: Any) -> Task:
        fields: dict[str, Any] = {
            "name": "notes", "kind": "extraction", "schema": SCHEMA, "input": ["text"], "target": ["entities"],
            "prompts": "generation", "seeds": "examples/instruction/seeds.jsonl", "language": language,
            "checks": list(checks),
        }  # fmt: skip
        return load_task(TaskConfig(**(fields | changes)))

    return make


def schema_for(value: Any) -> dict[str, Any]:
    """Return a schema that a value fits; all items of a list share one."""
    match value:
        case bool():
            return {"type": "boolean"}
        case int() | float():
            return {"type": "number"}
        case str():
            return {"type": "string"}
        case list():
            items: dict[str, Any] = {}
            for part in map(schema_for, value):
                items = {**items, **part, "properties": items.get("properties", {}) | part.get("properties", {})}
            return {"type": "array", "items": {key: part for key, part in items.items() if part}}
    return {"type": "object", "properties": {name: schema_for(part) for name, part in value.items()}}


@pytest.fixture(scope="session")
def verdict(declaring: Callable[..., Task], of: Callable[..., Candidate]) -> Callable[..., Verdict]:
    """`verdict({kind: ...}, field="...")`: the verdict of this check on a sample with these fields."""

    def ask(check: dict[str, Any], language: str = "en", **data: Any) -> Verdict:
        fields = {"x": "", "y": ""} | data
        task = declaring(check, language=language, schema=schema_for(fields), input=["x"], target=["y"])
        [one] = declared_checks(task)
        return asyncio.run(one(of(**data)))

    return ask


@pytest.fixture(scope="session")
def of() -> Callable[..., Candidate]:
    """`of(text="...", entities=[...])`: a candidate with these fields."""

    def make(**data: Any) -> Candidate:
        fields: dict[str, Any] = {
            "id": content_id(data), "slot": 0, "item": 0, "text": "", "data": data, "finish_reason": "stop",
            "parents": (), "depth": 1, "strategy": "fewshot", "template": "t",
        }  # fmt: skip
        return Candidate(**fields)

    return make
