"""Compare a run whose engine dies again and again with an uninterrupted run."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from synthgen.cli import dispatch
from synthgen.ledger import Reader

_MOST_SESSIONS = 30
_COMPARED = (
    "SELECT slot, label, strategy, parents, given, state FROM slots ORDER BY slot",
    "SELECT id, slot, label, strategy, parents, given, data FROM samples ORDER BY position",
)
_FILES = ("train.jsonl", "validation.jsonl", "meta/lineage.jsonl")

NOUNS = ("river", "harbour", "council", "market", "laser", "protein", "striker", "referee", "budget", "tariff", "glacier",
         "orbit")  # fmt: skip
"""Words for different texts, as the hashed embeddings of these tests see them."""


def survives(run: Sequence[str], dies_after: int, code: int = 0) -> None:
    """Run the command in the folders `whole` and `cut` of the working folder, and compare their slots and datasets.

    The engine of `cut` dies after so many answers of every session. Both runs must end with `code`.
    """
    assert dispatch([*run, "run.dir=whole"]) == code
    codes = [dispatch([*run, "run.dir=cut", f"engine.dies_after={dies_after}"])]
    assert codes == [4]
    assert query("cut", "SELECT slot FROM slots LIMIT 1") and _made("cut") < _made("whole")
    while codes[-1] == 4 and len(codes) < _MOST_SESSIONS:
        codes.append(dispatch(["resume", "cut"]))
    assert codes[-1] == code
    for sql in _COMPARED:
        assert query("cut", sql) == query("whole", sql)
    for name in _FILES:
        assert Path("cut/dataset", name).read_bytes() == Path("whole/dataset", name).read_bytes()


def query(folder: str, sql: str) -> list[tuple[Any, ...]]:
    with Reader(Path(folder) / "ledger.sqlite") as reader:
        return list(reader.rows(sql))


def _made(folder: str) -> int:
    ((count,),) = query(folder, "SELECT COUNT(*) FROM samples WHERE origin = 'synthetic'")
    return int(count)
