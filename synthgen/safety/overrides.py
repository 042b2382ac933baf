"""Rewrite overrides as people type them into a form that Hydra's grammar can parse. The config checks their meaning.

The grammar accepts ASCII and a few signs. A value that it cannot parse is taken as a text, unchanged. A value that
begins like a list, a mapping, a quoted text or a function is refused with an example, because it is probably not meant
as a text.
"""

import re
import shlex
from collections.abc import Sequence
from typing import Any

from synthgen.errors import ConfigError

_KEY = re.compile(r"[+~]{0,2}[\w@./:-]*", re.ASCII)
_FUNCTION = re.compile(r"(choice|range|interval|glob|shuffle|sort|tag|extend_list|str|int|float|bool|json_str)\s*\(")


def readable(overrides: Sequence[str]) -> list[str]:
    """Return the overrides for Hydra. Put a value in quotes if Hydra's grammar cannot parse it.

    Words without "=" are returned unchanged. Raise ConfigError for an override without a value, and for a value that
    cannot be taken as a text.
    """
    return [_readable(override) for override in overrides]


def values(overrides: Sequence[str]) -> list[tuple[str, Any]]:
    """Return the key and value of each KEY=VALUE. Raise ConfigError for another form, and for several values."""
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.core.override_parser.types import OverrideType

    found = []
    for override in overrides:
        parsed = OverridesParser.create().parse_override(_readable(override))
        if parsed.type is not OverrideType.CHANGE or parsed.is_sweep_override():
            wanted = f"{parsed.key_or_group}='{override.partition('=')[2]}'"
            raise ConfigError(
                f"{override}: write KEY=VALUE, with one value; a text with commas goes in quotes of its own: "
                f"{_for_a_shell(wanted)}"
            )
        found.append((parsed.key_or_group, parsed.value()))
    return found


def _readable(override: str) -> str:
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException

    key, equals, value = override.partition("=")
    if not equals:
        return override
    if not value.strip() and not key.startswith("~"):
        name = key.lstrip("+")
        others = f", or write {name}=null for none, \"{name}=''\" for an empty text" if "." in name else ""
        raise ConfigError(
            f"{name}: has no value (a shell variable that is not set, perhaps); leave it out for the default{others}"
        )
    try:
        OverridesParser.create().parse_override(override)
    except HydraException as error:
        return _as_text(override, error)
    return override


def _as_text(override: str, error: Exception) -> str:
    """Return an override with its value in quotes. Raise ConfigError if the value does not look like a text."""
    key, _, value = override.partition("=")
    if not _KEY.fullmatch(key):
        raise ConfigError(
            f"{key}: a key on the command line has ASCII letters, digits, '_', '-' and '.' only; set a key with other "
            "characters in a file, such as DIR/task/NAME.yaml with --config-dir DIR"
        ) from error
    quoted = _quoted(value)
    if nested := _nested(key, value):
        raise ConfigError(
            f"{key.lstrip('+~')}: cannot be read: {value}; in a list or mapping, a text with other signs than ASCII letters"
            f" and digits goes in quotes: {_for_a_shell(nested)}"
        ) from error
    if value[0] in "[{'\"" or _FUNCTION.match(value):
        raise ConfigError(
            f"{key.lstrip('+~')}: cannot be read: {value}; a text with such signs goes in quotes of its own: "
            f"{_for_a_shell(f'{key}={quoted}')}"
        ) from error
    return f"{key}={quoted}"


def _nested(key: str, value: str) -> str | None:
    """Return an override whose list or mapping has its texts in quotes; None where the value is neither."""
    import yaml  # type: ignore[import-untyped]
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException

    try:
        wanted = f"{key}={_with_quotes(yaml.safe_load(value))}" if value[0] in "[{" else ""
        OverridesParser.create().parse_override(wanted)
    except (yaml.YAMLError, HydraException):
        return None
    return wanted


def _with_quotes(value: object) -> str:
    """Return a value in Hydra's grammar, with every text in quotes."""
    if isinstance(value, list):
        return f"[{', '.join(map(_with_quotes, value))}]"
    if isinstance(value, dict):
        return f"{{{', '.join(f'{name}: {_with_quotes(each)}' for name, each in value.items())}}}"
    return _quoted(value) if isinstance(value, str) else str(value).lower() if isinstance(value, bool) else str(value)


def _quoted(value: str) -> str:
    """Return a text in Hydra's quotes, in which a backslash is an escape only before a quote."""
    return "'" + re.sub(r"(\\*)('|$)", lambda found: found[1] * 2 + ("\\'" if found[2] else ""), value) + "'"


def _for_a_shell(word: str) -> str:
    """Return a word quoted for a shell, preferably in double quotes, which leave single quotes readable."""
    return shlex.quote(word) if re.search(r'["$`\\!]', word) else f'"{word}"'
