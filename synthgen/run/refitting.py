"""Shorten prompts during a run, after the engine has refused one as too long and named its window."""

import asyncio
import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from synthgen.engines.lengths import named_window
from synthgen.errors import TooLongError, UserError
from synthgen.judge.judge import Judge
from synthgen.ledger import Ledger, Reader
from synthgen.records import Json, PlannedSlot, Sample
from synthgen.run.fitting import fit_prompts
from synthgen.run.prepare import Prepared

WINDOW = "window"
"""Ledger key of the smallest window, in tokens, that a refusal has named."""


def known_window(path: Path) -> list[Json]:
    """Return the engine's window, if earlier sessions found it, as a dialect that has only a window; else an empty
    list."""
    with Reader(path) as reader:
        return [] if (size := reader.meta(WINDOW)) is None else [{"window": size}]


class Refitting:
    """Learn the engine's window from its refusals. `dialects` are those that prompts are fitted to so far."""

    def __init__(
        self,
        prepared: Prepared,
        ledger: Ledger,
        dialects: Sequence[Json],
        judge: Judge,
        say: Callable[[str], None],
    ) -> None:
        # A seed that fits no prompt ends a run before it begins. Once it has begun, a warning must do.
        self._prepared = replace(prepared, begun=True)
        self._ledger = ledger
        self._dialects = list(dialects)
        self._window = min((size for each in dialects if (size := each.get("window"))), default=math.inf)
        self._judge = judge
        self._say = say
        self._lock = asyncio.Lock()

    async def shorter(self, planned: PlannedSlot, shown: Sequence[Sample], error: TooLongError) -> PlannedSlot | None:
        """Return the slot with the samples that fit into its prompt; None if the prompt cannot be shorter."""
        await self.adopt_window(error)
        left = self._prepared.prompting.fitting(planned.label, shown)
        if len(left) == len(shown):
            return None
        parents = tuple(sample.id for sample in left)
        self._ledger.shorten(planned.slot, parents)
        return planned.model_copy(update={"parents": parents})

    async def adopt_window(self, error: TooLongError) -> None:
        """Keep all prompts within the window that a refusal names, if it is smaller than the one known so far."""
        size = named_window(str(error))
        async with self._lock:
            if size is None or size >= self._window:
                return
            self._window = size
            self._dialects.append({"window": size})
            self._ledger.set_meta(WINDOW, size)
            self._say(
                f"the engine's window is {size} tokens, as its refusal says; prompts are kept within it from now on"
            )
            try:
                fitted = await asyncio.to_thread(fit_prompts, self._prepared, self._dialects)
            except UserError as problem:
                self._say(f"warning: {problem}")
                return
            for line in fitted.notes:
                self._say(line)
            self._judge.refit(fitted.judge)
