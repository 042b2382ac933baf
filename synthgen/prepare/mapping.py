"""Compute fields of a row from other fields, by expressions in sandboxed Jinja."""

from collections.abc import Mapping, Sequence
from typing import Any

from synthgen.engines.prompts import Sandbox
from synthgen.errors import InputError
from synthgen.prepare.item import Origin
from synthgen.records import Json


class Mapped:
    """Add and drop the fields of rows. A renamed field is an expression that is only a name; the old field goes away.

    Every expression sees the row as it was read, also as `row`. Raise InputError for an expression that is no Jinja.
    """

    def __init__(self, fields: Mapping[str, str], drop: Sequence[str] = ()) -> None:
        from jinja2 import StrictUndefined, TemplateSyntaxError

        environment = Sandbox(undefined=StrictUndefined)
        self._drop = frozenset(drop)
        self._fields: dict[str, tuple[str, Any]] = {}
        for name, expression in fields.items():
            try:
                compiled = environment.compile_expression(_inner(expression), undefined_to_none=False)
            except TemplateSyntaxError as error:
                raise InputError(
                    f"map.{name}: '{expression}' is not a Jinja expression ({error}); correct it"
                ) from error
            self._fields[name] = (expression, compiled)

    def __call__(self, data: Json, origin: Origin) -> Json:
        """Return the row with its new fields. Raise InputError, with the row's place, where an expression fails."""
        if not self._fields and not self._drop:
            return dict(data)
        given = {**data, "row": data}
        made = {name: self._value(name, given, origin) for name in self._fields}
        moved = {
            _inner(text) for name, (text, _) in self._fields.items() if _inner(text) in data and name != _inner(text)
        }
        kept = {name: value for name, value in data.items() if name not in moved or name in made}
        return {name: value for name, value in {**kept, **made}.items() if name not in self._drop}

    def _value(self, name: str, given: Json, origin: Origin) -> Any:
        from jinja2 import StrictUndefined

        expression, compiled = self._fields[name]
        try:
            value = compiled(**given)
            if isinstance(value, StrictUndefined):
                str(value)  # raises the error that names the missing field
        except Exception as error:  # an expression may fail in any way on data it was not written for
            words = f"map.{name}: '{expression}' fails on this row ({error}); correct the expression or the row"
            raise InputError(f"{origin.file}:{origin.line}: {words}") from error
        if not _is_json(value):
            words = f"map.{name}: '{expression}' gives a {type(value).__name__}, which JSON has no type for; end it with `| string`"
            raise InputError(f"{origin.file}:{origin.line}: {words}")
        return value


def _inner(expression: str) -> str:
    """Return the expression without the braces around it, which people write by habit."""
    text = expression.strip()
    whole = text.startswith("{{") and text.endswith("}}") and "}}" not in text[2:-2]
    return text[2:-2].strip() if whole else text


def _is_json(value: Any) -> bool:
    if isinstance(value, list):
        return all(map(_is_json, value))
    if isinstance(value, dict):
        return all(isinstance(name, str) and _is_json(part) for name, part in value.items())
    return value is None or type(value) in (str, int, float, bool)
