"""An extraction task with declared checks, and a way to make candidates of it."""

from collections.abc import Callable
from typing import Any

import pytest

from synthgen.records import Candidate, content_id
from synthgen.tasks.task import Task, TaskConfig, load_task

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
