"""Copy the settled slots of one ledger into another, under new numbers, so that several runs become one.

Everything about a slot is copied: its requests with their texts, candidates, verdicts, samples and embeddings. Samples
that are named as duplicates become rejected candidates.
"""

import json
import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple

from synthgen.ledger.schema import damage_named
from synthgen.ledger.writer import Ledger
from synthgen.records import Json

ITEMS = 10_000
"""The most candidates of a slot: positions of samples are slots times this, plus the item."""
_SLOTS_AT_ONCE = 40_000
_CACHE_KIB = 262_144
_HEX = "0123456789abcdef"
_REQUEST = (
    "messages", "spec", "sent_at", "state", "error", "text", "finish_reason", "logprobs", "prompt_tokens",
    "cached_tokens", "completion_tokens", "engine", "seconds", "thinking", "usd",
)  # fmt: skip
"""The columns of a request that a copy does not change."""


class Duplicate(NamedTuple):
    """Hold a sample that is not taken over, with the verdict that rejects it."""

    slot: int
    item: int
    check: str
    reason: str
    score: float | None
    details: Json


@dataclass(frozen=True)
class Numbers:
    """Number the slots of one source: slot `begin` becomes `base + turn`, the next one `of` more, and so on."""

    begin: int
    base: int
    turn: int
    of: int

    def slot(self, slot: int) -> int:
        """Return the new number of a slot."""
        return self.base + (slot - self.begin) * self.of + self.turn

    def sql(self, column: str = "slot") -> str:
        """Return the SQL expression for the new number of a slot."""
        return f"({self.base + self.turn} + ({column} - {self.begin}) * {self.of})"


def absorb(
    ledger: Ledger,
    source: Path,
    numbers: Numbers,
    end: int,
    first_position: int,
    duplicates: Sequence[Duplicate],
    begin: int,
    done: tuple[str, Json],
) -> None:
    """Copy the settled slots of `source` from `begin` to below `end` into `ledger`, some ten thousand at a time.

    Samples get positions from `first_position` on. With each part, the ledger's meta key `done[0]` is set to `done[1]`
    with the key `slot` of the next part, so that a copy that was killed can continue there. Raise WriteError if the
    disk refuses it, RunFolderError if the source is damaged.
    """

    def attach(connection: sqlite3.Connection) -> None:
        connection.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
        connection.execute("ATTACH DATABASE ? AS source", (str(source),))
        connection.execute(
            "CREATE TEMP TABLE duplicates (slot INTEGER, item INTEGER, name TEXT, reason TEXT, score REAL, details TEXT,"
            " PRIMARY KEY (slot, item)) WITHOUT ROWID"
        )
        rows = ((*one[:5], json.dumps(one.details)) for one in duplicates)
        connection.executemany("INSERT INTO duplicates VALUES (?, ?, ?, ?, ?, ?)", rows)

    def detach(connection: sqlite3.Connection) -> None:
        connection.execute("DROP TABLE IF EXISTS temp.duplicates")
        connection.commit()
        if any(name == "source" for _, name, _ in connection.execute("PRAGMA database_list").fetchall()):
            connection.execute("DETACH DATABASE source")

    def texts(connection: sqlite3.Connection, digit: str) -> None:
        connection.execute(
            "INSERT OR IGNORE INTO main.texts SELECT id, body FROM source.texts WHERE id >= ? AND id < ? ORDER BY id",
            (digit, chr(ord(digit) + 1)),
        )

    def before_slots(connection: sqlite3.Connection) -> None:
        """Copy the requests before the first slot. All sources have the same ids there, so the attempts keep them apart."""
        columns = ", ".join(["slot", "kind", *_REQUEST])
        connection.execute(
            f"INSERT OR IGNORE INTO main.requests (id, attempt, {columns})"
            f" SELECT id, attempt + {1_000 * numbers.turn}, {columns} FROM source.requests WHERE slot < 0"
        )

    def part(connection: sqlite3.Connection, first: int, last: int) -> None:
        for sql in _statements(numbers, first_position):
            connection.execute(sql, {"first": first, "last": last})
        key, value = done
        connection.execute("INSERT OR REPLACE INTO main.meta VALUES (?, ?)", (key, json.dumps({**value, "slot": last})))

    with damage_named(source):
        try:
            ledger.exclusively(attach)
            for digit in _HEX if begin == numbers.begin else ():
                ledger.exclusively(partial(texts, digit=digit))
            ledger.exclusively(before_slots)
            for first in range(begin, max(end, begin + 1), _SLOTS_AT_ONCE):
                last = min(first + _SLOTS_AT_ONCE, end)
                ledger.exclusively(partial(part, first=first, last=last))
        finally:
            ledger.exclusively(detach)


def _statements(numbers: Numbers, first_position: int) -> Iterable[str]:
    """Yield the statements that copy the slots from :first to below :last."""
    slot, group = numbers.sql(), f"(grp * {numbers.of} + {numbers.turn})"
    within = "slot >= :first AND slot < :last"
    request = f"{slot} || substr(id, length(CAST(slot AS TEXT)) + 1)"
    yield (
        f"INSERT INTO main.slots SELECT {slot}, {group}, label, strategy, parents, state, model, given"
        f" FROM source.slots WHERE {within} ORDER BY slot"
    )
    columns = ", ".join(_REQUEST)
    yield (
        f"INSERT INTO main.requests (id, attempt, slot, kind, {columns})"
        f" SELECT {request} AS new, attempt, {slot}, kind, {columns} FROM source.requests WHERE {within} ORDER BY new, attempt"
    )
    columns = "id, label, text, data, finish_reason, parents, depth, strategy, template"
    yield (
        f'INSERT INTO main.candidates (slot, item, {columns}, outcome, "check", reason)'
        f" SELECT {numbers.sql('c.slot')}, c.item, {', '.join(f'c.{name}' for name in columns.split(', '))},"
        " CASE WHEN d.slot IS NULL THEN c.outcome ELSE 'rejected' END, COALESCE(d.name, c.\"check\"),"
        " COALESCE(d.reason, c.reason)"
        " FROM source.candidates c LEFT JOIN temp.duplicates d ON d.slot = c.slot AND d.item = c.item"
        " WHERE c.slot >= :first AND c.slot < :last ORDER BY c.slot, c.item"
    )
    yield (
        f'INSERT INTO main.verdicts SELECT {slot}, item, position, "check", outcome, reason, score, details'
        f" FROM source.verdicts WHERE {within} ORDER BY slot, item, position"
    )
    yield (
        f"INSERT INTO main.verdicts SELECT {numbers.sql('d.slot')}, d.item,"
        " (SELECT COALESCE(MAX(v.position), -1) + 1 FROM source.verdicts v WHERE v.slot = d.slot AND v.item = d.item),"
        " d.name, 'reject', d.reason, d.score, d.details FROM temp.duplicates d"
        " WHERE d.slot >= :first AND d.slot < :last"
    )
    kept = (
        f"origin = 'synthetic' AND {within} AND NOT EXISTS (SELECT 1 FROM temp.duplicates d"
        " WHERE d.slot = samples.slot AND d.item = samples.item)"
    )
    yield (
        f"INSERT INTO main.samples SELECT id, {first_position - numbers.base * ITEMS} + {slot} * {ITEMS} + item, data, origin,"
        f" label, {slot}, item, parents, depth, strategy, template, quality, novelty, model, given"
        f" FROM source.samples WHERE {kept} ORDER BY slot, item"
    )
    yield (
        "INSERT INTO main.embeddings SELECT sample_id, vector FROM source.samples JOIN source.embeddings ON sample_id = id"
        f" WHERE {kept} ORDER BY slot, item"
    )
