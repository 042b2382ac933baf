"""Explain errors of Hydra, OmegaConf and YAML to the user: the key, the fault, and the nearest valid key."""

import difflib
import re
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path

import yaml  # type: ignore[import-untyped]  # a part of OmegaConf
from hydra.conf import HydraConf
from hydra.errors import HydraException

from synthgen.config.schema import engines_with, known_keys
from synthgen.errors import ConfigError
from synthgen.generate.kinds import StrategiesConfig
from synthgen.safety.secrets import is_secret_name
from synthgen.tasks import yamlfaults
from synthgen.tasks.yamlplace import line_of
from synthgen.tasks.yamlvalues import misread


def explained(error: Exception, here: Path | None = None) -> ConfigError:
    """Return a ConfigError with the key, the fault and the nearest valid key, or with the place of a YAML error.

    Where an option of a group, such as task=reviews, is not found, look for its file under the folder `here`.
    """
    if isinstance(error, yaml.MarkedYAMLError) and (mark := error.problem_mark) is not None:
        cure = (
            '; put a value that has [] in it into quotes, such as "entities[].text"' if "got '['" in str(error) else ""
        )
        return ConfigError(yamlfaults.in_words(str(error.problem), mark.name, mark.line, mark.column) + cure)
    cause = error
    while cause.__cause__ is not None and not getattr(cause, "full_key", None):
        cause = cause.__cause__  # type: ignore[assignment]
    text = str(cause).split("\n    full_key")[0]
    first = text.splitlines()[0] if text else type(cause).__name__
    full_key = match.group(1) if (match := re.search(r"full_key: (\S+)", str(cause))) else ""
    if match := re.search(r"Could not override '([^']+)'", str(error)):
        # For an override with a mapping, group={a: 1, b: 2}, Hydra names the group and OmegaConf the faulty key.
        inside = full_key.startswith(f"{match.group(1)}.")
        return unknown_key(full_key if inside else match.group(1), first)
    if "not in '" in text or "is not in struct" in text:
        name = re.search(r"Key '([^']+)'", text)
        return unknown_key(full_key or (name.group(1) if name else "?"), first)
    if match := re.search(r"Could not find '(\w+)/([^']*)'\s+Available options in '\w+':\n((?:\t.*\n)+)", str(error)):
        group, wanted, options = match.group(1), match.group(2), match.group(3).split()
        if here is not None and (folder := _folder_of(group, wanted, here)) is not None:
            file = folder / group / f"{wanted}.yaml"
            return ConfigError(
                f"{group}: '{wanted}' is not among the options, but there is {file}; add --config-dir {folder}"
            )
        near = difflib.get_close_matches(wanted, options, n=1)
        hint = f"; did you mean {near[0]}?" if near else ""
        return ConfigError(f"{group}: there is no option '{wanted}'; the options are {', '.join(options)}{hint}")
    if match := re.search(r"In '([\w/]+)': \w+ raised while composing config:\n(.+)", str(error)):
        key = m.group(1) if (m := re.search(r"full_key: (\S+)\n", str(error))) else match.group(1).partition("/")[0]
        return ConfigError(f"{key}: {_plain(match.group(2))} (in {match.group(1)}.yaml)")
    if isinstance(cause, HydraException):
        return ConfigError(str(error).strip())
    key = getattr(cause, "full_key", None) or (m.group(1) if (m := re.search(r"full_key: (\S+)", str(error))) else "")
    return ConfigError(f"{key}: {_plain(first)}" if key and key != "None" else _plain(first))


def _folder_of(group: str, name: str, here: Path) -> Path | None:
    """Return the folder, relative to `here`, that has the file GROUP/NAME.yaml: `here` itself or a folder in it."""
    folders = [here, *sorted(path for path in here.iterdir() if path.is_dir())]
    found = (folder for folder in folders if (folder / group / f"{name}.yaml").is_file())
    return next((folder.relative_to(here) for folder in found), None)


_PLAIN = (
    (r".*is not a ListConfig, list or tuple\.?", "must be a list, such as [VALUE]"),
    (r".*is not a DictConfig.*|Cannot assign \w+ to \w*[dD]ict.*", "must be a mapping, such as {NAME: VALUE}"),
    (r"Cannot merge DictConfig with ListConfig", "a list stands where a mapping (NAME: VALUE) is expected"),
    (r"Value '(.*)' of type '\w+' could not be converted to Integer", r"'\1' is not a whole number"),
    (r"Value '(.*)' of type '\w+' could not be converted to Float", r"'\1' is not a number"),
    (r"Value '(.*)' is not a valid bool.*", r"'\1' is neither true nor false"),
)


def _plain(words: str) -> str:
    """Return a message of OmegaConf without the names of its classes."""
    for pattern, plain in _PLAIN:
        if match := re.fullmatch(pattern, words.strip()):
            return match.expand(plain)
    return words


def located(error: ConfigError, settings: HydraConf) -> ConfigError:
    """Return an error about a key of the task with the key's file and line put in front. Return other errors unchanged.

    `settings` is Hydra's own config. An error about a key that was set on the command line stays unchanged too.
    """
    found = re.match(r"task\.([\w.\[\]-]+): ", str(error))
    if found is None or any(override.lstrip("+~").startswith("task.") for override in settings.overrides.task):
        return error
    file = _task_file(settings)
    return error if file is None else ConfigError(f"{file}:{line_of(file, found.group(1))}: {error}")


def check_task_file(settings: HydraConf) -> None:
    """Raise ConfigError where the task file has texts without quotes that YAML reads as something else than text."""
    file = _task_file(settings)
    if file is not None and (found := misread(file)):
        raise ConfigError("\n".join(found))


def not_text(error: UnicodeDecodeError, folders: Sequence[str]) -> ConfigError | None:
    """Return an error that names the YAML file that is not UTF-8, from the user's folders; None if none has the fault."""
    found = (yamlfaults.not_text(error, Path(folder)) for folder in folders)
    return next((ConfigError(said) for said in found if said), None)


def of_a_task_file(error: Exception, folders: Sequence[str]) -> ConfigError | None:
    """Return the error of `check_task_file` about a task file that could not be composed; None where it finds no fault.

    `folders` are the user's folders to search for the file.
    """
    named = re.search(r"In '(task/[^']+)'", str(error))
    files = [Path(folder) / f"{named.group(1)}.yaml" for folder in folders] if named else []
    found = [line for file in files if file.is_file() for line in misread(file)]
    return ConfigError("\n".join(found)) if found else None


def _task_file(settings: HydraConf) -> Path | None:
    name, sources = settings.runtime.choices.get("task"), settings.runtime.config_sources
    files = (Path(source.path) / "task" / f"{name}.yaml" for source in sources if source.schema == "file")
    return next((file for file in files if file.is_file()), None)


GONE = {
    "budget.flat_fits": "",
    "budget.flat_gain": "",
    "diversity.lexical": "the check for near-duplicates by letters was removed",
    "diversity.min_worth": "the check on what a candidate adds to its label was removed",
    "generate.steer": "steering by coverage was removed",
    "engine.grammar_field": "synthgen tests what endpoints support, and engine.dialect.schema overrides the result",
    "judge.channel": "channel scoring was removed",
    "judge.trust": "",
}
"""Keys of older versions that were removed, each with the reason; the reason is empty where none is told to the
user."""

MOVED = {
    "generate.demonstrations": "generate.fewshot.demonstrations",
    "generate.foils": "generate.fewshot.foils",
}
"""Keys that were renamed, from old to new name. A saved config may still use the old name."""

_MOVED_GROUPS = {"judge.trust": "labels"}
"""Groups of keys that were renamed, from old to new name."""


def unknown_key(key: str, words: str) -> ConfigError:
    if key in MOVED:
        return ConfigError(f"{key}: this key was renamed; use {MOVED[key]}")
    if key.startswith("generate.strategies."):
        return _unknown_strategy(key.rpartition(".")[2])
    for old, new in _MOVED_GROUPS.items():
        if key == old or key.startswith(f"{old}."):
            return ConfigError(f"{key}: these keys were renamed to {new}.*; docs/config.md lists them")
    for old, why in GONE.items():
        if key == old or key.startswith(f"{old}."):
            return ConfigError(f"{key}: this key was removed{f', because {why}' if why else ''}; leave it out")
    if is_secret_name(key.rpartition(".")[2]):
        return ConfigError(f"{key}: a secret does not belong in the config; set it in the environment instead")
    known = sorted(known_keys())
    named = re.search(r"Key '([^']+)'", words)
    inside = named is not None and named.group(1) not in (key, key.rpartition(".")[2])  # a key of its value is at fault
    if key in known and not inside and key.startswith("engine.") and (engines := engines_with(key)):
        others = " and ".join(f"engine={name}" for name in engines)
        return ConfigError(
            f"{key}: the chosen engine has no such key; {others} {'has' if len(engines) == 1 else 'have'} it"
        )
    if key in known:
        return ConfigError(f"{key}: {words}")
    near = [name for name in known if name.rpartition(".")[2] == key][:3]
    near = near or difflib.get_close_matches(key, known, n=1, cutoff=0.65)
    return ConfigError(f"{key}: there is no such key" + (f"; did you mean {' or '.join(near)}?" if near else ""))


def _unknown_strategy(name: str) -> ConfigError:
    known = [entry.name for entry in fields(StrategiesConfig)]
    near = difflib.get_close_matches(name, known, n=1)
    return ConfigError(
        f"generate.strategies: there is no strategy '{name}'; the strategies are {', '.join(known)}"
        + (f"; did you mean {near[0]}?" if near else "")
    )
