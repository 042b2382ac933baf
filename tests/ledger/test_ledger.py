"""The ledger: nothing counts before it is on disk, a slot is settled whole or not at all, no file is harmed."""

import asyncio
import json
import os
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from synthgen.errors import RunFolderError, WriteError
from synthgen.ledger import Ledger, Reader, Settled, check_writable, network_warning, run_lock, schema
from synthgen.ledger.commits import GROUP_RECORDS, GROUP_SECONDS, Write
from synthgen.records import Candidate, Completion, Grammar, Message, PlannedSlot, Request, Sample, Sampling, Verdict

Make = Callable[..., Candidate]


class Disk:
    """A connection whose disk can be slow or full.

    Commits wait for `gate`. The next statement with `full` in it fails, and then there is room again.
    """

    def __init__(self, path: Path) -> None:
        self._connection = sqlite3.connect(path, check_same_thread=False)
        self.gate = threading.Event()
        self.gate.set()
        self.full: str | None = None
        self.sizes: list[int] = []
        self._count = 0

    def execute(self, sql: str, values: Any = ()) -> Any:
        self._count += 1
        self._room_for(sql)
        return self._connection.execute(sql, values)

    def commit(self) -> None:
        assert self.gate.wait(5)
        self._room_for("COMMIT")
        self.sizes.append(self._count)
        self._count = 0
        self._connection.commit()

    def _room_for(self, sql: str) -> None:
        if self.full and self.full in sql:
            self.full = None
            raise sqlite3.OperationalError("database or disk is full")

    def rollback(self) -> None:
        self._connection.rollback()

    def close(self) -> None:
        self._connection.close()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ledger.sqlite"


@pytest.fixture
def ledger(path: Path) -> Iterator[Ledger]:
    with Ledger.create(path, {"target": 5}) as made:
        yield made


@pytest.fixture
def disk(path: Path) -> Disk:
    Ledger.create(path, {}).close()
    return Disk(path)


@pytest.fixture
def on_disk(disk: Disk, path: Path) -> Iterator[Ledger]:
    with Ledger(disk, path) as made:  # type: ignore[arg-type]
        yield made
        disk.gate.set()


def planned(slot: int, label: str | None = "sport") -> PlannedSlot:
    return PlannedSlot(slot=slot, group=slot // 2, label=label, strategy="fewshot", parents=("p", "q"))


def request(request_id: str = "0/generate", content: str = "Write one.") -> Request:
    messages = (Message(role="system", content="You write."), Message(role="user", content=content))
    grammar = Grammar(kind="choice", spec=("a", "b"))
    return Request(id=request_id, messages=messages, grammar=grammar, sampling=Sampling(seed=len(content)))


def accepted(candidate: Make, slot: int = 0, text: str = "The striker scored twice.") -> Settled:
    made = candidate(text, slot=slot, parents=("p",), embedding=np.asarray([0.6, 0.8], dtype=np.float32))
    sample = Sample(
        id=made.id,
        data=made.data or {},
        origin="synthetic",
        label=made.label,
        slot=slot,
        item=0,
        parents=made.parents,
        depth=1,
        strategy=made.strategy,
        template=made.template,
        quality=0.75,
        novelty=0.5,
    )
    return Settled(made, (Verdict(check="form"), Verdict(check="near", score=0.5)), sample)


def rejected(candidate: Make, slot: int = 0, **changes: Any) -> Settled:
    verdict = Verdict(check="near", outcome="reject", reason="near_duplicate", score=0.97, details={"neighbour": "p"})
    return Settled(candidate(slot=slot, **changes), (Verdict(check="form"), verdict))


def rows(path: Path, sql: str) -> list[tuple[Any, ...]]:
    with Reader(path) as reader:
        return list(reader.rows(sql))


def done(future: Write) -> None:
    future.result(5)


# -- opening ---------------------------------------------------------------------------------------


def test_a_new_ledger_has_its_meta(ledger: Ledger, path: Path) -> None:
    with Reader(path) as reader:
        assert reader.meta("target") == 5
        assert reader.meta("nothing") is None


def test_a_ledger_is_never_overwritten(ledger: Ledger, path: Path) -> None:
    with pytest.raises(RunFolderError, match="exists already; a ledger is never overwritten"):
        Ledger.create(path, {})
    assert rows(path, "SELECT value FROM meta") == [("5",)]


def test_a_ledger_that_was_being_created_is_created_again(path: Path) -> None:
    path.with_name("ledger.sqlite.new").write_bytes(b"half a")
    with Ledger.create(path, {"target": 1}) as ledger:
        done(ledger.set_meta("target", 2))
    assert sorted(left.name for left in path.parent.iterdir()) == ["ledger.sqlite"]


def test_a_part_of_the_config_has_the_keys_of_this_version(ledger: Ledger, path: Path) -> None:
    @dataclass
    class Part:
        kept: int = 1
        added: str = "later"

    done(ledger.set_meta("config", {"group": {"part": {"kept": 2, "gone": True}}}))
    with Reader(path) as reader:
        assert reader.config("group.part", Part) == Part(2, "later")
        assert reader.config("group.other", Part) == Part()


def test_what_was_written_is_there_when_opened_again(ledger: Ledger, path: Path) -> None:
    ledger.set_meta("target", {"é": [1, None]})
    ledger.close()
    with Ledger.open(path) as again:
        done(again.event("resumed", {}))
    assert rows(path, "SELECT value FROM meta") == [('{"é": [1, null]}',)]


def foreign(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE photos (id)")
    connection.close()


def newer(path: Path) -> None:
    Ledger.create(path, {}).close()
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA user_version = 99")
    connection.close()


def damaged(path: Path) -> None:
    with Ledger.create(path, {}) as ledger:
        for number in range(500):
            ledger.event("x" * 100, {"number": number})
    content = bytearray(path.read_bytes())
    middle = len(content) // 2 // 4096 * 4096
    content[middle : middle + 4096] = b"\xff" * 4096
    path.write_bytes(content)


def cut_short(path: Path) -> None:
    damaged(path)
    os.truncate(path, 10_000)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (
            lambda path: path.write_text("not a database, but quite a long text all the same" * 9),
            "not a readable ledger",
        ),
        (lambda path: path.write_bytes(b""), "not a synthgen ledger; synthgen leaves it unchanged"),
        (foreign, "not a synthgen ledger; synthgen leaves it unchanged"),
        (newer, "has ledger version 99, but this program reads versions 1 to 7"),
        (damaged, "synthgen leaves it unchanged. Restore it from a copy"),
        (cut_short, "synthgen leaves it unchanged. Restore it from a copy"),
    ],
    ids=["text", "empty", "foreign", "newer", "damaged", "cut short"],
)
def test_a_file_that_is_no_whole_ledger_is_refused_and_left_as_it_is(
    spoil: Callable[[Path], object], message: str, path: Path
) -> None:
    spoil(path)
    before = path.read_bytes()
    with pytest.raises(RunFolderError) as caught:
        Ledger.open(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert message in str(caught.value)
    assert path.read_bytes() == before


@pytest.mark.parametrize("spoil", [lambda path: path.write_text("no database" * 99), foreign, newer])
def test_a_reader_refuses_what_is_no_ledger_too(spoil: Callable[[Path], object], path: Path) -> None:
    spoil(path)
    with pytest.raises(RunFolderError):
        Reader(path)


@pytest.mark.parametrize("opened", [Ledger.open, Reader])
def test_a_missing_ledger_is_named_and_not_made(opened: Callable[[Path], object], path: Path) -> None:
    with pytest.raises(RunFolderError, match="there is no such ledger; give the folder of a run"):
        opened(path)
    assert not path.exists()


def test_a_sample_whose_text_was_changed_is_noticed(ledger: Ledger, path: Path, candidate: Make) -> None:
    done(ledger.plan([planned(0)]))
    done(ledger.settle(0, "settled", [accepted(candidate)]))
    ledger.close()
    content = path.read_bytes()
    assert b"striker" in content
    path.write_bytes(content.replace(b"striker", b"stroker"))
    with pytest.raises(RunFolderError, match=r"does not match its id.*Restore it from a copy"):
        Ledger.open(path)


@pytest.fixture
def version_1(path: Path, as_version: Callable[[Path, int], None]) -> Path:
    """A ledger as version 1 made it."""
    Ledger.create(path, {"target": 5}).close()
    as_version(path, 1)
    return path


def test_an_older_ledger_is_brought_up_to_date_and_kept(version_1: Path) -> None:
    path = version_1
    before = path.read_bytes()
    with Ledger.open(path) as ledger:
        done(ledger.begin_session("1.2"))
    with Reader(path) as reader:
        assert reader.meta("target") == 5
        assert len(reader.sessions()) == 1
    copy = path.with_name("ledger.sqlite.v1")
    with sqlite3.connect(copy) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (1,)
        assert connection.execute("SELECT value FROM meta").fetchone() == ("5",)
    connection.close()
    assert len(before) == copy.stat().st_size


def test_the_answers_of_a_ledger_without_thinking_are_read(path: Path, as_version: Callable[[Path, int], None]) -> None:
    with Ledger.create(path, {}) as ledger:
        ledger.sent(request("0/generate"), 1, 0, "generate")
        done(ledger.answered("0/generate", 1, Completion(text="a", finish_reason="stop", thinking="Well")))
    with Reader(path) as reader:
        assert reader.answers(0)["0/generate"].thinking == "Well"
    as_version(path, 3)
    with Reader(path) as reader:
        assert (reader.answers(0)["0/generate"].text, reader.answers(0)["0/generate"].thinking) == ("a", "")
    with Ledger.open(path) as ledger:
        ledger.sent(request("1/generate"), 1, 1, "generate")
        done(ledger.answered("1/generate", 1, Completion(text="b", finish_reason="stop", thinking="Hm")))
    with Reader(path) as reader:
        assert [answer.thinking for answer in reader.answers(0).values()] == ["", "Hm"]


def test_an_older_ledger_is_read_without_changing_it(version_1: Path) -> None:
    path = version_1
    before = path.read_bytes()
    with Reader(path) as reader:
        assert reader.meta("target") == 5
        assert reader.sessions() == []
    assert path.read_bytes() == before


def test_an_upgrade_that_is_cut_short_leaves_the_older_ledger(version_1: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = version_1
    monkeypatch.setitem(schema._STEPS, 1, ["CREATE TABLE sessions (seq INTEGER)", "no SQL at all"])
    with pytest.raises(sqlite3.OperationalError):
        Ledger.open(path)
    monkeypatch.undo()
    with Reader(path) as reader:
        assert reader.sessions() == []
    with Ledger.open(path) as ledger:
        done(ledger.begin_session("1.2"))


def test_a_ledger_without_models_and_costs_is_read_and_continues(
    path: Path, news_seeds: list[Sample], as_version: Callable[[Path, int], None]
) -> None:
    with Ledger.create(path, {}, news_seeds[:1]) as ledger:
        done(ledger.plan([planned(0)]))
    as_version(path, 3)
    with Reader(path) as reader:
        assert reader.samples() == news_seeds[:1]
        assert reader.planned() == [planned(0)]
        assert (reader.spent(), reader.dearest()) == (None, {})
    with Ledger.open(path) as ledger:
        done(ledger.plan([planned(1).model_copy(update={"model": "large"})]))
    with Reader(path) as reader:
        assert [each.model for each in reader.planned()] == [None, "large"]


def test_costs_are_kept_with_the_answers(ledger: Ledger, path: Path) -> None:
    for slot, usd in ((0, 0.5), (1, 0.25), (10, 0.75)):
        name = f"{slot}/generate"
        ledger.sent(request(name), 1, slot, "generate")
        ledger.answered(name, 1, Completion(text="{}", finish_reason="stop"), usd)
    ledger.sent(request("10.0/label"), 1, 10, "label")
    done(ledger.answered("10.0/label", 1, Completion(text="sport", finish_reason="stop"), 0.125))
    with Reader(path) as reader:
        assert reader.spent() == 1.625
        assert reader.spent("kind LIKE 'generate%'") == 1.5
        assert reader.dearest() == {"/generate": 0.75, ".0/label": 0.125}


def test_every_step_from_the_oldest_version_is_there() -> None:
    assert set(schema._STEPS) == set(range(schema.OLDEST, schema.VERSION))


def test_a_killed_session_has_no_end_in_the_ledger(ledger: Ledger, path: Path) -> None:
    done(ledger.begin_session("1.2"))
    done(ledger.begin_session("1.2"))
    done(ledger.end_session(3))
    with Reader(path) as reader:
        (_, never, unknown), (began, ended, code) = reader.sessions()
    assert (never, unknown, code) == (None, None, 3)
    assert ended is not None
    assert ended >= began


def test_samples_of_another_run_are_there_from_the_first_moment(path: Path, candidate: Make) -> None:
    taken = [accepted(candidate, 7, text).sample for text in ("One of two.", "Two of two.")]
    samples = [s.model_copy(update={"slot": -1, "item": n}) for n, s in enumerate(taken) if s is not None]
    vectors = {samples[0].id: np.asarray([1.0, 0.0], dtype=np.float32)}
    with Ledger.create(path, {}, samples, vectors) as ledger, Reader(path) as reader:
        assert reader.samples() == samples
        assert set(reader.embeddings()) == {samples[0].id}
        done(ledger.add_vectors({samples[1].id: np.asarray([0.0, 1.0], dtype=np.float32)}))
        assert reader.embeddings()[samples[1].id].tolist() == [0.0, 1.0]


def test_what_a_slot_and_a_sample_were_given_is_kept(ledger: Ledger, path: Path, candidate: Make) -> None:
    tone = {"attributes": {"tone": "curt"}}
    slot = PlannedSlot(slot=0, group=0, label=None, strategy="attributes", parents=(), given=tone)
    done(ledger.plan([slot]))
    with Reader(path) as reader:
        assert reader.planned() == [slot]
    found = accepted(candidate)
    assert found.sample is not None
    done(ledger.settle(0, "settled", [replace(found, sample=found.sample.model_copy(update={"given": tone}))]))
    with Reader(path) as reader:
        assert [sample.given for sample in reader.samples()] == [tone]


def test_a_reader_cannot_write(ledger: Ledger, path: Path) -> None:
    with Reader(path) as reader, pytest.raises(sqlite3.OperationalError, match="readonly"):
        list(reader.rows("DELETE FROM meta"))


# -- writing ---------------------------------------------------------------------------------------


def test_nothing_is_acknowledged_before_it_is_on_disk(on_disk: Ledger, disk: Disk, path: Path) -> None:
    disk.gate.clear()
    write = on_disk.event("a", {})
    with pytest.raises(TimeoutError):
        write.result(0.1)
    assert rows(path, "SELECT kind FROM events") == []
    disk.gate.set()
    done(write)
    assert rows(path, "SELECT kind FROM events") == [("a",)]


def test_writes_are_acknowledged_and_found_in_the_order_they_came(on_disk: Ledger, path: Path) -> None:
    writes: list[Write] = []
    finished: list[Write] = []
    for number in range(300):
        writes.append(on_disk.event(str(number), {}))
        writes[-1].add_done_callback(finished.append)
    done(on_disk.event("300", {}))
    assert finished == writes
    assert [kind for (kind,) in rows(path, "SELECT kind FROM events ORDER BY seq")] == [str(n) for n in range(301)]


def test_concurrent_writes_are_committed_together(on_disk: Ledger, disk: Disk) -> None:
    for number in range(3 * GROUP_RECORDS):
        on_disk.event(str(number), {})
    done(on_disk.event("last", {}))
    assert len(disk.sizes) < 20
    assert sum(disk.sizes) < GROUP_RECORDS / 4  # statements, of many rows each


def test_writes_come_from_any_thread(ledger: Ledger, path: Path) -> None:
    def write() -> None:
        for _ in range(5):
            done(ledger.event("x", {}))

    threads = [threading.Thread(target=write) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert rows(path, "SELECT COUNT(*) FROM events") == [(40,)]


async def test_written_waits_for_all_that_was_submitted(on_disk: Ledger, disk: Disk) -> None:
    disk.gate.clear()
    write = on_disk.event("a", {})
    waiting = asyncio.create_task(on_disk.written())
    await asyncio.sleep(0.05)
    assert not waiting.done()
    disk.gate.set()
    await waiting
    assert write.done()


async def test_a_cancelled_wait_does_not_undo_its_write(on_disk: Ledger, disk: Disk, path: Path) -> None:
    disk.gate.clear()
    waiting = asyncio.create_task(asyncio.wait_for(on_disk.event("a", {}), 0.01))
    with pytest.raises(TimeoutError):
        await waiting
    disk.gate.set()
    await asyncio.wait_for(on_disk.written(), 5)  # the writer lives
    assert rows(path, "SELECT kind FROM events") == [("a",)]


def test_closing_commits_what_is_queued(path: Path) -> None:
    ledger = Ledger.create(path, {})
    writes = [ledger.event(str(number), {}) for number in range(200)]
    ledger.close()
    assert all(write.done() for write in writes)
    assert rows(path, "SELECT COUNT(*) FROM events") == [(200,)]
    ledger.close()  # again is no error


# -- a full disk -----------------------------------------------------------------------------------


def test_on_a_full_disk_every_waiting_write_fails_in_order(on_disk: Ledger, disk: Disk, path: Path) -> None:
    done(on_disk.event("before", {}))
    disk.gate.clear()
    disk.full = "COMMIT"
    writes = [on_disk.event(f"lost{number}", {}) for number in range(300)]  # several groups' worth
    disk.gate.set()
    for write in writes:
        with pytest.raises(RunFolderError, match="cannot write the ledger: database or disk is full"):
            done(write)
    assert rows(path, "SELECT kind FROM events") == [("before",)]


def test_after_a_failed_write_later_writes_fail_even_if_there_is_room_again(
    on_disk: Ledger, disk: Disk, path: Path
) -> None:
    disk.full = "INTO meta"
    with pytest.raises(RunFolderError):
        done(on_disk.set_meta("target", 1))
    with pytest.raises(RunFolderError, match="the ledger stopped writing: database or disk is full"):
        on_disk.event("after", {})
    on_disk.close()
    assert rows(path, "SELECT kind FROM events") == []


async def test_waiting_for_writes_raises_the_disks_error(on_disk: Ledger, disk: Disk) -> None:
    disk.full = "INTO events"
    on_disk.event("lost", {})
    with pytest.raises(RunFolderError, match="disk is full"):
        await on_disk.written()


def test_a_ledger_that_failed_can_be_closed_and_opened_again(on_disk: Ledger, disk: Disk, path: Path) -> None:
    disk.full = "INTO events"
    with pytest.raises(RunFolderError):
        done(on_disk.event("lost", {}))
    on_disk.close()
    with Ledger.open(path) as again:
        done(again.event("found", {}))
    assert rows(path, "SELECT kind FROM events") == [("found",)]


# -- settling a slot -------------------------------------------------------------------------------


def test_a_settled_slot_keeps_candidates_verdicts_sample_and_embedding(
    ledger: Ledger, path: Path, candidate: Make
) -> None:
    entry = accepted(candidate, slot=3)
    assert entry.sample is not None
    ledger.plan([planned(3)])
    second = rejected(candidate, slot=3, item=1, id="other", data=None)
    done(ledger.settle(3, "settled", [entry, second]))
    assert rows(path, "SELECT slot, state FROM slots") == [(3, "settled")]
    assert rows(path, 'SELECT item, outcome, "check", reason, data IS NULL FROM candidates ORDER BY item') == [
        (0, "accepted", None, None, 0),
        (1, "rejected", "near", "near_duplicate", 1),
    ]
    assert rows(path, 'SELECT item, position, "check", outcome, score FROM verdicts ORDER BY item, position') == [
        (0, 0, "form", "pass", None),
        (0, 1, "near", "pass", 0.5),
        (1, 0, "form", "pass", None),
        (1, 1, "near", "reject", 0.97),
    ]
    with Reader(path) as reader:
        assert reader.samples() == [entry.sample]
        assert {key: vector.tolist() for key, vector in reader.embeddings().items()} == {
            entry.sample.id: pytest.approx([0.6, 0.8])
        }
        assert json.loads(reader.one("SELECT details FROM verdicts WHERE item = 1 AND position = 1")) == {
            "neighbour": "p"
        }


@pytest.mark.parametrize("table", ["candidates", "verdicts", "samples", "embeddings"])
def test_a_slot_is_settled_whole_or_not_at_all(
    table: str, on_disk: Ledger, disk: Disk, path: Path, candidate: Make
) -> None:
    done(on_disk.plan([planned(0)]))
    disk.full = f"INTO {table}"
    with pytest.raises(RunFolderError, match="disk is full"):
        done(on_disk.settle(0, "settled", [accepted(candidate)]))
    assert rows(path, "SELECT state FROM slots") == [("planned",)]
    for name in ("candidates", "verdicts", "samples", "embeddings"):
        assert rows(path, f"SELECT COUNT(*) FROM {name}") == [(0,)]


def test_a_sample_is_accepted_once(ledger: Ledger, path: Path, candidate: Make) -> None:
    done(ledger.settle(0, "settled", [accepted(candidate, slot=0)]))
    with pytest.raises(RunFolderError, match="UNIQUE constraint failed: samples"):
        done(ledger.settle(1, "settled", [accepted(candidate, slot=1)]))
    assert rows(path, "SELECT slot FROM candidates") == [(0,)]


# -- reading ---------------------------------------------------------------------------------------


def test_samples_come_back_in_the_order_they_came(
    ledger: Ledger, path: Path, candidate: Make, news_seeds: list[Sample]
) -> None:
    vectors = [np.full(2, number, dtype=np.float32) for number in range(len(news_seeds))]
    ledger.add_seeds(news_seeds, vectors)
    later = [accepted(candidate, slot, f"The striker scored {slot} times.") for slot in (9, 4)]
    for entry in later:
        ledger.settle(entry.candidate.slot, "settled", [entry])
    ledger.close()
    with Reader(path) as reader:
        assert reader.samples() == [*news_seeds, *(entry.sample for entry in later)]
        assert reader.embeddings()[news_seeds[7].id].tolist() == [7, 7]


def test_planned_slots_are_those_not_settled_yet(ledger: Ledger, path: Path) -> None:
    slots = [planned(slot, "sport" if slot < 2 else None) for slot in range(4)]
    ledger.plan(slots)
    ledger.settle(0, "settled", [])
    ledger.settle(2, "failed", [])
    ledger.close()
    with Reader(path) as reader:
        assert reader.planned() == [slots[1], slots[3]]
        assert list(reader.groups()) == [(0, 0, 2, "sport"), (1, 2, 2, None)]


def test_answers_come_back_whole_from_a_slot_on(ledger: Ledger, path: Path) -> None:
    full = Completion(
        text="ok é",
        finish_reason="stop",
        logprobs=({"a": -0.5, "b": float("-inf")},),
        prompt_tokens=9,
        cached_tokens=4,
        completion_tokens=1,
        engine="http://x",
        seconds=0.25,
    )
    for slot, name in ((-1, "-1/label/prior"), (0, "0/generate"), (3, "3/generate"), (3, "3.0/label")):
        ledger.sent(request(name), 1, slot, name.split("/", 1)[1])
        ledger.answered(name, 1, full)
    ledger.sent(request("4/generate"), 1, 4, "generate")
    ledger.sent(request("5/generate"), 1, 5, "generate")
    ledger.failed("5/generate", 1, "RetryableError: time-out")
    ledger.close()
    with Reader(path) as reader:
        assert reader.answers(1) == {"3/generate": full, "3.0/label": full}
        assert reader.answers_before_slots() == {"-1/label/prior": full}
    assert rows(path, "SELECT id, state, error FROM requests WHERE slot > 3 ORDER BY id") == [
        ("4/generate", "sent", None),
        ("5/generate", "failed", "RetryableError: time-out"),
    ]


def test_attempts_are_counted_by_request(ledger: Ledger, path: Path) -> None:
    for name, attempt, slot in (("0/generate", 3, 0), ("2/generate", 1, 2), ("2/generate", 2, 2), ("2.0/label", 1, 2)):
        ledger.sent(request(name), attempt, slot, "x")
    ledger.close()
    with Reader(path) as reader:
        assert reader.attempts(1) == {"2/generate": 2, "2.0/label": 1}


def test_a_text_is_kept_once_however_often_it_is_sent(ledger: Ledger, path: Path) -> None:
    for slot in range(50):
        ledger.sent(request(f"{slot}/generate", "Write one." if slot % 2 else "Write two."), 1, slot, "generate")
    ledger.close()
    assert rows(path, "SELECT COUNT(*) FROM texts") == [(4,)]  # a system message, two users', and how to sample
    (messages,) = rows(path, "SELECT messages FROM requests WHERE slot = 7")[0]
    bodies = [
        json.loads(rows(path, f"SELECT body FROM texts WHERE id = '{key}'")[0][0]) for key in json.loads(messages)
    ]
    assert bodies == [{"role": "system", "content": "You write."}, {"role": "user", "content": "Write one."}]


def test_a_text_that_an_earlier_session_wrote_can_be_written_again(ledger: Ledger, path: Path) -> None:
    done(ledger.sent(request("0/generate"), 1, 0, "generate"))
    ledger.close()
    with Ledger.open(path) as again:
        done(again.sent(request("1/generate"), 1, 1, "generate"))


# -- the run lock ----------------------------------------------------------------------------------

TAKE = (
    "import sys; from pathlib import Path; from synthgen.ledger import run_lock\n"
    "try:\n"
    "    with run_lock(Path(sys.argv[1])):\n"
    "        print('taken', flush=True); sys.stdin.read()\n"
    "except Exception as error: print(type(error).__name__, error)\n"
)


def other_process(folder: Path) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-c", TAKE, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )


def test_a_second_process_is_refused_with_the_pid_of_the_first(tmp_path: Path) -> None:
    with run_lock(tmp_path):
        said, _ = other_process(tmp_path).communicate(timeout=20)
    assert said.strip() == (
        f"RunFolderError {tmp_path}: another synthgen process (PID {os.getpid()}) is working in this run folder"
    )


def test_a_lock_is_free_again_when_its_process_is_killed(tmp_path: Path) -> None:
    process = other_process(tmp_path)
    assert process.stdout is not None
    assert process.stdout.readline() == "taken\n"
    with pytest.raises(RunFolderError, match=f"PID {process.pid}\\)"), run_lock(tmp_path):
        pytest.fail("two processes hold one folder")
    process.kill()
    process.communicate()
    with run_lock(tmp_path):
        assert (tmp_path / ".lock").read_text() == str(os.getpid())


# -- the folder ------------------------------------------------------------------------------------


@pytest.fixture
def tmpfs(tmp_path: Path) -> Iterator[Callable[[str], Path]]:
    """`tmpfs("size=1m")`: a small file system of its own, where this process may mount one."""
    mounted = []

    def mount(options: str) -> Path:
        place = tmp_path / f"disk{len(mounted)}"
        place.mkdir()
        made = subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(place)], capture_output=True)
        if made.returncode:
            pytest.skip("this process may not mount a file system")
        mounted.append(place)
        return place

    yield mount
    for place in mounted:
        subprocess.run(["umount", str(place)], check=True)


def test_a_read_only_file_system_is_refused_with_the_reason(tmpfs: Callable[[str], Path]) -> None:
    place = tmpfs("ro,size=1m")
    with pytest.raises(RunFolderError, match=r"cannot be written to \(Read-only file system\); name a folder"):
        check_writable(place)


def test_a_ledger_that_does_not_fit_is_refused_and_leaves_no_file(tmpfs: Callable[[str], Path]) -> None:
    place = tmpfs("size=40k")
    with pytest.raises(RunFolderError, match=r"ledger.sqlite: cannot be created: .*; check the free space"):
        Ledger.create(place / "ledger.sqlite", {"config": "x" * 100_000})
    assert list(place.iterdir()) == []


@pytest.mark.slow
def test_on_a_disk_that_is_really_full_what_was_acknowledged_is_there(tmpfs: Callable[[str], Path]) -> None:
    place = tmpfs("size=1m") / "ledger.sqlite"
    acknowledged = 0
    with Ledger.create(place, {}) as ledger:
        with pytest.raises(WriteError, match=r"cannot write the ledger|stopped writing"):
            for number in range(10_000):
                done(ledger.event("x" * 1000, {"number": number}))
                acknowledged += 1
        assert acknowledged > 100
    with Reader(place) as reader:
        assert reader.one("SELECT COUNT(*) FROM events") == acknowledged


@pytest.mark.parametrize(
    ("table", "kind"),
    [
        ("server:/home /data nfs4 rw 0 0", "nfs4 at /data"),
        ("//server/x /data cifs rw 0 0", "cifs at /data"),
        ("user@host:/x /data fuse.sshfs rw 0 0", "fuse.sshfs at /data"),
        ("server:/a\\040b /data/my\\040runs nfs rw 0 0\n/dev/sdb /data ext4 rw 0 0", "nfs at /data/my runs"),
    ],
)
def test_a_network_file_system_is_named(table: str, kind: str, tmp_path: Path) -> None:
    (tmp_path / "mounts").write_text(f"/dev/sda / ext4 rw 0 0\n{table}\n")
    warning = network_warning(Path("/data/my runs/one"), tmp_path / "mounts")
    assert warning is not None
    assert f"({kind})" in warning
    assert "Better use a local disk: run.dir=DIR" in warning


@pytest.mark.parametrize("table", ["/dev/sda / ext4 rw 0 0", "server:/x /other nfs rw 0 0\n/dev/sda / xfs rw 0 0"])
def test_a_local_disk_gives_no_warning(table: str, tmp_path: Path) -> None:
    (tmp_path / "mounts").write_text(table + "\n")
    assert network_warning(Path("/data/one"), tmp_path / "mounts") is None
    assert network_warning(Path("/data/one"), tmp_path / "nowhere") is None


def test_a_single_write_is_on_disk_sooner_than_a_group_is_collected(on_disk: Ledger) -> None:
    on_disk.event("first", {}).result()
    seconds = []
    for number in range(21):
        began = time.monotonic()
        on_disk.event(f"single {number}", {}).result()
        seconds.append(time.monotonic() - began)
    assert min(seconds) < GROUP_SECONDS / 2
