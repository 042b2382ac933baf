"""Read a ledger with the queries that a run and its resume need. Reports have their own queries."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import fields
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import numpy as np
import numpy.typing as npt

from synthgen.ledger.schema import damage_named, read_only
from synthgen.records import SURPLUS, Completion, Json, Outcome, PersonAnswer, PlannedSlot, Sample

Vector = npt.NDArray[np.float32]
ConfigPart = TypeVar("ConfigPart")

_SAMPLE = "id, data, origin, label, slot, item, parents, depth, strategy, template, quality, novelty"
_WITH_THINKING = 4  # the first ledger version that can keep a reasoning model's thinking
_WITH_MODELS = 5  # the first whose slots and samples have a model, and whose requests have a cost
_WITH_GIVEN = 6  # the first that keeps what strategies choose besides samples
_WITH_GUIDES = 7  # the first whose answers have a guide and a role, and that takes corrections
_SESSIONS = "SELECT began, ended, exit_code FROM sessions ORDER BY seq"


class Reader:
    """Read a ledger through a read-only connection."""

    def __init__(self, path: Path) -> None:
        self.path = self._path = path
        self._connection, self._version = read_only(path)
        self._sample = f"{_SAMPLE}, {self.model_column}, {self.given_column}"

    def __enter__(self) -> "Reader":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._connection.close()

    def rows(self, sql: str, values: Sequence[Any] = ()) -> Iterator[tuple[Any, ...]]:
        with damage_named(self._path):
            yield from self._connection.execute(sql, values)

    def one(self, sql: str, values: Sequence[Any] = ()) -> Any:
        with damage_named(self._path):
            row = self._connection.execute(sql, values).fetchone()
        return None if row is None else row[0]

    def meta(self, key: str) -> Any:
        value = self.one("SELECT value FROM meta WHERE key = ?", (key,))
        return None if value is None else json.loads(value)

    def config(self, part: str, kind: type[ConfigPart]) -> ConfigPart:
        """Return one part of the run's config, such as `generate.strategies`, as a dataclass.

        Keys that the ledger's version of synthgen did not have get their default; keys that this one does not have any
        more are ignored.
        """
        saved = self.meta("config") or {}
        for name in part.split("."):
            saved = saved.get(name) or {}
        known = {entry.name for entry in fields(kind)}  # type: ignore[arg-type]
        return kind(**{key: value for key, value in saved.items() if key in known})

    @property
    def knows_models(self) -> bool:
        """Return True when the ledger records which model of a mix wrote a sample."""
        return self._version >= _WITH_MODELS

    @property
    def model_column(self) -> str:
        """Return the expression for the model of a slot or sample, for queries; NULL in a ledger of an older version."""
        return "model" if self.knows_models else "NULL"

    @property
    def given_column(self) -> str:
        """Return the SQL expression for the column `given` of a slot or sample; NULL in a ledger of an older version."""
        return "given" if self._version >= _WITH_GIVEN else "NULL"

    def spent(self, where: str = "1") -> float | None:
        """Return the cost in US dollars of the answered requests that meet an SQL condition; None if none has a price."""
        if self._version < _WITH_MODELS:
            return None
        found: float | None = self.one(f"SELECT SUM(usd) FROM requests WHERE {where}")
        return found

    def dearest(self) -> dict[str, float]:
        """Return the cost in US dollars of the dearest request of a slot, by the end of its id, such as `/generate`."""
        if self._version < _WITH_MODELS:
            return {}
        ending = "substr(id, length(CAST(slot AS TEXT)) + 1)"
        return dict(
            self.rows(f"SELECT {ending}, MAX(usd) FROM requests WHERE slot >= 0 AND usd IS NOT NULL GROUP BY 1")
        )

    def samples(self) -> list[Sample]:
        """Return seeds and accepted samples in the order in which they were added."""
        return [_sample(row) for row in self.rows(f"SELECT {self._sample} FROM samples ORDER BY position")]

    def sample(self, sample_id: str) -> Sample | None:
        """Return one sample by its id; None where there is none."""
        return next(
            (_sample(row) for row in self.rows(f"SELECT {self._sample} FROM samples WHERE id = ?", (sample_id,))), None
        )

    def seeds(self) -> list[tuple[Sample, Vector | None]]:
        """Return the seeds in the order in which they were added, with their embeddings.

        Seeds need not precede all other samples: in a fork of an older version, samples taken over come before them.
        """
        return list(self._held("WHERE origin = 'seed'"))

    def corrections(self) -> list[tuple[Sample, Vector | None]]:
        """Return the samples of no slot that are no seeds, with their embeddings: those that people corrected.

        In a fork of an older version, the samples that were taken over have no slot either.
        """
        return list(self._held("WHERE origin <> 'seed' AND slot IS NULL"))

    def embedded_samples(self, before: int | None = None) -> Iterator[tuple[Sample, Vector | None]]:
        """Yield seeds and accepted samples in the order in which they were added, with their embeddings.

        Yield only those below the position `before`, if it is given.
        """
        return self._held("" if before is None else f"WHERE position < {before}")

    def _held(self, where: str) -> Iterator[tuple[Sample, Vector | None]]:
        joined = "samples LEFT JOIN embeddings ON sample_id = id"
        for row in self.rows(f"SELECT {self._sample}, vector FROM {joined} {where} ORDER BY position"):
            yield _sample(row), None if row[-1] is None else np.frombuffer(row[-1], dtype=np.float32)

    def accepted_in(self, first: int, end: int) -> Iterator[tuple[Sample, Vector]]:
        """Yield the accepted samples of the slots from `first` to below `end`, in slot order, with their embeddings."""
        joined = "samples JOIN embeddings ON sample_id = id"
        where = "WHERE slot >= ? AND slot < ? AND origin = 'synthetic'"
        for row in self.rows(f"SELECT {self._sample}, vector FROM {joined} {where} ORDER BY slot, item", (first, end)):
            yield _sample(row), np.frombuffer(row[-1], dtype=np.float32)

    def frontier(self) -> int:
        """Return the first slot that is not settled."""
        first: int | None = self.one("SELECT MIN(slot) FROM slots WHERE state = 'planned'")
        return first if first is not None else int(self.one("SELECT COALESCE(MAX(slot), -1) + 1 FROM slots"))

    def embeddings(self) -> dict[str, Vector]:
        return {
            key: np.frombuffer(blob, dtype=np.float32)
            for key, blob in self.rows("SELECT sample_id, vector FROM embeddings")
        }

    def planned(self) -> list[PlannedSlot]:
        """Return the slots that are planned and not settled, in order."""
        columns = f"slot, grp, label, strategy, parents, {self.model_column}, {self.given_column}"
        return [
            PlannedSlot(
                slot=slot,
                group=group,
                label=label,
                strategy=strategy,
                parents=tuple(json.loads(parents)),
                model=model,
                given=json.loads(given or "{}"),
            )
            for slot, group, label, strategy, parents, model, given in self.rows(
                f"SELECT {columns} FROM slots WHERE state = 'planned' ORDER BY slot"
            )
        ]

    def answers(self, from_slot: int) -> dict[str, Completion]:
        """Return the recorded completions for slots from `from_slot` on, by request id."""
        return self._answers("slot >= ?", from_slot)

    def answers_before_slots(self) -> dict[str, Completion]:
        """Return the completions of requests made before the first slot, which every session needs."""
        return self._answers("slot = ?", -1)

    def _answers(self, where: str, slot: int) -> dict[str, Completion]:
        thinking = "thinking" if self._version >= _WITH_THINKING else "NULL"
        sql = (
            "SELECT id, text, finish_reason, logprobs, prompt_tokens, cached_tokens, completion_tokens, engine, seconds,"
            f" {thinking} FROM requests WHERE state = 'answered' AND {where}"
        )
        return {
            row[0]: Completion(
                text=row[1], finish_reason=row[2], logprobs=tuple(json.loads(row[3])) if row[3] else (),
                prompt_tokens=row[4], cached_tokens=row[5], completion_tokens=row[6], engine=row[7], seconds=row[8],
                thinking=row[9] or "",
            )
            for row in self.rows(sql, (slot,))
        }  # fmt: skip

    def groups(self) -> Iterator[tuple[int, int, int, str | None]]:
        """Yield (group, first slot, number of slots, label) of every planned group, in order."""
        sql = "SELECT grp, MIN(slot), COUNT(*), MAX(label) FROM slots GROUP BY grp ORDER BY grp"
        return ((group, first, size, label) for group, first, size, label in self.rows(sql))

    def deaths(self, from_slot: int) -> dict[str, int]:
        """Count, for each unanswered request from `from_slot` on, the engine deaths during which it was in flight."""
        sql = (
            "SELECT id, COUNT(*) FROM requests WHERE slot >= ? AND error LIKE 'EngineD%'"
            " AND id NOT IN (SELECT id FROM requests WHERE state = 'answered' AND slot >= ?) GROUP BY id"
        )
        return dict(self.rows(sql, (from_slot, from_slot)))

    def quarantined(self, from_slot: int) -> set[str]:
        """Return the requests from `from_slot` on that killed the engine."""
        sql = "SELECT DISTINCT id FROM requests WHERE slot >= ? AND error LIKE 'PoisonError%'"
        return {name for (name,) in self.rows(sql, (from_slot,))}

    def outcomes(self) -> Iterator[tuple[int, str | None, list[Outcome]]]:
        """Yield (slot, label asked for, outcomes of its candidates) of every settled slot, in order."""
        sql = (
            "SELECT t.slot, t.label, c.item, COALESCE(s.label, c.label), 1.0 - s.novelty, c.reason, v.details FROM slots t"
            " LEFT JOIN candidates c ON c.slot = t.slot LEFT JOIN samples s ON s.slot = c.slot AND s.item = c.item"
            " LEFT JOIN verdicts v ON v.slot = c.slot AND v.item = c.item AND v.\"check\" = 'budget'"
            " WHERE t.state <> 'planned' ORDER BY t.slot, c.item"
        )
        for (slot, asked), rows in groupby(self.rows(sql), key=itemgetter(0, 1)):
            yield slot, asked, [_outcome(*row[3:]) for row in rows if row[2] is not None]

    def settled(self) -> Iterator[tuple[int, int]]:
        """Yield (slot, number of its candidates) of every settled slot, in order."""
        counted = "(SELECT COUNT(*) FROM candidates WHERE candidates.slot = slots.slot)"
        sql = f"SELECT slot, {counted} FROM slots WHERE state <> 'planned' ORDER BY slot"
        return ((slot, candidates) for slot, candidates in self.rows(sql))

    def restating(self) -> tuple[int, int]:
        """Count the accepted candidates that were compared with their prompt's samples, and those that restate one."""
        sql = (
            "SELECT COUNT(*), COALESCE(SUM(v.details <> '{}'), 0) FROM verdicts v JOIN candidates c USING (slot, item)"
            " WHERE v.\"check\" = 'restated' AND c.outcome = 'accepted' AND v.score IS NOT NULL"
        )
        return next((int(looked), int(found)) for looked, found in self.rows(sql))

    def alarms(self) -> list[Json]:
        """Return the recorded alarms about accepted samples, in order."""
        return [json.loads(data) for (data,) in self.rows("SELECT data FROM events WHERE kind = 'alarm' ORDER BY seq")]

    def sessions(self) -> list[tuple[float, float | None, int | None]]:
        """Return (began, ended, exit code) of every session in order. The last two are None for a killed session."""
        if self._version < 2:
            return []
        return [(began, ended, code) for began, ended, code in self.rows(_SESSIONS)]

    @property
    def takes_answers(self) -> bool:
        """Return True when the ledger has a table for people's annotations."""
        return self._version >= 3

    def people_answers(self) -> list[PersonAnswer]:
        """Return people's annotations, ordered by sample and person; empty for a ledger of an older version."""
        if not self.takes_answers:
            return []
        return self._people("ORDER BY sample_id, annotator")

    def people_answer(self, sample_id: str, annotator: str) -> PersonAnswer | None:
        """Return one person's annotation of one sample; None where there is none."""
        return next(iter(self._people("WHERE sample_id = ? AND annotator = ?", (sample_id, annotator))), None)

    def _people(self, rest: str, values: Sequence[Any] = ()) -> list[PersonAnswer]:
        more = ", guide, role" if self.takes_corrections else ""
        sql = f"SELECT sample_id, annotator, answer, at{more} FROM answers {rest}"
        return [PersonAnswer(*row) for row in self.rows(sql, values)]

    @property
    def takes_corrections(self) -> bool:
        """Return True when the ledger keeps the guide and the role of an answer, and samples that people corrected."""
        return self._version >= _WITH_GUIDES

    def attempts(self, from_slot: int) -> dict[str, int]:
        """Return the number of times that each request from `from_slot` on was sent."""
        return dict(self.rows("SELECT id, MAX(attempt) FROM requests WHERE slot >= ? GROUP BY id", (from_slot,)))


def _outcome(label: str | None, similarity: float | None, reason: str | None, details: str | None) -> Outcome:
    surplus = reason in SURPLUS
    return Outcome(json.loads(details or "{}").get("label", label) if surplus else label, similarity, surplus)


def _sample(row: tuple[Any, ...]) -> Sample:
    return Sample(
        id=row[0], data=_decoded(row[1]), origin=row[2], label=row[3], slot=row[4], item=row[5],
        parents=tuple(_decoded(row[6])), depth=row[7], strategy=row[8], template=row[9],
        quality=row[10], novelty=row[11], model=row[12], given=_decoded(row[13]) if row[13] else {},
    )  # fmt: skip


def _decoded(text: str) -> Any:
    """Return a JSON value as `json.loads` does, in a tenth of its time."""
    try:
        return msgspec.json.decode(text)
    except msgspec.DecodeError:  # NaN, infinity or a lone surrogate, which msgspec refuses
        return json.loads(text)
