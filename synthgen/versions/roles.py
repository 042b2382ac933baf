"""Determine which fields of a row are its input, and which are its target."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from synthgen.errors import UserError
from synthgen.prepare.item import RowFields
from synthgen.records import Json, content_id
from synthgen.tasks.typed import nearest

LICENCES = ("license", "licence")
"""Fields that name the licence of a row. They are neither input nor target."""
_USUAL = "label"


@dataclass(frozen=True)
class Roles:
    """Name the input and the target fields. Without `input`, every field that is no target is input."""

    target: tuple[str, ...] = ()
    input: tuple[str, ...] = ()

    def key(self, data: Json) -> str | None:
        """Return a hash of the row's input; None where the row has no input or the dataset no target."""
        if not self.target:
            return None
        found = {name: value for name, value in data.items() if self._is_input(name)}
        return content_id(found) if found else None

    def answer(self, data: Json) -> Json:
        """Return the target fields of a row."""
        return {name: data[name] for name in self.target if name in data}

    def label(self, data: Json) -> str | None:
        """Return the target as a label; None where it is no text, number or truth value, or where there are several."""
        value = data.get(self.target[0]) if len(self.target) == 1 else None
        if isinstance(value, bool):
            return "true" if value else "false"
        return str(value) if isinstance(value, str | int | float) else None

    def text(self, data: Json) -> str:
        """Return the input of a row as one text."""
        own = {name: value for name, value in data.items() if self._is_input(name)}
        return RowFields(self.input).whole(own)

    def _is_input(self, name: str) -> bool:
        if self.input:
            return name in self.input
        return name not in self.target and name not in LICENCES


def roles_of(tasks: Sequence[Json | None], names: Iterable[str], target: Sequence[str] = ()) -> Roles:
    """Return the roles of a dataset's fields: by the user's `target`, by the last known task, or by the name `label`.

    Raise UserError for a target that no row has.
    """
    known = set(names)
    if target:
        for name in target:
            if name not in known:
                raise UserError(f"--target: no row has the field '{name}'{nearest(name, known)}")
        return Roles(tuple(target))
    for task in reversed(tasks):
        if task and task.get("target"):
            return Roles(tuple(task["target"]), tuple(task.get("input") or ()))
    return Roles((_USUAL,)) if _USUAL in known else Roles()
