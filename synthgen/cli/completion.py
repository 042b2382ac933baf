"""Complete overrides in the shell: keys, options of groups, and files in the folder of --config-dir."""

import glob
import re
from pathlib import Path
from typing import Any

import click
from click.shell_completion import BashComplete, CompletionItem, add_completion_class

Items = list[CompletionItem[Any]]


@add_completion_class
class _Bash(BashComplete):
    """Complete for Bash without a space after "KEY=", because a value follows."""

    source_template = BashComplete.source_template.replace(
        "COMPREPLY+=($value)", "COMPREPLY+=($value)\n            [[ $value == *= ]] && compopt -o nospace"
    )


def complete_overrides(context: click.Context, parameter: click.Parameter, incomplete: str) -> Items:
    """Complete the key of KEY=VALUE, and the names of a group's options, such as task=voice_intent."""
    before, word = _joined(list(context.params.get(parameter.name or "") or ()), incomplete)
    key, equals, start = word.partition("=")
    if not equals:
        return [CompletionItem(f"{name}=") for name in [*_folders(context), *_keys()] if name.startswith(word)]
    names = {path.stem for root in _roots(context) for path in (root / key).glob("*.yaml")}
    return [CompletionItem(f"{before}{name}") for name in sorted(names) if name.startswith(start)]


def complete_keys(context: click.Context, parameter: click.Parameter, incomplete: str) -> Items:
    """Complete a run's folder where one begins with `incomplete`, else KEY=VALUE."""
    if "=" not in incomplete and any(path.is_dir() for path in Path().glob(f"{glob.escape(incomplete)}*")):
        return [CompletionItem(incomplete, type="dir")]
    return complete_overrides(context, parameter, incomplete)


def _joined(words: list[str], incomplete: str) -> tuple[str, str]:
    """Return the override that is being typed, after the text that the shell expects before a completed value.

    Bash treats "=" as a separate word and expects only the value. Other shells expect KEY=VALUE.
    """
    if words and words[-1] == "=":
        return "", f"{words[-2] if len(words) > 1 else ''}={incomplete}"
    if words and not incomplete and re.fullmatch(r"[+\w.]+", words[-1]):  # Click turns the word "=" into an empty one
        return "", f"{words[-1]}="
    key, equals, _ = incomplete.partition("=")
    return key + equals, incomplete


def _roots(context: click.Context) -> list[Path]:
    from synthgen.tasks.assets import root

    given = context.params.get("config_dir")
    return [root() / "conf", *(map(Path, given or ()))]


def _folders(context: click.Context) -> list[str]:
    """Return the names of the config groups whose options are files."""
    return sorted({path.name for root in _roots(context) for path in root.glob("[!_.]*") if path.is_dir()})


def _keys() -> list[str]:
    from synthgen.config import known_keys

    return [key for key in sorted(known_keys()) if "." in key]
