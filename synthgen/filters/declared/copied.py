"""Check how much of a field is copied from another, such as a summary from its text.

A word counts as copied if it belongs to a run of words that the other text has in the same order.
"""

import dataclasses
from collections.abc import Iterator, Sequence
from typing import ClassVar

from synthgen.filters.declared.base import Fault, Found, KeyProblem, Scored, Stage
from synthgen.filters.declared.fields import PathPairs, refuse_same, string_steps
from synthgen.filters.declared.measure import is_unspaced, tokens
from synthgen.records import Json
from synthgen.tasks.task import Task

_WORDS, _CHARACTERS = 5, 8
"""Length of the shortest run that counts as copied, in words, or in characters of a script without spaces."""


@dataclasses.dataclass
class CopiedConfig:
    field: str
    """Path to the text."""
    source: str = dataclasses.field(metadata={"key": "from"})
    """Path to the text that it must not be copied from."""
    max: float = 0.8
    """Most share of `field` that may be copied, in runs of 5 words or 8 characters of a script without spaces. A shorter
    text counts as copied when `from` contains it as a whole."""


class Copied:
    """Find texts that are mostly copied from another text."""

    kind: ClassVar[str] = "copied"
    meaning: ClassVar[str] = "At most the share `max` of `field` is copied from `from`."
    reasons: ClassVar[dict[str, str]] = {"copied": "has a text that is copied from another of its texts"}
    config: ClassVar[type[CopiedConfig]] = CopiedConfig
    scores: ClassVar[str] = "share of the text that is copied, 0 to 1"
    stage: ClassVar[Stage] = "rules"

    def __init__(self, cfg: CopiedConfig, task: Task) -> None:
        self._pairs = PathPairs(string_steps("field", cfg.field, task), string_steps("from", cfg.source, task))
        self._cfg = cfg
        refuse_same("from", cfg.source, cfg.field, "the field that it must not be copied from")
        if not 0 <= cfg.max < 1:
            raise KeyProblem("max", f"must be from 0 to below 1, got {cfg.max}")

    def faults(self, data: Json) -> Iterator[Found]:
        most = None
        for path, text, sources in self._pairs(data):
            share = round(max((copied_share(text, source) for source in sources), default=0.0), 4)
            if share > self._cfg.max:
                problem = f"{share:.0%} of it is copied from {self._cfg.source}, and at most {self._cfg.max:.0%} may be"
                yield Fault("copied", path, problem, {"from": self._cfg.source}, share)
            most = max(share, most or 0.0)
        if most is not None:
            yield Scored(most)


def copied_share(text: str, source: str) -> float:
    """Return the share of a text's words, or of its characters in a script without spaces, that is copied."""
    own, other = tokens(text), tokens(source)
    if not own:
        return 0.0
    unspaced = 2 * sum(map(is_unspaced, own)) > len(own)
    size = min(len(own), _CHARACTERS if unspaced else _WORDS)
    runs = set(_runs(other, size))
    taken = [False] * len(own)
    for start, run in enumerate(_runs(own, size)):
        if run in runs:
            taken[start : start + size] = [True] * size
    return sum(taken) / len(own)


def _runs(words: Sequence[str], size: int) -> Iterator[tuple[str, ...]]:
    return (tuple(words[start : start + size]) for start in range(len(words) - size + 1))
