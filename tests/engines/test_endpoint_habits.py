"""Whole runs from the command line against a server with the habits of real ones."""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from synthgen.cli import dispatch
from synthgen.ledger import Reader

if TYPE_CHECKING:
    from tests.llm.conftest import StartServer

Run = Callable[..., int]


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def run(stand_in: "StartServer") -> Run:
    """`run("busy=4", target=20, settings=[...], delay=0.05)`: a run against a server with these habits; its exit code."""

    def start(*habits: str, target: int = 12, settings: list[str] | None = None, **flags: Any) -> int:
        server = stand_in(habit=list(habits), **flags)
        return dispatch(
            [
                "run", "experiment=smoke", "run.dir=out", f"budget.target={target}", "engine=openai",
                f"engine.urls=[{server.url}]", "engine.model=m", "engine.patience=5", *(settings or []),
            ]
        )  # fmt: skip

    return start


def query(sql: str) -> list[tuple[Any, ...]]:
    with Reader(Path("out/ledger.sqlite")) as reader:
        return list(reader.rows(sql))


def accepted() -> int:
    return int(query("SELECT COUNT(*) FROM samples WHERE origin = 'synthetic'")[0][0])


def rejected() -> dict[str, int]:
    return dict(query("SELECT reason, COUNT(*) FROM candidates WHERE outcome = 'rejected' GROUP BY reason"))


def requests() -> tuple[int, int]:
    """How many requests were answered, and how many refused for load."""
    ((answered,),) = query("SELECT COUNT(*) FROM requests WHERE state = 'answered'")
    ((refused,),) = query("SELECT COUNT(*) FROM requests WHERE error LIKE 'BusyError%'")
    return answered, refused


def mean_at_once() -> float:
    """Return how many requests were under way on the mean, while there were some."""
    spans = query("SELECT sent_at, sent_at + seconds, seconds FROM requests WHERE state = 'answered'")
    first, last = min(span[0] for span in spans), max(span[1] for span in spans)
    return float(sum(span[2] for span in spans) / (last - first))


def events(kind: str) -> list[dict[str, Any]]:
    lines = map(json.loads, Path("out/events.jsonl").read_text().splitlines())
    return [event for event in lines if event["kind"] == kind]


# -- busy servers ----------------------------------------------------------------------------------


def test_a_server_that_refuses_above_four_at_once_is_kept_at_four(run: Run) -> None:
    assert run("busy=4", target=20, delay=0.05, settings=["engine.in_flight=32"]) == 0
    answered, refused = requests()
    assert accepted() == 20
    assert refused < 0.1 * (answered + refused)
    assert events("endpoint_down") == []
    assert query("SELECT COUNT(*) FROM slots WHERE state = 'failed'") == [(0,)]


def test_a_busy_server_is_kept_busy(run: Run) -> None:
    assert run("busy=4", target=60, delay=0.05) == 0
    answered, refused = requests()
    assert refused < 0.05 * (answered + refused)
    assert mean_at_once() >= 0.8 * 4
