"""Keep the state of a run with shards in its ledger: the pass, its first slots, and the samples that merges dropped."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from synthgen.cluster.shards.exchange import ENDS, Stage
from synthgen.ledger import Ledger, Reader
from synthgen.records import Json
from synthgen.run.progress import Progress
from synthgen.run.shares import STATE, ShardGoal


@dataclass
class State:
    """Hold the state of a run with shards. A pass is a part of the run that ends with a merge."""

    number: int = 0
    """Number of the current pass; 0 before the first one."""
    merged: int = 0
    """Number of the last pass that is merged."""
    begins: list[int] = field(default_factory=list)
    """The first slot of the current pass in each shard."""
    active: list[int] = field(default_factory=list)
    """The shards that accept samples in the current pass."""
    base: int = 0
    """The first slot of the current pass in the merged ledger."""
    lost: list[dict[str, int]] = field(default_factory=list)
    """The samples of each shard that merges dropped, by label."""

    @classmethod
    def read(cls, reader: Reader) -> "State":
        return cls(**(reader.meta(STATE) or {}))

    @property
    def stage(self) -> Stage:
        return Stage(self.number, self.begins, self.active)

    def write(self, ledger: Ledger) -> None:
        """Write the state and wait until it is on disk."""
        ledger.set_meta(STATE, asdict(self)).result()


@dataclass(frozen=True)
class ShardRecord:
    """Hold the state of one shard, as its ledger has it."""

    accepted: Mapping[str, int]
    """Accepted samples by label; an empty text is the label of those without one."""
    frontier: int
    stopped_by: str
    ends: Mapping[str, int]
    failure: str

    def has_ended(self, number: int) -> bool:
        """Return True when the shard has ended a pass."""
        return str(number) in self.ends


NOT_BEGUN = ShardRecord({}, 0, "", {}, "")


def shard_record(reader: Reader) -> ShardRecord:
    """Return the state of a shard from its ledger."""
    sql = "SELECT COALESCE(label, ''), COUNT(*) FROM samples WHERE origin = 'synthetic' GROUP BY 1"
    failure = "SELECT json_extract(data, '$.failure') FROM events WHERE kind = 'stopped' ORDER BY seq DESC LIMIT 1"
    return ShardRecord(
        accepted=dict(reader.rows(sql)),
        frontier=reader.frontier(),
        stopped_by=reader.meta("stopped_by") or "",
        ends=reader.meta(ENDS) or {},
        failure=reader.one(failure) or "",
    )


def raised(goals: Sequence[ShardGoal], lost: Sequence[Mapping[str, int]]) -> list[ShardGoal]:
    """Return the goals, raised by the samples of each shard that merges dropped."""
    return [goal.with_lost(own) for goal, own in zip(goals, lost, strict=True)]


def added(lost: Sequence[Mapping[str, int]], more: Sequence[Mapping[str, int]]) -> list[dict[str, int]]:
    """Return the samples that earlier merges and another one dropped, for each shard by label."""
    return [dict(Counter(one) + Counter(other)) for one, other in zip(lost, more, strict=True)]


_LATEST = 4096  # slots whose requests are counted


def figures(reader: Reader) -> Json:
    """Return the newest progress of a shard, and its requests in flight."""
    sql = "SELECT data FROM events WHERE kind = 'progress' ORDER BY seq DESC LIMIT 1"
    newest: Json = json.loads(reader.one(sql) or "{}")
    first = (reader.one("SELECT MAX(slot) FROM slots") or 0) - _LATEST
    in_flight = reader.one("SELECT COUNT(*) FROM requests WHERE slot >= ? AND state = 'sent'", (first,))
    return {
        "accepted": 0,
        "candidates": 0,
        "output_tokens": 0,
        "rejected": {},
        "usd": None,
        **newest,
        "in_flight": in_flight,
    }


class News:
    """Find what the shards have told in this session, and the run has not shown yet. News of several shards is shown once."""

    def __init__(self, ledgers: Sequence[Path]) -> None:
        self._shown: set[str] = set()
        self._upto: list[int] = []
        for path in ledgers:
            if not path.is_file():
                self._upto.append(0)
                continue
            with Reader(path) as reader:
                self._upto.append(reader.one("SELECT COALESCE(MAX(seq), 0) FROM events"))

    def of(self, number: int, reader: Reader) -> list[str]:
        """Return the news of a shard, which `reader` reads."""
        sql = "SELECT seq, json_extract(data, '$.why') FROM events WHERE seq > ? ORDER BY seq"
        found = []
        for seq, why in reader.rows(sql, (self._upto[number],)):
            self._upto[number] = seq
            if why is not None and why not in self._shown:
                self._shown.add(why)
                found.append(why)
        return found


def together(progress: Progress, shards: Sequence[Json]) -> None:
    """Give a run's progress the sums of the figures of its shards."""
    for key in ("accepted", "candidates", "output_tokens"):
        setattr(progress, key, sum(one[key] for one in shards))
    progress.rejected = sum((Counter(one["rejected"]) for one in shards), Counter())
    known = [one["usd"] for one in shards if one["usd"] is not None]
    progress.usd = sum(known) if known else None
