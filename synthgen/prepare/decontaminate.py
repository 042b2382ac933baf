"""Remove rows that share a run of words with held-out files, such as test sets.

The run of 13 words follows Brown et al. 2020 (GPT-3), appendix C.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from synthgen.errors import ConfigError
from synthgen.filters.seen import Seen
from synthgen.prepare.collect import CollectConfig, collect, sources
from synthgen.prepare.item import Item, Origin
from synthgen.prepare.log import StepLog
from synthgen.prepare.step import Context, StepReason, StepSpec
from synthgen.tasks.normal import normalise
from synthgen.tasks.scripts import UNSPACED

_WORD = re.compile(f"[{UNSPACED}]|[^\\s{UNSPACED}]+")


@dataclass
class DecontaminateConfig:
    files: list[str] = field(default_factory=list)
    """Files and datasets that no row may overlap with, in every format that prepare reads."""
    words: int = 13
    """Length of a shared run of words that removes a row. A Chinese character counts as a word. A shorter held-out text
    removes only rows that are equal to it."""

    def __post_init__(self) -> None:
        if not self.files:
            raise ConfigError("files: name the held-out files, such as [test.jsonl]")
        if self.words < 3:
            raise ConfigError(f"words: must be 3 or more, got {self.words}")


class Decontaminate:
    """Remove every row that shares a run of words with a held-out row."""

    spec = StepSpec(
        "decontaminate",
        "Removes rows that share a run of words with a held-out file.",
        (StepReason("contaminated", "shares a run of words with a held-out row"),),
    )

    def __init__(self, cfg: DecontaminateConfig, context: Context) -> None:
        self._size, self._fields = cfg.words, context.fields
        self._seen, self._held_out = Seen(), list[tuple[Origin, str]]()
        files = [str(found) for name in cfg.files if (found := _beside(name, context))]
        for item in collect(sources(files, "decontaminate.files"), CollectConfig()):
            text = self._fields.whole(item.data)
            for run in self._runs(text):
                self._seen.add(run, len(self._held_out))
            self._held_out.append((item.origin, text))

    def __call__(self, rows: Iterable[Item], log: StepLog) -> Iterator[Item]:
        log.figures["held_out_rows"] = len(self._held_out)
        for item in rows:
            text = self._fields.whole(item.data)
            hit = next((found for run in self._runs(text) if (found := self._seen.find(run)) is not None), None)
            if hit is None:
                yield item
            else:
                place, near = self._held_out[hit]
                log.remove(item, "contaminated", text, near=near, place=place)

    def _runs(self, text: str) -> Iterator[str]:
        """Yield every run of words; the whole text, marked as such, if it is shorter."""
        words = _WORD.findall(normalise(text))
        if words and len(words) < self._size:
            yield "\0" + " ".join(words)
        for start in range(len(words) - self._size + 1):
            yield " ".join(words[start : start + self._size])


def _beside(name: str, context: Context) -> str:
    """Return the name of a file beside the settings where there is one, else the name itself."""
    return next((str(base / name) for base in context.bases if (base / name).exists()), name)
