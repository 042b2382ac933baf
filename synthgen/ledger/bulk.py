"""Merge many rows into one SQL statement.

Python releases its global lock for every statement and then waits to get it back, which is slow beside a busy event
loop. One statement with sixty rows waits only once.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import chain
from typing import Any

_SIZES = (64, 32, 16, 8, 4, 2, 1)  # rows per statement: only a few sizes, so that SQLite keeps all statements prepared


@dataclass(frozen=True, eq=False)  # each is made once; rows are gathered by identity, which needs no hash of the texts
class Bulk:
    """Describe a statement for many rows: `row` repeats between `head` and `tail`.

    A statement with a tail is an update. `key` is the number of leading values that identify a row of `table`; 0 for a
    table whose rows are never updated.
    """

    head: str
    row: str
    tail: str = ""
    table: str = ""
    key: int = 0


Statement = tuple[Bulk, Sequence[Any]]
"""A statement with the values of one row."""


def together(statements: Iterable[Statement]) -> Iterator[tuple[str, Sequence[Any]]]:
    """Merge `statements` into fewer, equivalent ones: first the inserts, then the updates, each in order.

    Merge as many as possible. A statement about a row that was already updated starts a new batch, to keep the order.
    """
    rows: dict[Bulk, list[Sequence[Any]]] = {}
    updated: set[tuple[str, Sequence[Any]]] = set()
    for bulk, values in statements:
        if bulk.key:
            row = (bulk.table, values[: bulk.key])
            if row in updated:
                yield from _flushed(rows)
                rows, updated = {}, set()
            if bulk.tail:
                updated.add(row)
        rows.setdefault(bulk, []).append(values)
    yield from _flushed(rows)


def _flushed(rows: dict[Bulk, list[Sequence[Any]]]) -> Iterator[tuple[str, Sequence[Any]]]:
    for bulk in sorted(rows, key=lambda bulk: bool(bulk.tail)):  # stable
        start = 0
        while (left := len(rows[bulk]) - start) > 0:
            size = next(size for size in _SIZES if size <= left)
            yield _sql(bulk, size), tuple(chain.from_iterable(rows[bulk][start : start + size]))
            start += size


@cache
def _sql(bulk: Bulk, size: int) -> str:
    return bulk.head + ", ".join([bulk.row] * size) + bulk.tail
