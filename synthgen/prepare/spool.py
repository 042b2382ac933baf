"""Store rows in a temporary file, for steps that must see all rows before they decide about one."""

import json
import tempfile
from array import array
from collections.abc import Iterable, Iterator
from pathlib import Path

from synthgen.prepare.item import Item, Origin
from synthgen.records import to_json


class Spool:
    """Hold rows on disk in their order. In memory a row takes eight bytes."""

    def __init__(self, folder: Path, rows: Iterable[Item] = ()) -> None:
        self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115  # closed by `close`
        self._starts = array("Q")
        for item in rows:
            self.append(item)

    def __len__(self) -> int:
        return len(self._starts)

    def append(self, item: Item) -> None:
        """Add a row at the end. Add no row while `__iter__` reads."""
        self._starts.append(self._file.tell())
        self._file.write(f"{to_json([item.data, item.origin, item.split])}\n".encode())

    def __iter__(self) -> Iterator[Item]:
        """Yield the rows in their order. Other rows may be read by position meanwhile."""
        place = 0
        while True:
            self._file.seek(place)
            lines = self._file.readlines(1 << 20)
            if not lines:
                return
            place += sum(map(len, lines))
            yield from map(_item, lines)

    def __getitem__(self, position: int) -> Item:
        self._file.seek(self._starts[position])
        return _item(self._file.readline())

    def read_back(self, position: int) -> Item:
        """Return a row while more rows are still to be added."""
        end = self._file.tell()
        item = self[position]
        self._file.seek(end)
        return item

    def close(self) -> None:
        self._file.close()


def _item(line: bytes) -> Item:
    data, origin, split = json.loads(line)
    return Item(data, Origin(*origin), split)
