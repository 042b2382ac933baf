"""Read the parts of a task that reports need from its definition in the ledger: field order, labels, texts.

A whole `Task` also needs files and a validator, which may no longer exist for an old run.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from synthgen.ledger import Reader
from synthgen.records import Json
from synthgen.tasks.task import as_text


@dataclass(frozen=True)
class TaskView:
    """Hold a task's definition from the ledger. All fields are empty for a run that was killed before it wrote one."""

    name: str
    kind: str
    description: str
    language: str
    schema: Json
    input: tuple[str, ...]
    target: tuple[str, ...]
    labels: tuple[str, ...]
    asked: tuple[str, ...] = ()
    """Holds what slots ask for: the labels, or the values of `task.assign`."""
    checks: tuple[Any, ...] = ()
    """The declared checks, as written in the task."""

    @property
    def label_field(self) -> str | None:
        return self.target[0] if self.kind == "classification" and self.target else None

    def ordered(self, data: Json) -> Json:
        """Return the fields of a sample in schema order."""
        properties = self.schema.get("properties", {})
        return {name: data[name] for name in [*properties, *(k for k in data if k not in properties)] if name in data}

    def text(self, data: Json) -> str:
        """Return the sample's text without its label."""
        return "\n".join(as_text(value) for _, value in self.free(data))

    def free(self, data: Json) -> list[tuple[str, Any]]:
        """Return the non-empty fields of a sample without its label, in schema order."""
        fields = self.ordered(data).items()
        return [(name, value) for name, value in fields if name != self.label_field and value not in (None, "")]


def read_task(ledger: Reader) -> TaskView:
    """Return the task of the ledger's run."""
    return view_of(ledger.meta("task") or {})


def view_of(task: Json) -> TaskView:
    """Return the view of a task's definition, as `Task.definition` gives it."""
    return TaskView(
        name=task.get("name", ""),
        kind=task.get("kind", ""),
        description=task.get("description", ""),
        language=task.get("language", ""),
        schema=task.get("schema") or {},
        input=tuple(task.get("input") or ()),
        target=tuple(task.get("target") or ()),
        labels=tuple(task.get("labels") or ()),
        asked=tuple(task.get("asked") or task.get("labels") or ()),
        checks=tuple(task.get("checks") or ()),
    )


def open_ledger(folder: Path) -> Reader:
    """Open the ledger of a run folder. Raise RunFolderError if there is none."""
    return Reader(folder / "ledger.sqlite")


def label_order(known: Sequence[str], found: Sequence[str | None]) -> list[str]:
    """Return the task's labels first, then all other labels that were found, sorted."""
    return [*known, *sorted({label for label in found if label is not None} - set(known))]


def rounded(value: Any) -> float | None:
    """Round to six significant digits, so that a figure prints the same on every machine; None if not finite."""
    return float(f"{value:.6g}") if value is not None and math.isfinite(value) else None
