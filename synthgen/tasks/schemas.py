"""Walk a JSON Schema: list the schemas inside it, copy it with each of them changed, and bound its values.

Only keywords that hold schemas are followed. A property called `minimum`, or a `const` that looks like a schema, is
left unchanged.
"""

import json
import math
from collections.abc import Callable, Iterator
from typing import Any

from synthgen.records import Json

_NAMED = ("properties", "patternProperties", "$defs", "definitions", "dependentSchemas")
_LISTED = ("anyOf", "oneOf", "allOf", "prefixItems", "items")
_SINGLE = (
    "items", "additionalItems", "additionalProperties", "unevaluatedItems", "unevaluatedProperties", "propertyNames",
    "contains", "not", "if", "then", "else",
)  # fmt: skip

_A_NUMBER = 24
"""Most characters of a number that is written by a model."""
BOUNDS = frozenset(("minLength", "maxLength", "minItems", "maxItems", "pattern", "format"))
"""Keywords that limit the lengths, sizes and patterns of values. Other keywords define types, fields and choices."""


def nodes(schema: Json, path: str = "task.schema") -> Iterator[tuple[str, Json]]:
    """Yield each schema object with the keys that lead to it, the outermost first."""
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
    """Return a copy in which `change` has replaced each schema object, the innermost first."""

    def copy(keyword: str, value: object) -> object:
        if keyword in _NAMED and isinstance(value, dict):
            return {name: again(part) for name, part in value.items()}
        if keyword in _LISTED and isinstance(value, list):
            return [again(part) for part in value]
        return again(value) if keyword in _SINGLE else value

    def again(part: object) -> object:
        return rebuilt(part, change) if isinstance(part, dict) else part

    return change({keyword: copy(keyword, value) for keyword, value in schema.items()})


def longest(schema: Json) -> float:
    """Return the most characters that a value takes as JSON; infinity where the schema sets no bound.

    Characters that JSON escapes count once.
    """
    if "enum" in schema or "const" in schema:
        return max(len(json.dumps(value, ensure_ascii=False)) for value in schema.get("enum", [schema.get("const")]))
    if options := schema.get("anyOf") or schema.get("oneOf"):
        return max(map(longest, options))
    kinds = schema.get("type", ())
    return max((_longest_of(kind, schema) for kind in ([kinds] if isinstance(kinds, str) else kinds)), default=math.inf)


def _longest_of(kind: str, schema: Json) -> float:
    match kind:
        case "string":
            return float(schema.get("maxLength", math.inf)) + len('""')
        case "array" if isinstance(schema.get("items"), dict):
            return float(schema.get("maxItems", math.inf)) * (longest(schema["items"]) + len(", ")) + len("[]")
        case "object" if "properties" in schema:
            return len("{}") + sum(len(f'"{name}": , ') + longest(part) for name, part in schema["properties"].items())
        case "integer" | "number":
            return _A_NUMBER
        case "boolean" | "null":
            return len("false")
        case _:
            return math.inf


def without_bounds(schema: Json) -> Json:
    """Return the schema without the keywords in BOUNDS at any depth. It still allows all values that it allowed before.

    A `not` or an `if` that holds such keywords is removed, because it would forbid more values without them. A `oneOf`
    that holds such keywords becomes an `anyOf`, because without bounds a value may match several alternatives.
    """
    return rebuilt(rebuilt(schema, _loosened), lambda part: {key: part[key] for key in part if key not in BOUNDS})


def _loosened(part: Json) -> Json:
    kept = {key: value for key, value in part.items() if key not in ("not", "if") or not _is_bounded(value)}
    if any(map(_is_bounded, kept.get("oneOf", ()))):
        kept["allOf"] = [*kept.get("allOf", ()), {"anyOf": kept.pop("oneOf")}]
    return kept


def _is_bounded(part: object) -> bool:
    """Return True if a schema holds keywords in BOUNDS, or a reference, which may lead to some."""
    if not isinstance(part, dict):
        return False
    return any(key in BOUNDS or key == "$ref" for _, node in nodes(part) for key in node)


def blank(schema: Json) -> Any:
    """Return the smallest value of a schema's type, such as an object with blank fields. It need not be a valid value."""
    if "enum" in schema:
        return schema["enum"][0]
    kind = schema.get("type")
    match kind[0] if isinstance(kind, list) and kind else kind:
        case "object":
            return {name: blank(part) for name, part in schema.get("properties", {}).items()}
        case "array":
            return []
        case "integer" | "number":
            return 0
        case "boolean":
            return False
        case _:
            return ""


def types(schema: Json) -> set[str]:
    """Return the JSON types that a schema object names; an empty set if it names none."""
    kind = schema.get("type")
    return {kind} if isinstance(kind, str) else set(kind or ())


def no_retrieval(uri: str) -> Any:
    """Refuse to fetch a schema that another one names by its URI, because validation must not use the network."""
    raise ValueError(f"{uri} is not fetched; put the schema it names into this one")
