"""Answers on their way to the ledger: nothing is lost and nothing counts twice, whoever is killed when."""

import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from synthgen.errors import RunFolderError
from synthgen.labels.inbox import NAME, AnswerStore, Inbox, taking_answers
from synthgen.ledger import Ledger, Reader, run_lock
from synthgen.records import ADJUDICATION, Correction, PersonAnswer, Sample, Withdrawal, content_id

Answers = Callable[[Path], list[PersonAnswer]]
ONE = PersonAnswer("one", "anna", "sport", 1.0)
TWO = PersonAnswer("two", "anna", None, 2.0)


def silent(_: str) -> None:
    pass


def test_an_answer_is_in_the_ledger_when_put_returns_and_a_second_one_replaces_it(
    make_run: Callable[..., Path], answers_of: Answers
) -> None:
    folder = make_run()
    store = AnswerStore(folder, silent)
    store.put([ONE])
    assert answers_of(folder) == [ONE]
    store.put([TWO, ONE._replace(answer="world", at=3.0)])
    assert answers_of(folder) == [ONE._replace(answer="world", at=3.0), TWO]
    store.put([Withdrawal("one", "anna")])
    assert answers_of(folder) == [TWO]
    store.close()


def test_answers_of_several_people_are_kept_apart(make_run: Callable[..., Path], answers_of: Answers) -> None:
    folder = make_run()
    store = AnswerStore(folder, silent)
    store.put([ONE, ONE._replace(annotator="ben", answer=None)])
    store.close()
    assert [(answer.annotator, answer.answer) for answer in answers_of(folder)] == [("anna", "sport"), ("ben", None)]


def test_a_process_at_work_takes_the_answer_before_put_returns(
    make_run: Callable[..., Path], answers_of: Answers
) -> None:
    folder = make_run()
    inbox = Inbox(folder)
    inbox.append([TWO])  # left over by somebody who was killed
    with run_lock(folder), Ledger.open(folder / "ledger.sqlite") as ledger, taking_answers(folder, ledger):
        assert answers_of(folder) == [TWO]
        code = (
            "import sys; from pathlib import Path; from synthgen.labels.inbox import AnswerStore;"
            "from synthgen.records import PersonAnswer;"
            "AnswerStore(Path(sys.argv[1]), print).put([PersonAnswer('one', 'anna', 'sport', 1.0)]); print('put')"
        )
        done = subprocess.run([sys.executable, "-c", code, str(folder)], capture_output=True, text=True, timeout=60)
        assert done.stdout == "put\n", done.stderr
        assert answers_of(folder) == [ONE, TWO]
    assert inbox.path.read_bytes() == b""


def test_an_answer_waits_for_a_process_that_takes_none_and_is_written_when_that_ends(
    make_run: Callable[..., Path], answers_of: Answers
) -> None:
    folder = make_run()
    store = AnswerStore(folder, silent)
    holding = "import sys, time; from pathlib import Path; from synthgen.ledger import run_lock\n"
    holding += "with run_lock(Path(sys.argv[1])): print('held', flush=True); time.sleep(60)"
    other = subprocess.Popen([sys.executable, "-c", holding, str(folder)], stdout=subprocess.PIPE)
    assert other.stdout is not None and other.stdout.readline() == b"held\n"
    waiting = threading.Thread(target=lambda: store.put([ONE]))
    waiting.start()
    time.sleep(0.3)
    assert answers_of(folder) == [] and waiting.is_alive(), "not in the ledger: the next question must wait"
    other.kill()
    other.wait()
    waiting.join(30)
    assert answers_of(folder) == [ONE]
    store.close()


def test_answers_that_are_imported_twice_count_once(make_run: Callable[..., Path], answers_of: Answers) -> None:
    folder = make_run()
    inbox = Inbox(folder)
    inbox.append([ONE, TWO, ONE._replace(answer="world", at=3.0), Withdrawal("two", "anna")])
    lines = inbox.path.read_bytes()
    with Ledger.open(folder / "ledger.sqlite") as ledger:
        assert inbox.take(ledger) == 4
        inbox.path.write_bytes(lines)  # as if killed between the commit and the removal
        inbox.take(ledger)
    assert answers_of(folder) == [ONE._replace(answer="world", at=3.0)]


def test_half_a_line_of_a_killed_writer_spoils_no_other(make_run: Callable[..., Path], answers_of: Answers) -> None:
    folder = make_run()
    inbox = Inbox(folder)
    inbox.append([ONE])
    with inbox.path.open("ab") as file:
        file.write(b'["two", "an')
    inbox.append([TWO])
    with Ledger.open(folder / "ledger.sqlite") as ledger:
        assert inbox.take(ledger) == 2
    assert answers_of(folder) == [ONE, TWO]


def test_a_correction_edited_by_hand_is_dropped_where_it_is_no_sample_and_spoils_no_answer(
    make_run: Callable[..., Path], answers_of: Answers
) -> None:
    folder = make_run()
    whole = {"id": "new", "data": {"text": "x"}, "origin": "synthetic", "parents": ["one"]}
    broken = [{}, {**whole, "id": 3}, {**whole, "parents": "one"}, {**whole, "data": []}, {**whole, "origin": "seeds"}]
    lines = [json.dumps({"correction": sample}) + "\n" for sample in [*broken, whole]]
    (folder / NAME).write_text("".join(lines))
    Inbox(folder).append([ONE])
    with Ledger.open(folder / "ledger.sqlite") as ledger:
        assert Inbox(folder).take(ledger) == 2
    with Reader(folder / "ledger.sqlite") as reader:
        assert (sample := reader.sample("new")) is not None and sample.parents == ("one",)
    assert answers_of(folder) == [ONE]


def test_answers_stay_in_their_file_while_the_ledger_cannot_be_written(
    make_run: Callable[..., Path], answers_of: Answers
) -> None:
    folder = make_run()
    inbox = Inbox(folder)
    inbox.append([ONE])
    ledger = Ledger.open(folder / "ledger.sqlite")
    ledger.close()
    with pytest.raises(RunFolderError):
        inbox.take(ledger)
    assert inbox.holds([ONE])
    assert answers_of(folder) == []


def test_an_older_ledger_is_upgraded_and_reading_alone_does_not(
    make_run: Callable[..., Path], answers_of: Answers, as_version: Callable[[Path, int], None]
) -> None:
    folder = make_run()
    as_version(folder / "ledger.sqlite", 2)
    assert answers_of(folder) == []
    with run_lock(folder), pytest.raises(RunFolderError, match="older version"):
        AnswerStore(folder, silent)
    store = AnswerStore(folder, silent)
    store.put([ONE])
    store.close()
    assert answers_of(folder) == [ONE]


def test_an_answer_without_a_guide_is_a_line_that_older_versions_read_too(make_run: Callable[..., Path]) -> None:
    inbox = Inbox(make_run())
    inbox.append([ONE, ONE._replace(guide="abc"), ONE._replace(guide="abc", role=ADJUDICATION)])
    lines = [json.loads(line) for line in inbox.path.read_text().splitlines()]
    assert [len(line) for line in lines] == [4, 5, 6]


def test_a_correction_comes_through_the_inbox_once(
    make_run: Callable[..., Path], accepted_of: Callable[[Path], list[Sample]]
) -> None:
    folder = make_run(2)
    parent = accepted_of(folder)[0]
    data = {**parent.data, "text": "Corrected."}
    made = parent.model_copy(update={"id": content_id(data), "data": data, "parents": (parent.id,), "slot": None})
    store = AnswerStore(folder, silent)
    for _ in range(2):
        store.put([Correction(made), ONE._replace(sample_id=made.id, guide="abc")])
    store.close()
    assert [sample for sample in accepted_of(folder) if sample.id == made.id] == [made]


def test_an_older_run_at_work_gets_answers_without_their_guide_and_no_adjudication(
    make_run: Callable[..., Path], as_version: Callable[[Path, int], None]
) -> None:
    folder = make_run(2)
    as_version(folder / "ledger.sqlite", 6)
    with run_lock(folder):
        store = AnswerStore(folder, silent)
        with pytest.raises(RunFolderError, match="knows neither corrections nor adjudications"):
            store.put([ONE._replace(role=ADJUDICATION)])
        taken = threading.Thread(target=store.put, args=([ONE._replace(guide="abc")],), daemon=True)
        taken.start()
        inbox = folder / ".answers.inbox"
        while not inbox.exists() or not inbox.read_text().endswith("\n"):
            time.sleep(0.01)
        assert len(json.loads(inbox.read_text())) == 4
        inbox.write_text("")  # as the older run does when it has taken the line
        taken.join(10)
    store.close()
