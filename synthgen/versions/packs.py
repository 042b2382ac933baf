"""Store the content of rows once each, in text files that never change: one row a line, sorted by id.

    rows/3f0c8a1e52b97d44.jsonl      {"id": "0b1c...e2", "row": {...}, "lineage": {...}}

A version writes only the rows that the store lacks. The file is named by the hash of its content, so that two people
can add versions on two branches of a repository without a conflict.
"""

from collections.abc import Collection, Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from synthgen.ledger import durable
from synthgen.records import Json, content_id, parse_json, to_json
from synthgen.versions.entries import damaged
from synthgen.versions.rows import DatasetRows

FOLDER = "rows"
_PACK_ROWS = 50_000
"""Most rows of a file, so that files stay below the limits of git hosts."""
_START = b'{"id": "'
_ID = slice(len(_START), len(_START) + 32)
_LINEAGE = b', "lineage": {'


class Stored(NamedTuple):
    """Hold one stored row: its content, and its origin as known when it was stored."""

    id: str
    row: Json
    lineage: Json


class Packs:
    """Read and add the files of stored rows."""

    def __init__(self, root: Path) -> None:
        self._folder = root / FOLDER

    def add(self, rows: DatasetRows) -> tuple[int, int]:
        """Store the rows that are missing, and sync them to disk. Return the number of rows and of bytes added.

        A row that was stored without its lineage is stored once more when the lineage is known.
        """
        known = self._known()
        missing: dict[str, int] = {}
        for key, _, position in rows.entries:
            if key not in known or (not known[key] and rows.lineage(position)):
                missing.setdefault(key, position)
        ids = sorted(missing)
        size = 0
        if ids:
            self._folder.mkdir(exist_ok=True)
            durable.sync(self._folder.parent)
        for start in range(0, len(ids), _PACK_ROWS):
            size += self._write(rows, [(key, missing[key]) for key in ids[start : start + _PACK_ROWS]])
        return len(ids), size

    def read(self, wanted: Collection[str]) -> Iterator[Stored]:
        """Yield each wanted row once, in any order. Raise RunFolderError for one that is damaged or missing."""
        known = self._known()
        left = set(wanted)
        for path, number, line in self._lines():
            key = line[_ID].decode("ascii", "replace")
            if key in left and (_LINEAGE in line or not known[key]):
                left.discard(key)
                yield _parsed(line, key, path, number)
        if left:
            some = ", ".join(sorted(left)[:3])
            raise damaged(str(self._folder), f"{len(left):,} rows of the version are missing ({some})")

    def _known(self) -> dict[str, bool]:
        """Return the ids of all stored rows, each with True if its lineage is stored too."""
        found: dict[str, bool] = {}
        for _, _, line in self._lines():
            key = line[_ID].decode("ascii", "replace")
            found[key] = _LINEAGE in line or found.get(key, False)
        return found

    def _lines(self) -> Iterator[tuple[Path, int, bytes]]:
        for path in sorted(self._folder.glob("*.jsonl")):
            try:
                with path.open("rb") as file:
                    for number, line in enumerate(file, start=1):
                        if not line.startswith(_START) or not line.endswith(b"}\n"):
                            raise damaged(f"{path}:{number}", 'not a line {"id": ..., "row": ...}')
                        yield path, number, line
            except OSError as error:
                raise damaged(str(path), f"cannot be read: {error.strerror}") from error

    def _write(self, rows: DatasetRows, chosen: Sequence[tuple[str, int]]) -> int:
        data = "".join(_lines_of(rows, chosen)).encode()
        name = f"{durable.sha256(data)[:16]}.jsonl"
        durable.write_files(self._folder, {name: data})
        return len(data)


def _lines_of(rows: DatasetRows, chosen: Iterable[tuple[str, int]]) -> Iterator[str]:
    for key, position in chosen:
        lineage = rows.lineage(position)
        value = {"id": key, "row": rows.data(position), **({"lineage": lineage} if lineage else {})}
        yield f"{to_json(value)}\n"


def _parsed(line: bytes, key: str, path: Path, number: int) -> Stored:
    try:
        value = parse_json(line.decode())
        row, lineage = value["row"], value.get("lineage", {})
        whole = content_id(row) == key and isinstance(row, dict) and isinstance(lineage, dict)
    except (ValueError, KeyError, TypeError, AttributeError):
        whole = False
    if not whole:
        raise damaged(f"{path}:{number}", f"the row does not match its id {key}")
    return Stored(key, row, lineage)
