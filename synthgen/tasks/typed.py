"""Check values of a YAML file against the types of a config dataclass, and find the known name nearest to a wrong one."""

import difflib
from collections.abc import Iterable
from types import UnionType
from typing import Any, get_args, get_origin


def fits(value: Any, wanted: Any) -> bool:
    """Return True when a value has the type, or one of the types, of an option. A boolean is no number."""
    if wanted is Any:
        return True
    if isinstance(wanted, UnionType):
        return any(fits(value, each) for each in get_args(wanted))
    if get_origin(wanted) is list:
        return isinstance(value, list) and all(fits(each, get_args(wanted)[0]) for each in value)
    if get_origin(wanted) is dict:
        return isinstance(value, dict) and all(fits(each, get_args(wanted)[1]) for each in value.values())
    if wanted is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    return isinstance(value, wanted) and (wanted is bool or not isinstance(value, bool))


def type_name(wanted: Any) -> str:
    """Return a type in words: `str | list[str]` is `str or list of str`."""
    if isinstance(wanted, UnionType):
        return " or ".join(type_name(each) for each in get_args(wanted) if each is not type(None))
    if (kind := {list: "list", dict: "mapping"}.get(get_origin(wanted))) is not None:
        inner = get_args(wanted)[-1]
        return kind if inner is Any else f"{kind} of {type_name(inner)}"
    return str(wanted.__name__)


def nearest(name: str, known: Iterable[str]) -> str:
    """Return the end of a message about an unknown name: the known name that is like it, or all of them."""
    options = list(known)
    near = difflib.get_close_matches(name, options, n=1)
    return f"; did you mean {near[0]}?" if near else f"; choose from {', '.join(options)}"
