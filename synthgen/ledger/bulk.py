"""Many rows in one statement.

Python gives its lock away and takes it back around every statement, and next to a busy event loop each time is a
wait: sixty rows in one statement wait once.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import chain
from typing import Any

_SIZES = (64, 16, 4, 1)  # rows a statement: few different ones, so that SQLite keeps them all prepared


@dataclass(frozen=True)
class Bulk:
    """Describe a statement for many rows: `row` repeats between `head` and `tail`; with a tail it is an update.

    Of a table whose rows are updated, `key` first values of a row say which one it is.
    """

    head: str
    row: str
    tail: str = ""
    table: str = ""
    key: int = 0


Statement = tuple[Bulk, Sequence[Any]]
"""One row of a statement."""


def together(statements: Iterable[Statement]) -> Iterator[tuple[str, Sequence[Any]]]:
    """Merge `statements` into equivalent ones: inserts first, then updates, each in order.

    As many go together as may: not a row that was updated before, which comes after that.
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
