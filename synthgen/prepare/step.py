"""Define the protocol of a step, its declaration, and the context in which it is built."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from synthgen.prepare.item import Item, RowFields
from synthgen.prepare.log import StepLog


@dataclass(frozen=True)
class StepReason:
    """Declare one reason for which a step removes or changes a row."""

    code: str
    words: str
    """The end of the sentence "removed (or changed) because the row ..."."""


@dataclass(frozen=True)
class StepSpec:
    """Declare a step, for reports and docs."""

    name: str
    does: str
    """The effect of the step, in one sentence."""
    reasons: tuple[StepReason, ...]


class Step(Protocol):
    """Pass on rows in their order. Report every row that is removed or changed to the log.

    A step that must know all rows before it decides stores them in a `Spool`.
    """

    @property
    def spec(self) -> StepSpec: ...

    def __call__(self, rows: Iterable[Item], log: StepLog, /) -> Iterator[Item]: ...


@dataclass(frozen=True)
class Context:
    """Hold what all steps share: names of fields, a folder for temporary files, the seed, folders of files."""

    fields: RowFields
    work: Path
    """An existing folder for temporary files."""
    seed: int
    out: Path
    """The folder that is written, for files besides the rows."""
    bases: Sequence[Path]
    """Folders in which a relative path of the settings is looked for."""
