"""Check a table's columns against the task's schema, and convert its cells to the schema's types."""

import difflib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from synthgen.records import Json
from synthgen.tasks.rows.jsontext import JsonError, parse

ABSENT = object()
"""The value of a cell whose field is missing from the row."""
_KINDS = {
    str: "string",
    bool: "boolean",
    int: "integer",
    float: "number",
    type(None): "null",
    list: "array",
    dict: "object",
}


@dataclass(frozen=True)
class Columns:
    """Describe the fields that a row may have. `others` is the treatment of a column outside the schema."""

    schema: Json
    """JSON Schema of a row; its `properties` are the columns."""
    required: frozenset[str]
    others: Literal["refuse", "keep", "drop"]

    @property
    def unknown(self) -> bool:
        """Return True for a table whose columns nothing describes: every column is kept as it is."""
        return not self.schema["properties"]

    def allowed(self, name: str) -> frozenset[str] | None:
        """Return the JSON types that a field may have, or None if the schema does not limit them."""
        return kinds(self._field(name), self.schema)

    def wanted(self, name: str) -> bool:
        return self.others != "drop" or name in self.schema["properties"]

    def problems(self, names: Sequence[str]) -> list[tuple[int, str]]:
        """Return (index of the column, cause and cure) for every fault of a table's header."""
        known = list(self.schema["properties"])
        meant = {index: near for index, name in enumerate(names) if name not in known and (near := _meant(name, known))}
        if known and not set(names) & set(known) and not meant:
            return [(0, f"no header that names a field of the task; put the column names first: {', '.join(known)}")]
        missing = [name for name in known if self._lacks(names, name)]
        found = [(0, f"the column '{name}' is missing; add it") for name in missing if name not in meant.values()]
        for index, name in enumerate(names):
            if not name:
                found.append((index, "a column without a name; name it, or remove it"))
            elif name in names[:index]:
                found.append((index, f"the column '{name}' appears twice; rename or remove one"))
            elif meant.get(index) in missing:
                found.append(
                    (index, f"the task has no field '{name}'; did you mean '{meant[index]}'? rename the column")
                )
            elif name not in known and self.others == "refuse":
                hint = f" (did you mean '{meant[index]}'?)" if index in meant else ""
                found.append((index, f"the task has no field '{name}'{hint}; remove it, or rename it"))
        return found

    def cell(self, name: str, text: str) -> Any:
        """Convert a CSV cell: text if the schema allows text, else JSON. Return ABSENT for an empty optional cell.

        Raise JsonError for a cell of another type.
        """
        if self.unknown:
            return text
        allowed = self.allowed(name)
        if not text and name not in self.required:
            return ABSENT
        if allowed is None or "string" in allowed:
            return text
        if not text and "null" in allowed:
            return None
        if "boolean" in allowed and text.strip().lower() in ("true", "false"):  # spreadsheets write TRUE
            return text.strip().lower() == "true"
        wrong = JsonError(0, f"{name}: '{_short(text)}' is not {_either(allowed)}; write it as JSON")
        try:
            value = parse(text)
        except JsonError as fault:
            raise wrong if fault.syntax else fault from None
        if not fits(value, allowed):
            raise wrong
        return value

    def value(self, name: str, value: Any) -> Any:
        """Convert a value of a typed table, in which null may also mean that the row lacks the field."""
        if self.unknown:
            return value
        return _without_nulls(value, self._field(name), self.schema)

    def _field(self, name: str) -> Any:
        return self.schema["properties"].get(name, self.schema.get("additionalProperties"))

    def _lacks(self, names: Sequence[str], name: str) -> bool:
        return name in self.required and name not in names


def any_columns() -> Columns:
    """Return the description of a table with any columns."""
    return Columns({"properties": {}}, frozenset(), "keep")


def kinds(schema: Any, root: Json, steps: int = 8) -> frozenset[str] | None:
    """Return the JSON types that `schema`, a part of `root`, allows; None if that is not known after `steps` steps."""
    if not isinstance(schema, dict) or not steps:
        return None
    if "type" in schema:
        named = schema["type"]
        return frozenset([named] if isinstance(named, str) else named)
    if "enum" in schema or "const" in schema:
        return frozenset(_KINDS[type(value)] for value in schema.get("enum", [schema.get("const")]))
    if "$ref" in schema:
        return kinds(_pointed(schema["$ref"], root), root, steps - 1)
    for key in ("anyOf", "oneOf"):
        if key in schema:
            parts = [kinds(part, root, steps - 1) for part in schema[key]]
            return None if None in parts else frozenset().union(*(part for part in parts if part))
    return None


def fits(value: Any, allowed: frozenset[str]) -> bool:
    """Return True if a JSON value has one of these types. 3 is also a number, and 3.0 is also an integer."""
    kind = _KINDS[type(value)]
    if kind in ("integer", "number"):
        whole = kind == "integer" or value.is_integer()
        return "number" in allowed or (whole and "integer" in allowed)
    return kind in allowed


def _pointed(ref: str, root: Json) -> Any:
    """Return the part of the same schema that a JSON pointer refers to, or None if there is none."""
    here: Any = root
    for part in ref.removeprefix("#").split("/")[1:]:
        here = here.get(part.replace("~1", "/").replace("~0", "~")) if isinstance(here, dict) else None
    return here


def _without_nulls(value: Any, schema: Any, root: Json) -> Any:
    if value is None:
        allowed = kinds(schema, root)
        return None if allowed is None or "null" in allowed else ABSENT
    if isinstance(schema, dict) and "$ref" in schema:
        schema = _pointed(schema["$ref"], root)
    inner = schema if isinstance(schema, dict) else {}
    if isinstance(value, dict):
        fields = inner.get("properties", {})
        parts = {name: _without_nulls(part, fields.get(name), root) for name, part in value.items()}
        return {name: part for name, part in parts.items() if part is not ABSENT}
    if isinstance(value, list):
        return [part if part is None else _without_nulls(part, inner.get("items"), root) for part in value]
    return value


def _meant(name: str, known: list[str]) -> str | None:
    """Return the field whose name is most similar to the column's name, or None."""
    folded = {field.casefold(): field for field in known}
    near = difflib.get_close_matches(name.strip().casefold(), folded, n=1)
    return folded[near[0]] if near else None


def _either(allowed: frozenset[str]) -> str:
    named = [f"an {kind}" if kind[0] in "aio" else f"a {kind}" for kind in sorted(allowed)]
    return " or ".join(named)


def _short(text: str) -> str:
    return text if len(text) <= 60 else f"{text[:60]}..."
