"""Infer the column types of a dataset from its rows, in the notation of Hugging Face `datasets`.

The types come from the rows and not from the schema, so that the declared types match the data. Every
split then loads with the same features, whatever its first rows look like.
"""

from collections.abc import Sequence
from typing import Any

from synthgen.records import Json

Kind = str | Json
"""A scalar type, {"list": Kind} or {"struct": {name: Kind}}. "null" if there was no value yet."""
LARGE = "integer"
"""The scalar type of integers past 64 bits, which no loader supports; see `written_as`."""


class MixedError(Exception):
    """Report a column whose values have no common type."""


def features(rows: Sequence[Json], names: Sequence[str]) -> dict[str, Kind] | None:
    """Return the kind of every column that occurs, in the order of `names`, or None if a column has mixed types.

    The loader then infers the types itself.
    """
    found: dict[str, Kind] = {}
    try:
        for row in rows:
            for name, value in row.items():
                found[name] = _merge(found.get(name, "null"), _kind(value))
        order = [*(name for name in names if name in found), *(name for name in found if name not in names)]
        return {name: _settled(found[name]) for name in order}
    except MixedError:
        return None


def written_as(columns: dict[str, Kind], form: str) -> dict[str, Kind]:
    """Return the column types of a file of `form`. Parquet holds integers past 64 bits as text.

    JSON Lines holds them unchanged, and loaders read them as floating-point numbers.
    """
    return {name: _replaced(kind, "string" if form == "parquet" else "float64") for name, kind in columns.items()}


def large_columns(columns: dict[str, Kind] | None) -> list[str]:
    """Return the columns that hold integers past 64 bits."""
    return [name for name, kind in (columns or {}).items() if _replaced(kind, "float64") != kind]


def _replaced(kind: Kind, large: str) -> Kind:
    if isinstance(kind, str):
        return large if kind == LARGE else kind
    if "list" in kind:
        return {"list": _replaced(kind["list"], large)}
    return {"struct": {name: _replaced(child, large) for name, child in kind["struct"].items()}}


def as_yaml(columns: dict[str, Kind]) -> list[Json]:
    """Return the `features` list of a dataset card's front matter."""
    return [{"name": name, **_yaml(kind)} for name, kind in columns.items()]


def as_dict(columns: dict[str, Kind]) -> Json:
    """Return the `features` object of dataset_info.json."""
    return {name: _dict(kind) for name, kind in columns.items()}


def _kind(value: Any) -> Kind:
    match value:
        case None:
            return "null"
        case bool():
            return "bool"
        case int():
            return "int64" if -(2**63) <= value < 2**63 else LARGE
        case float():
            return "float64"
        case str():
            return "string"
        case list():
            item: Kind = "null"
            for entry in value:
                item = _merge(item, _kind(entry))
            return {"list": item}
        case dict():
            return {"struct": {name: _kind(entry) for name, entry in value.items()}}
    raise MixedError


def _merge(one: Kind, other: Kind) -> Kind:
    if one == other or other == "null":
        return one
    if one == "null":
        return other
    numbers = {str(one), str(other)}
    if numbers <= {"int64", "float64", LARGE}:
        return "float64" if "float64" in numbers else LARGE
    if isinstance(one, dict) and isinstance(other, dict) and one.keys() == other.keys():
        if "list" in one:
            return {"list": _merge(one["list"], other["list"])}
        names = {**one["struct"], **other["struct"]}
        return {"struct": {n: _merge(one["struct"].get(n, "null"), other["struct"].get(n, "null")) for n in names}}
    raise MixedError


def _settled(kind: Kind) -> Kind:
    """Use the type text for a column without any value."""
    if isinstance(kind, str):
        return "string" if kind == "null" else kind
    if "list" in kind:
        return {"list": _settled(kind["list"])}
    if not kind["struct"]:
        raise MixedError
    return {"struct": {name: _settled(child) for name, child in kind["struct"].items()}}


def _yaml(kind: Kind) -> Json:
    if isinstance(kind, str):
        return {"dtype": kind}
    if "struct" in kind:
        return {"struct": as_yaml(kind["struct"])}
    item = _yaml(kind["list"])
    return {"list": item.get("dtype") or item.get("struct") or item}


def _dict(kind: Kind) -> Json:
    if isinstance(kind, str):
        return {"dtype": kind, "_type": "Value"}
    if "struct" in kind:
        return as_dict(kind["struct"])
    return {"feature": _dict(kind["list"]), "_type": "List"}
