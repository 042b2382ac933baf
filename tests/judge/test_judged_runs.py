"""Whole runs with a judge that is calibrated, sits in a panel, or is wrong about its canaries; by the command line."""

import json
from pathlib import Path
from typing import Any

import pytest

from synthgen.cli import dispatch
from synthgen.ledger import Reader
from synthgen.records import Json
from synthgen.tasks.assets import root

SMOKE = (
    "experiment=smoke",
    "run.dir=a",
    "budget.target=20",
    "+task.rubric.fitting='The label names the desk that would print it.'",
)


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def rated(tmp_path: Path) -> Path:
    """Twenty rated samples: the scripted judge knows nothing of what makes them good."""
    rows = [
        {"text": f"Item number {n} of today's news.", "label": "world", "rating": ["good", "bad"][n % 2]}
        for n in range(20)
    ]
    path = tmp_path / "rated.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def query(sql: str) -> list[tuple[Any, ...]]:
    with Reader(Path("a/ledger.sqlite")) as reader:
        return list(reader.rows(sql))


def summary() -> Json:
    found: Json = json.loads(Path("a/summary.json").read_text(encoding="utf-8"))
    return found


def events(kind: str) -> list[Json]:
    lines = Path("a/events.jsonl").read_text(encoding="utf-8").splitlines()
    return [event for event in map(json.loads, lines) if event["kind"] == kind]


@pytest.mark.slow
def test_a_judge_that_knows_nothing_is_announced_and_asked_once_for_the_whole_run(
    rated: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert dispatch(["run", *SMOKE, f"judge.calibration={rated}", "judge.min_auc=0.9"]) == 0
    said = capsys.readouterr()
    assert "the rubric judge is not trusted: its held-out AUC on 20 rated rows (10 good) is" in said.out + said.err
    assert "judge       The rubric judge is not trusted" in said.out
    judge = summary()["judge"]
    assert judge["calibration"]["trusted"] is False
    assert judge["rubric"]["rejected"] == 0
    assert query("SELECT COUNT(*) FROM verdicts WHERE \"check\" = 'rubric' AND score IS NOT NULL") == [(0,)]
    assert query("SELECT COUNT(*) FROM requests WHERE kind LIKE 'rubric%'") == [(0,)]  # grades that decide nothing
    asked = "SELECT COUNT(*), COUNT(DISTINCT id), MAX(attempt) FROM requests WHERE kind LIKE 'calibration/%'"
    assert query(asked) == [(40, 40, 1)]
    assert dispatch(["resume", "a", "budget.target=30"]) == 0
    assert query(asked) == [(40, 40, 1)]
    assert summary()["judge"]["calibration"] == judge["calibration"]
    assert len(events("judge_untrusted")) == 2  # each session says so
    page = Path("a/report.html").read_text(encoding="utf-8")
    assert 'aria-label="Reliability after: AUC' in page
    assert "Calibration of the rubric judge" in page


@pytest.mark.slow
def test_a_run_cannot_continue_with_other_ratings(rated: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert dispatch(["run", *SMOKE, f"judge.calibration={rated}"]) == 0
    rated.write_text(rated.read_text(encoding="utf-8").replace("bad", "good", 1), encoding="utf-8")
    assert dispatch(["resume", "a"]) == 2
    assert "  judge.calibration: the rated rows changed" in capsys.readouterr().err


def test_eval_rows_are_refused_before_anything_starts(rated: Path, capsys: pytest.CaptureFixture[str]) -> None:
    held_out = json.loads((root() / "examples/news_topic/eval.jsonl").read_text(encoding="utf-8").splitlines()[0])
    with rated.open("a", encoding="utf-8") as file:
        file.write(json.dumps({**held_out, "text": held_out["text"].upper(), "rating": "good"}) + "\n")
    assert dispatch(["run", *SMOKE, "judge.calibration=rated.jsonl"]) == 2
    said = capsys.readouterr().err
    assert f"{rated.name}:21:1: a row of " in said
    assert "has the same input" in said
    assert not Path("a").exists()


@pytest.mark.slow
def test_canaries_can_stop_a_run_and_a_resume_can_do_without_them(capsys: pytest.CaptureFixture[str]) -> None:
    """The scripted judge gives 5 to whatever it is shown."""
    assert dispatch(["run", *SMOKE, "engine.approve=1", "judge.label.enabled=false", "judge.canaries.stop=true"]) == 3
    said = capsys.readouterr()
    assert summary()["stopped_by"] == "canaries"
    assert (said.out + said.err).rstrip().endswith("synthgen resume a judge.canaries.stop=false")
    assert summary()["judge"]["canaries"]["wrong"] == ["injection", "off_task"]
    assert "passed one that is off the task" in events("judge_canary")[0]["why"]
    assert "Canaries: the rubric judge passed" in Path("a/report.html").read_text(encoding="utf-8")
    assert dispatch(["resume", "a"]) == 3
    assert dispatch(["resume", "a", "judge.canaries.stop=false"]) == 0
    twice = "SELECT COUNT(*) - COUNT(DISTINCT id) FROM requests WHERE kind LIKE 'canary/%'"
    assert query(twice) == [(0,)]


@pytest.mark.slow
def test_a_panels_agreement_is_reported() -> None:
    panel = "judge.panel=[{template: judge}, {template: judge_strict, name: strict}]"
    assert dispatch(["run", *SMOKE, panel, "judge.aggregate=majority"]) == 0
    found = summary()["judge"]["panel"]
    assert list(found["members"]) == ["judge", "strict"]
    assert found["compared"] == summary()["judge"]["rubric"]["n"]
    assert -1 <= found["alpha_interval"] <= 1
    kinds = query("SELECT DISTINCT kind FROM requests WHERE kind LIKE 'rubric%' ORDER BY 1")
    assert [kind for (kind,) in kinds] == [
        "rubric:judge/fitting", "rubric:judge/natural", "rubric:strict/fitting", "rubric:strict/natural",
    ]  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("judge.panel=[{templete: judge}]", "templete"),
        ("judge.panel=[{template: judge}, {template: judge}]", "judge.panel: two members are called 'judge'"),
        ("judge.panel=[{template: nowhere}]", "has no nowhere.jinja"),
        ("judge.panel=[{url: 'http://127.0.0.1:1/v1'}]", "judge.panel: judge needs both url and model, or neither"),
        ("judge.calibration=nowhere.jsonl", "nowhere.jsonl"),
        ("judge.canaries.every=0", "judge.canaries.every: must be 1 or more, or null, got 0"),
    ],
)
def test_an_impossible_judge_config_is_refused(override: str, message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert dispatch(["validate", "experiment=smoke", override]) == 2
    assert message in capsys.readouterr().err
