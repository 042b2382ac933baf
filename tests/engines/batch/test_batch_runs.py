"""Whole runs from the command line against a host of batches."""

import json
import signal
import subprocess
import time
import urllib.request
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import forks
import pytest

from synthgen.cli import dispatch
from synthgen.engines.batch import records
from synthgen.ledger import Reader
from synthgen.records import Json

if TYPE_CHECKING:
    from tests.engines.conftest import Server, StartServer

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def words(server: "Server", target: int, *settings: str, out: str = "out") -> list[str]:
    return [
        "run", "experiment=smoke", f"run.dir={out}", f"budget.target={target}", "engine=openai_batch",
        f"engine.urls=[{server.url}]", "engine.model=m", "engine.quiet=0.2", "engine.poll=0.1",
        "engine.least_requests=1", "engine.request_seeds=true", *settings,
    ]  # fmt: skip


def got(server: "Server", path: str) -> bytes:
    with urllib.request.urlopen(f"{server.url}{path}") as answer:
        return bytes(answer.read())


def batches(server: "Server") -> list[Json]:
    found: list[Json] = json.loads(got(server, "/batches"))["data"]
    return found[::-1]


def asked(server: "Server") -> Counter[str]:
    """Count how often each request was sent to the host in a batch."""
    files = [got(server, f"/files/{batch['input_file_id']}/content") for batch in batches(server)]
    return Counter(json.loads(line)["custom_id"] for content in files for line in content.splitlines())


def query(sql: str, out: str = "out") -> list[tuple[Any, ...]]:
    with Reader(Path(out, "ledger.sqlite")) as reader:
        return list(reader.rows(sql))


def accepted() -> int:
    return int(query("SELECT COUNT(*) FROM samples WHERE origin = 'synthetic'")[0][0])


def started(command: list[str]) -> subprocess.Popen[str]:
    return forks.Popen([*forks.SYNTHGEN, *command], stdout=subprocess.PIPE, text=True)


def wait_for_batch(number: int, out: str = "out") -> None:
    """Wait until the run has been told by the host that this batch exists."""
    for _ in range(600):
        found = [record for record in records.load(Path(out)) if record.id is not None]
        if len(found) >= number and Path(out, "events.jsonl").exists():
            return
        time.sleep(0.05)
    raise AssertionError(f"batch {number} was not sent")


def test_a_run_of_batches_reaches_its_target_and_feeds_samples_back(stand_in: "StartServer") -> None:
    server = stand_in(batch_seconds=0.1)
    assert dispatch(words(server, 40)) == 0
    assert accepted() == 40
    assert max(asked(server).values()) == 1
    assert all(name.split("/")[1].startswith("generate") for name in asked(server))
    shown = "SELECT COUNT(*) FROM slots, json_each(slots.parents) JOIN samples ON samples.id = value WHERE origin = 'synthetic'"
    assert query(shown)[0][0] > 0
    assert len(batches(server)) < 12


def test_the_judge_can_go_through_batches_too_without_any_chat(stand_in: "StartServer") -> None:
    server = stand_in(batch_seconds=0.1)
    settings = ["engine.judge_batches=true", "engine.detect=false", "engine.dialect.preset=vllm"]
    assert dispatch(words(server, 12, *settings)) == 0
    answered = dict(query("SELECT kind, COUNT(*) FROM requests WHERE state = 'answered' GROUP BY kind"))
    assert len(asked(server)) == sum(answered.values())
    assert answered["label"] > 0


@pytest.mark.timeout(120)
def test_a_run_killed_in_the_middle_of_a_batch_is_resumed_and_nothing_is_asked_twice(
    stand_in: "StartServer", capsys: pytest.CaptureFixture[str]
) -> None:
    server = stand_in(batch_seconds=0.5)
    process = started(words(server, 40))
    wait_for_batch(2)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert dispatch(["status", "out"]) == 0
    assert "batches     1 batch with" in capsys.readouterr().out
    assert dispatch(["resume", "out"]) == 0
    assert accepted() == 40
    assert max(asked(server).values()) == 1
    assert dispatch(words(stand_in(batch_seconds=0.05), 40, out="uninterrupted")) == 0
    samples = "SELECT data FROM samples ORDER BY position"
    assert query(samples) == query(samples, "uninterrupted")


@pytest.mark.timeout(120)
@pytest.mark.thorough
def test_an_interrupted_run_leaves_its_batch_at_the_host_and_says_how_to_continue(stand_in: "StartServer") -> None:
    server = stand_in(batch_seconds=20)
    process = started(words(server, 20))
    wait_for_batch(1)
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate()
    assert process.returncode == 5
    assert batches(server)[0]["status"] == "in_progress"
    lines = out.splitlines()
    assert lines[-1] == "synthgen resume out"
    assert any(line.startswith("batches     1 batch with") and "a resume uses" in line for line in lines)
    assert dispatch(["resume", "out", "budget.candidates=1"]) == 3
    assert len(batches(server)) == 1
    assert max(asked(server).values()) == 1


def test_a_run_that_waits_at_its_end_time_stops_and_leaves_the_batch(stand_in: "StartServer") -> None:
    server = stand_in(batch_seconds=60)
    began = time.monotonic()
    assert dispatch(words(server, 20, "budget.minutes=0.02")) == 3
    assert time.monotonic() - began < 40
    assert len(records.waiting(Path("out"))) == 1


def test_expired_batches_and_lines_with_errors_cost_no_sample(stand_in: "StartServer") -> None:
    faults = [
        {"kind": "batch_expires", "count": 1},
        {"kind": "line_status", "value": 503, "count": 2},
        {"kind": "line_lost", "after": 8, "count": 1},
    ]
    server = stand_in(*faults, batch_seconds=0.1)
    assert dispatch(words(server, 20)) == 0
    assert accepted() == 20
    assert query("SELECT COUNT(*) FROM slots WHERE state = 'failed'") == [(0,)]
    failed = "SELECT COUNT(*) FROM requests WHERE state = 'failed' AND error LIKE '%batch 1 (batch_1): expired%'"
    assert query(failed)[0][0] > 0
    summary = json.loads(Path("out/summary.json").read_text())
    assert summary["incidents"] == {"batch_expired": 1}


def test_a_refused_batch_ends_the_run_with_the_words_of_the_host(
    stand_in: "StartServer", capsys: pytest.CaptureFixture[str]
) -> None:
    server = stand_in({"kind": "batch_fails", "value": "model_not_found: there is no model m"}, batch_seconds=0.1)
    assert dispatch(words(server, 20, "engine.quiet=1")) == 4  # all requests in one batch, also on a busy machine
    told = capsys.readouterr()
    assert "failed: model_not_found: there is no model m" in told.err
    assert "change what is named above, and start the run again" in told.out


def test_a_new_run_does_not_take_the_name_of_one_whose_batch_is_at_the_host(
    stand_in: "StartServer", capsys: pytest.CaptureFixture[str]
) -> None:
    server = stand_in(batch_seconds=60)
    process = started(words(server, 20))
    wait_for_batch(1)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert dispatch(words(server, 20)) == 2
    assert "already contains a run" in capsys.readouterr().err


def test_a_preview_asks_the_chat_api(stand_in: "StartServer", capsys: pytest.CaptureFixture[str]) -> None:
    server = stand_in()
    command = [word for word in words(server, 20) if not word.startswith("run.dir")]
    assert dispatch(["preview", *command[1:], "budget.candidates=8"]) == 0
    assert "a preview asks the host's chat API" in "".join(capsys.readouterr())
    assert batches(server) == []
