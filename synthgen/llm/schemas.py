"""Walking a JSON Schema: where the schemas inside a schema stand, and a copy of it with each of them changed.

Knows which keywords hold schemas, so that a property called `minimum` or a `const` that looks like a schema is left alone.
"""

from collections.abc import Callable, Iterator

from synthgen.records import Json

_NAMED = ("properties", "patternProperties", "$defs", "definitions", "dependentSchemas")
_LISTED = ("anyOf", "oneOf", "allOf", "prefixItems", "items")
_SINGLE = (
    "items", "additionalItems", "additionalProperties", "unevaluatedItems", "unevaluatedProperties", "propertyNames",
    "contains", "not", "if", "then", "else",
)  # fmt: skip


def nodes(schema: Json, path: str = "task.schema") -> Iterator[tuple[str, Json]]:
    """Each schema object with the keys that lead to it, the outermost first."""
    yield path, schema
    for keyword, value in schema.items():
        if keyword in _NAMED and isinstance(value, dict):
            for name, part in value.items():
                if isinstance(part, dict):
                    yield from nodes(part, f"{path}.{keyword}.{name}")
        elif keyword in _LISTED and isinstance(value, list):
            for place, part in enumerate(value):
                if isinstance(part, dict):
                    yield from nodes(part, f"{path}.{keyword}.{place}")
        elif keyword in _SINGLE and isinstance(value, dict):
            yield from nodes(value, f"{path}.{keyword}")


def rebuilt(schema: Json, change: Callable[[Json], Json]) -> Json:
    """A copy in which `change` has replaced each schema object, the innermost first."""

    def copy(keyword: str, value: object) -> object:
        if keyword in _NAMED and isinstance(value, dict):
            return {name: again(part) for name, part in value.items()}
        if keyword in _LISTED and isinstance(value, list):
            return [again(part) for part in value]
        return again(value) if keyword in _SINGLE else value

    def again(part: object) -> object:
        return rebuilt(part, change) if isinstance(part, dict) else part

    return change({keyword: copy(keyword, value) for keyword, value in schema.items()})


def types(schema: Json) -> set[str]:
    """The JSON types that a schema object names; empty where it names none."""
    kind = schema.get("type")
    return {kind} if isinstance(kind, str) else set(kind or ())
