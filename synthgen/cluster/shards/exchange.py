"""Take over the samples of the other shards at fixed slots, from their ledgers.

Before slot `begin + n * every` of a pass, a shard takes over what each other shard accepted in the first `(n - 1) * every`
slots of its own pass, and waits for it if necessary. At the first slot of a later pass it takes over all that the others
accepted in the passes before. The slots alone decide, so the result does not depend on the pace of the shards. Accepted
samples never change, so the ledger of a shard only records up to which slot it took over each other shard.
"""

import asyncio
import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from synthgen.ledger import Ledger, Reader
from synthgen.records import Json
from synthgen.run.exchange import Foreign

TAKEN = "taken_over"
"""Kind of the events that record what a shard took over: {slot, pass, upto}, with the end slot for each other shard."""
ENDS = "ended_passes"
"""Ledger key of the first slot that a shard had not settled at the end of each pass, by the number of the pass."""
_LOOK_SECONDS = 0.02


@dataclass(frozen=True)
class Stage:
    """Describe a pass: a part of the run in which shards accept samples, before a merge."""

    number: int
    """Number of the pass, from 1."""
    begins: Sequence[int]
    """The first slot of the pass in each shard."""
    active: Sequence[int]
    """The shards that accept samples in this pass."""


class ShardExchange:
    """Take over samples for shard `number` of the shards with these ledgers. `every` is the number of slots between exchanges.

    `items` is the most candidates of a slot.
    """

    def __init__(
        self, ledger: Ledger, number: int, ledgers: Sequence[Path], stage: Stage, every: int, items: int
    ) -> None:
        self._ledger = ledger
        self._number = number
        self._paths = {other: path for other, path in enumerate(ledgers) if other != number}
        self._stage = stage
        self._every = every
        self._items = items
        with Reader(ledger.path) as reader:
            sql = "SELECT data FROM events WHERE kind = ? ORDER BY seq"
            self._taken: list[Json] = [json.loads(data) for (data,) in reader.rows(sql, (TAKEN,))]
        self._upto = dict.fromkeys(self._paths, 0)
        for entry in self._taken:
            self._upto |= _upto(entry)
        self._settled = dict.fromkeys(self._paths, 0)
        """Slots of the other shards up to which all are known to be settled."""
        begun = stage.number == 1 or any(entry["pass"] == stage.number for entry in self._taken)
        self._next = 0 if not begun else self._after(self._taken[-1]["slot"] if self._taken else -1)
        """The next slot with an exchange; 0 for the first slot that is settled."""

    @property
    def ledgers(self) -> Sequence[Path]:
        return list(self._paths.values())

    @property
    def count(self) -> int:
        found = 0
        for other, path in self._paths.items():
            if self._upto[other]:
                with Reader(path) as reader:
                    sql = "SELECT COUNT(*) FROM samples WHERE slot >= 0 AND slot < ?"
                    found += reader.one(sql, (self._upto[other],))
        return found

    def earlier(self) -> Iterator[Foreign]:
        """Yield the samples that earlier sessions took over, each with the slot before which it was taken over."""
        upto = dict.fromkeys(self._paths, 0)
        for entry in self._taken:
            before, upto = upto, upto | _upto(entry)
            yield from self._read(entry["slot"], before, upto)

    def reach(self, slots: int) -> int:
        """Return the most samples that can be taken over while `slots` slots are settled."""
        exchanges = math.ceil(slots / self._every) + 1
        unread = sum(max(0, self._stage.begins[other] - upto) for other, upto in self._upto.items())
        return self._items * (exchanges * self._every * len(self._paths) + unread)

    async def before(self, slot: int, is_closing: Callable[[], bool]) -> list[Foreign] | None:
        if slot < self._next:
            return []
        stage = self._stage
        first = self._next == 0
        distance = 0 if first else slot - stage.begins[self._number] - self._every
        limits = {other: stage.begins[other] + distance for other in self._paths}
        upto = {}
        for other, limit in limits.items():
            end = limit if first else await self._ready(other, limit, is_closing)
            if end is None:
                return None
            upto[other] = max(end, self._upto[other])
        found = list(self._read(slot, self._upto, upto))
        entry = {"slot": slot, "pass": stage.number, "upto": {str(other): end for other, end in upto.items()}}
        self._taken.append(entry)
        self._ledger.event(TAKEN, entry)
        self._upto, self._next = upto, self._after(slot)
        return found

    def _after(self, slot: int) -> int:
        """Return the next slot with an exchange after `slot`."""
        begin = self._stage.begins[self._number]
        return begin + max(1, (slot - begin) // self._every + 1) * self._every

    def _read(self, slot: int, before: Mapping[int, int], upto: Mapping[int, int]) -> Iterator[Foreign]:
        for other, path in self._paths.items():
            if upto[other] > before[other]:
                with Reader(path) as reader:
                    for sample, vector in reader.accepted_in(before[other], upto[other]):
                        yield sample.model_copy(update={"slot": slot}), vector

    async def _ready(self, other: int, limit: int, is_closing: Callable[[], bool]) -> int | None:
        """Wait until another shard has settled all slots below `limit`, or has ended this pass.

        Return the slot up to which its samples are taken over, or None if the run closes before that.
        """
        if other not in self._stage.active:
            return self._stage.begins[other]
        if self._settled[other] >= limit:
            return limit
        path = self._paths[other]
        with ExitStack() as stack:
            reader: Reader | None = None
            while True:
                if reader is None and path.is_file():  # its process may not have begun
                    reader = stack.enter_context(Reader(path))
                if reader is not None:
                    known, sql = self._settled[other], "slot >= ? AND slot < ? AND state <> 'planned'"
                    if reader.one(f"SELECT COUNT(*) FROM slots WHERE {sql}", (known, limit)) == limit - known:
                        self._settled[other] = limit
                        return limit
                    end: int | None = (reader.meta(ENDS) or {}).get(str(self._stage.number))
                    if end is not None:
                        return min(limit, end)
                if is_closing():
                    return None
                await asyncio.sleep(_LOOK_SECONDS)


def _upto(entry: Json) -> dict[int, int]:
    return {int(other): end for other, end in entry["upto"].items()}
