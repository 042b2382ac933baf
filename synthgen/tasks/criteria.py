"""Read the library of rubric criteria, `prompts/criteria/LANGUAGE.yaml`, and a task's own criteria.

A criterion becomes one statement for the judge: the statement, the meaning of its grades, and two examples with their
grades. Calibration and canaries show which criteria a judge can really grade.
"""

import difflib
from functools import cache
from pathlib import Path
from typing import Any

import yaml  # type: ignore[import-untyped]  # a part of OmegaConf

from synthgen.errors import ConfigError
from synthgen.tasks.assets import root

_WORDS = {"en": ("Grades", "Examples", "gets"), "zh": ("分数", "例子", "得")}


def criteria(rubric: Any, language: str) -> dict[str, str]:
    """Return a task's criteria, name to statement.

    `rubric` is a mapping of names to statements, or a list of names from the library and of mappings with one entry.
    Raise ConfigError for anything else and for names that the library does not have.
    """
    if rubric is None:
        return {}
    if isinstance(rubric, dict):
        return {str(name): _statement(name, value) for name, value in rubric.items()}
    if not isinstance(rubric, list):
        raise ConfigError(
            "task.rubric: must be a mapping of names to statements, or a list such as [natural, relevant]"
        )
    library = read_library(language)
    found: dict[str, str] = {}
    for entry in rubric:
        for name, statement in entry.items() if isinstance(entry, dict) else [(str(entry), None)]:
            if name in found:
                raise ConfigError(f"task.rubric: '{name}' is listed twice")
            found[str(name)] = _from_library(name, library) if statement is None else _statement(name, statement)
    return found


def compared(rubric: Any, language: str) -> frozenset[str]:
    """Return the criteria of a valid rubric that compare a sample with those it was made after, such as `diverse`."""
    named = {entry for entry in rubric if isinstance(entry, str)} if isinstance(rubric, list) else set()
    entries = _entries(root() / "prompts" / "criteria", _language(language))
    return frozenset(name for name in named if entries[name].get("parents"))


def read_library(language: str) -> dict[str, str]:
    """Return the library's statements by name: in Chinese for Chinese tasks, in English for all others."""
    return _read(root() / "prompts" / "criteria", _language(language))


def _language(language: str) -> str:
    return "zh" if in_chinese(language) else "en"


def in_chinese(language: str) -> bool:
    """Return True for the language tags of Chinese, such as `zh` and `zh-Hant`."""
    return language.lower().split("-")[0].split("_")[0] == "zh"


@cache
def _entries(folder: Path, language: str) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = yaml.safe_load((folder / f"{language}.yaml").read_text(encoding="utf-8"))
    return found


@cache
def _read(folder: Path, language: str) -> dict[str, str]:
    entries = _entries(folder, language)
    grades_word, examples_word, gets = _WORDS[language]
    return {name: _spoken(entry, grades_word, examples_word, gets) for name, entry in entries.items()}


def _spoken(entry: dict[str, Any], grades_word: str, examples_word: str, gets: str) -> str:
    grades = "; ".join(f"{grade} = {meaning}" for grade, meaning in entry["grades"].items())
    examples = "; ".join(f'"{example["text"]}" {gets} {example["grade"]}' for example in entry["examples"])
    return f"{entry['statement']} {grades_word}: {grades}. {examples_word}: {examples}."


def _from_library(name: str, library: dict[str, str]) -> str:
    if name in library:
        return library[name]
    near = difflib.get_close_matches(name, library, n=1)
    hint = f"did you mean {near[0]}?" if near else f"it has {', '.join(library)}"
    raise ConfigError(
        f"task.rubric: the library has no criterion '{name}'; {hint} "
        f'A criterion of your own needs a statement: - {name}: "The text ..."'
    )


def _statement(name: Any, value: Any) -> str:
    if not isinstance(value, str) or not value.strip():
        raise ConfigError(f"task.rubric.{name}: must be a statement that is true of a good sample, got {value!r}")
    return value
