"""The ledger as a state machine: whatever is written, killed, filled up or closed in whatever order,

what is on disk is what the first so-and-so many writes made, and no acknowledged one is missing.
"""

import asyncio
import copy
import shutil
import sqlite3
import tempfile
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from synthgen.errors import WriteError
from synthgen.ledger import Ledger, Reader, Settled, check
from synthgen.ledger.commits import Write
from synthgen.records import Candidate, Completion, Message, PlannedSlot, Request, Sample, Verdict, content_id

TEXT = st.text(min_size=1, max_size=12)  # any script, any plane; unique texts come from the slot in them


@dataclass
class Contents:
    """Hold what a ledger should hold after some writes."""

    slots: dict[int, str] = field(default_factory=dict)
    requests: dict[tuple[str, int], tuple[str, str | None]] = field(default_factory=dict)
    candidates: dict[int, str] = field(default_factory=dict)
    samples: list[str] = field(default_factory=list)
    vectors: set[str] = field(default_factory=set)
    meta: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def on_disk(cls, path: Path) -> "Contents":
        with Reader(path) as reader:
            list(reader.rows("BEGIN"))  # all of it at one moment, whatever is committed meanwhile
            return cls(
                dict(reader.rows("SELECT slot, state FROM slots")),
                {(i, n): (state, text) for i, n, state, text in reader.rows("SELECT id, attempt, state, text FROM requests")},
                dict(reader.rows("SELECT slot, outcome FROM candidates")),
                [sample.id for sample in reader.samples()],
                set(reader.embeddings()),
                {"key": reader.meta("key")} if reader.meta("key") is not None else {},
            )  # fmt: skip


class Disk:
    """A connection whose commits wait for `gate`, and whose next statement fails once `full` is set."""

    def __init__(self, path: Path) -> None:
        self._connection = sqlite3.connect(path, check_same_thread=False)
        self._connection.execute("PRAGMA journal_mode = WAL")
        self._connection.execute("PRAGMA synchronous = OFF")  # a kill is played, not a power cut
        self.gate = threading.Event()
        self.gate.set()
        self.at_gate = threading.Event()
        self.full = False

    def execute(self, sql: str, values: Any = ()) -> Any:
        if self.full:
            raise sqlite3.OperationalError("database or disk is full")
        return self._connection.execute(sql, values)

    def commit(self) -> None:
        self.at_gate.set()
        assert self.gate.wait(10)
        self._connection.commit()

    def rollback(self) -> None:
        self._connection.rollback()

    def close(self) -> None:
        self._connection.close()


class LedgerMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="ledger-"))
        self.path = self.folder / "ledger.sqlite"

    @initialize()
    def create(self) -> None:
        Ledger.create(self.path, {}).close()
        self.states = [Contents()]  # after 0, 1, 2 ... writes
        self.acknowledged = 0
        self.next_slot = 0
        self._open()

    def _open(self) -> None:
        check(self.path)
        self.disk = Disk(self.path)
        self.ledger = Ledger(self.disk, self.path)  # type: ignore[arg-type]

    def _write(self, submit: Callable[[], Write], change: Callable[[Contents], None]) -> None:
        future = submit()
        after = copy.deepcopy(self.states[-1])
        change(after)
        self.states.append(after)
        number = len(self.states) - 1

        def acknowledge(done: Write) -> None:
            if done.exception() is None:
                self.acknowledged = number

        future.add_done_callback(acknowledge)

    def _wait(self) -> None:
        asyncio.run(self.ledger.written())

    def _in_state(self, state: str) -> list[int]:
        return [slot for slot, now in self.states[-1].slots.items() if now == state]

    # -- what a run writes -------------------------------------------------------------------------

    @rule(count=st.integers(1, 4))
    def plan(self, count: int) -> None:
        first, self.next_slot = self.next_slot, self.next_slot + count
        slots = [
            PlannedSlot(slot=slot, group=slot // 4, label=None, strategy="fewshot", parents=())
            for slot in range(first, first + count)
        ]
        self._write(
            lambda: self.ledger.plan(slots), lambda after: after.slots.update({slot.slot: "planned" for slot in slots})
        )

    @precondition(lambda self: self._in_state("planned"))
    @rule(data=st.data(), text=TEXT, attempt=st.integers(1, 3), answered=st.booleans())
    def ask(self, data: st.DataObject, text: str, attempt: int, answered: bool) -> None:
        slot = data.draw(st.sampled_from(self._in_state("planned")))
        request = Request(id=f"{slot}/generate", messages=(Message(role="user", content=text),))
        key = (request.id, attempt)
        self._write(
            lambda: self.ledger.sent(request, attempt, slot, "generate"),
            lambda after: after.requests.update({key: ("sent", None)}),
        )
        if answered:
            completion = Completion(text=text, finish_reason="stop")
            self._write(
                lambda: self.ledger.answered(request.id, attempt, completion),
                lambda after: after.requests.update({key: ("answered", text)}),
            )
        else:
            self._write(
                lambda: self.ledger.failed(request.id, attempt, "RetryableError: no answer"),
                lambda after: after.requests.update({key: ("failed", None)}),
            )

    @precondition(lambda self: self._in_state("planned"))
    @rule(data=st.data(), text=TEXT, passes=st.booleans())
    def settle(self, data: st.DataObject, text: str, passes: bool) -> None:
        slot = data.draw(st.sampled_from(self._in_state("planned")))
        content = {"text": f"{slot} {text}"}
        fields: dict[str, Any] = {
            "id": content_id(content), "slot": slot, "item": 0, "parents": (), "depth": 1, "strategy": "fewshot",
            "template": "t",
        }  # fmt: skip
        vector = np.asarray([0.6, 0.8], dtype=np.float32)
        candidate = Candidate(text=text, data=content, finish_reason="stop", embedding=vector, **fields)
        sample = Sample(data=content, origin="synthetic", **fields) if passes else None
        verdict = Verdict(check="form") if passes else Verdict(check="form", outcome="reject", reason="schema")
        entry = Settled(candidate, (verdict,), sample)

        def change(after: Contents) -> None:
            after.slots[slot] = "settled"
            after.candidates[slot] = "accepted" if passes else "rejected"
            if sample is not None:
                after.samples.append(sample.id)
                after.vectors.add(sample.id)

        self._write(lambda: self.ledger.settle(slot, "settled", [entry]), change)

    @rule(value=st.integers() | TEXT | st.none().map(lambda _: [1.5, "二", {}]))
    def note(self, value: Any) -> None:
        self._write(lambda: self.ledger.set_meta("key", value), lambda after: after.meta.update(key=value))

    # -- what may happen to it ---------------------------------------------------------------------

    @rule()
    def wait(self) -> None:
        self._wait()
        assert self.acknowledged == len(self.states) - 1

    @rule(before_commit=st.booleans(), text=TEXT)
    def kill(self, before_commit: bool, text: str) -> None:
        """The files as they are, under a process that is gone: in the midst of a group, or after one."""
        self._wait()  # the writer rests, and so the copy below is of one moment
        if before_commit:
            self.disk.at_gate.clear()
            self.disk.gate.clear()
            self.plan(2)
            self.note(text)
            assert self.disk.at_gate.wait(10)
        left = self.folder / "left"
        left.mkdir()
        for path in self.folder.glob("ledger.sqlite*"):
            shutil.copy(path, left / path.name)
        acknowledged = self.acknowledged
        self.disk.gate.set()
        self.ledger.close()
        for path in self.folder.glob("ledger.sqlite*"):
            path.unlink()
        for path in left.iterdir():
            path.rename(self.folder / path.name)
        left.rmdir()
        self._is_a_state_from(acknowledged)
        self._open()

    @rule(text=TEXT)
    def fill_the_disk(self, text: str) -> None:
        self._wait()
        acknowledged = self.acknowledged
        self.disk.full = True
        self.note(text)
        try:
            self._wait()
            raise AssertionError("a write after a lost one was acknowledged")
        except WriteError:
            self.ledger.close()
        assert self.acknowledged == acknowledged
        self._is_a_state_from(acknowledged)
        self._open()

    @rule()
    def close_and_open(self) -> None:
        self.ledger.close()
        assert Contents.on_disk(self.path) == self.states[-1]
        self.acknowledged = len(self.states) - 1
        with Ledger.open(self.path):
            pass
        self._open()

    def _is_a_state_from(self, acknowledged: int) -> None:
        """Check that what lies on disk is what a first part of the writes made, every acknowledged one among them."""
        found = Contents.on_disk(self.path)
        held = [number for number, state in enumerate(self.states) if state == found]
        assert held, found
        assert held[-1] >= acknowledged
        self.states = [found]
        self.acknowledged = 0
        self.next_slot = max(found.slots, default=-1) + 1

    @invariant()
    def nothing_is_acknowledged_that_is_not_on_disk(self) -> None:
        if not hasattr(self, "states"):
            return
        acknowledged = self.acknowledged
        found = Contents.on_disk(self.path)
        assert any(state == found for state in self.states[acknowledged:]), (found, self.states[acknowledged:])

    def teardown(self) -> None:
        if hasattr(self, "ledger"):
            self.disk.gate.set()
            self.ledger.close()
        shutil.rmtree(self.folder)


TestLedger = pytest.mark.slow(LedgerMachine.TestCase)
TestLedger.settings = settings(
    max_examples=40, stateful_step_count=25, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
