"""Check the form of a dialogue: whose turn it is, how it begins and ends, how long it is, and that nobody repeats a turn."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

from synthgen.filters.declared.base import Fault, Found, KeyProblem, Path, Stage, quoted
from synthgen.filters.declared.fields import any_place, list_place
from synthgen.records import Json
from synthgen.tasks.normal import comparable
from synthgen.tasks.paths import values
from synthgen.tasks.task import Task


@dataclass
class TurnsConfig:
    field: str
    """Path to the list of turns, such as `turns`. Each turn is an object."""
    role: str = "role"
    """Key of a turn that names who speaks."""
    text: str = "text"
    """Key of a turn that holds what is said."""
    first: str = ""
    """Role of the first turn; any role if empty."""
    last: str = ""
    """Role of the last turn; any role if empty."""
    min: int = 1
    """Least number of turns."""
    max: int | None = None
    """Most turns; without it there is no upper limit."""
    alternate: bool = True
    """Reject two turns of one role in a row."""


class Turns:
    """Find dialogues whose turns are out of order, too few, too many or repeated."""

    kind: ClassVar[str] = "turns"
    meaning: ClassVar[str] = (
        "The roles in the list `field` alternate, its first and last turns have the roles `first` and `last`, it has from "
        "`min` to `max` turns, and no turn repeats another."
    )
    reasons: ClassVar[dict[str, str]] = {
        "turn_count": "is a dialogue with too few or too many turns",
        "turn_ends": "is a dialogue that the wrong role begins or ends",
        "turn_order": "is a dialogue in which one role has two turns in a row",
        "turn_repeats": "is a dialogue that repeats a turn",
    }
    config: ClassVar[type[TurnsConfig]] = TurnsConfig
    scores: ClassVar[str] = ""
    stage: ClassVar[Stage] = "rules"

    def __init__(self, cfg: TurnsConfig, task: Task) -> None:
        self._cfg = cfg
        self._steps = list_place("field", cfg.field, task).steps
        base = cfg.field.removesuffix("[]")
        for key in ("role", "text"):
            any_place(key, f"{base}[].{getattr(cfg, key)}", task)
        if cfg.min < 0:
            raise KeyProblem("min", f"must be 0 or more, got {cfg.min}")
        if cfg.max is not None and cfg.max < max(1, cfg.min):
            raise KeyProblem("max", f"must be {max(1, cfg.min)} or more, got {cfg.max}")

    def faults(self, data: Json) -> Iterator[Found]:
        for path, turns in values(data, self._steps):
            if isinstance(turns, list):
                yield from self._of(path, [turn for turn in turns if isinstance(turn, dict)])

    def _of(self, path: Path, turns: list[Json]) -> Iterator[Found]:
        cfg = self._cfg
        if len(turns) < cfg.min or (cfg.max is not None and len(turns) > cfg.max):
            wanted = f"at least {cfg.min}" if len(turns) < cfg.min else f"at most {cfg.max}"
            yield Fault("turn_count", path, f"has {len(turns)} turns, and must have {wanted}", {"turns": len(turns)})
        roles = [turn.get(cfg.role) for turn in turns]
        for place, wanted, key in ((0, cfg.first, "begin"), (len(turns) - 1, cfg.last, "end")):
            if turns and wanted and roles[place] != wanted:
                problem = f"the turn of {roles[place]!r} must not {key} it; {wanted!r} must"
                yield Fault("turn_ends", (*path, place), problem, {"role": roles[place], "wanted": wanted})
        for place in range(1, len(turns)):
            if cfg.alternate and roles[place] == roles[place - 1]:
                problem = f"{roles[place]!r} has the turn before too"
                yield Fault("turn_order", (*path, place), problem, {"role": roles[place]})
        yield from self._repeats(path, turns)

    def _repeats(self, path: Path, turns: list[Any]) -> Iterator[Found]:
        seen: dict[str, int] = {}
        for place, turn in enumerate(turns):
            text = turn.get(self._cfg.text)
            if not isinstance(text, str) or not (form := comparable(text)):
                continue
            earlier = seen.setdefault(form, place)
            if earlier != place:
                problem = f"{quoted(text)} repeats turn {earlier + 1}"
                yield Fault("turn_repeats", (*path, place, self._cfg.text), problem, {"of": earlier})
