"""Runs that mix strategies: groups by weight, an exact resume, figures for each strategy."""

import json
import os
import signal
import sqlite3
import subprocess
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import forks
import pytest

from synthgen.cli import dispatch
from synthgen.generate.kinds import StrategiesConfig
from synthgen.ledger import Reader
from synthgen.records import Json
from synthgen.report import last_lines

pytestmark = pytest.mark.slow

MIXED = ["run", "experiment=smoke", "generate.strategies={fewshot: 0.6, seeds_only: 0.4}", "engine.in_flight=8"]


SETTINGS = ["budget.target=100", "engine.delay=0.01"]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of an uninterrupted run; not to be changed."""
    folder = tmp_path_factory.mktemp("mixed") / "whole"
    assert dispatch([*MIXED, *SETTINGS, f"run.dir={folder}"]) == 0
    return folder


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def query(folder: str | Path, sql: str) -> list[tuple[Any, ...]]:
    with Reader(Path(folder) / "ledger.sqlite") as reader:
        return list(reader.rows(sql))


def plans(folder: str | Path) -> list[tuple[Any, ...]]:
    return query(folder, "SELECT slot, grp, label, strategy, parents FROM slots ORDER BY slot")


def summary(folder: str | Path) -> Json:
    found: Json = json.loads(Path(folder, "summary.json").read_text())
    return found


def test_each_group_is_one_strategys_and_only_few_shot_shows_accepted_samples(whole: Path) -> None:
    assert {n for (n,) in query(whole, "SELECT COUNT(DISTINCT strategy) FROM slots GROUP BY grp")} == {1}
    accepted = {key for (key,) in query(whole, "SELECT id FROM samples WHERE origin = 'synthetic'")}
    shown = {
        name: {parent for (parents,) in query(whole, f"SELECT parents FROM slots WHERE strategy = '{name}'")
               for parent in json.loads(parents)}
        for name in ("fewshot", "seeds_only")
    }  # fmt: skip
    assert shown["fewshot"] & accepted
    assert shown["seeds_only"] and not shown["seeds_only"] & accepted
    assert {name for (name,) in query(whole, "SELECT DISTINCT strategy FROM samples WHERE origin = 'synthetic'")} == {
        "fewshot", "seeds_only",
    }  # fmt: skip


def test_a_killed_mixed_run_continues_to_the_plan_and_dataset_of_an_uninterrupted_one(whole: Path) -> None:
    process = forks.Popen([*forks.SYNTHGEN, *MIXED, *SETTINGS, "run.dir=cut"], stdout=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while not _has_accepted("cut", 20):
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.05)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert len(plans("cut")) < len(plans(whole))
    assert dispatch(["resume", "cut"]) == 0
    assert plans("cut") == plans(whole)
    for name in ("train.jsonl", "validation.jsonl"):
        assert Path("cut/dataset", name).read_bytes() == (whole / "dataset" / name).read_bytes()
    assert _without_costs(summary("cut")) == _without_costs(summary(whole))


def _has_accepted(folder: str, count: int) -> bool:
    if not Path(folder, "ledger.sqlite").exists():
        return False
    return bool(query(folder, "SELECT COUNT(*) FROM samples WHERE origin = 'synthetic'")[0][0] >= count)


def _without_costs(found: Json) -> Json:
    """The strategies' figures without tokens, for answers that were lost are asked for again."""
    costs = ("output_tokens", "tokens_per_accepted")
    return {
        name: {key: value for key, value in row.items() if key not in costs}
        for name, row in found["strategies"].items()
    }


def test_the_figures_of_strategies_add_up_to_the_runs(whole: Path) -> None:
    found = summary(whole)
    rows = list(found["strategies"].values())
    assert list(found["strategies"]) == ["fewshot", "seeds_only"]
    assert [row["share"] for row in rows] == [0.6, 0.4]
    for key in ("candidates", "accepted"):
        assert sum(row[key] for row in rows) == found["counts"][key]
    assert sum(row["slots"] for row in rows) == found["counts"]["planned"]
    assert sum(row["groups"] for row in rows) == query(whole, "SELECT COUNT(DISTINCT grp) FROM slots")[0][0]
    before_slots = query(whole, "SELECT TOTAL(completion_tokens) FROM requests WHERE slot < 0")[0][0]
    assert sum(row["output_tokens"] for row in rows) + before_slots == found["tokens"]["completion"]
    computed = sum(row["tokens_per_accepted"] * row["accepted"] for row in rows)
    assert computed == pytest.approx(found["tokens"]["per_accepted"] * 100, rel=0.05)
    line, _ = [line for line in last_lines(found, whole) if line.startswith("strategies  ")]
    assert line.startswith(
        f"strategies  fewshot {rows[0]['accepted']} of {rows[0]['candidates']} candidates accepted ("
    )
    assert "<h3>By strategy</h3>" in (whole / "report.html").read_text()


def test_a_run_of_one_strategy_has_its_figures_in_the_summary_alone(capsys: pytest.CaptureFixture[str]) -> None:
    assert dispatch(["run", "experiment=smoke", "run.dir=a", "budget.target=10"]) == 0
    assert list(summary("a")["strategies"]) == ["fewshot"]
    assert "\nstrategies" not in capsys.readouterr().out
    assert "By strategy" not in Path("a/report.html").read_text()


def test_a_strategy_is_chosen_alone_by_its_option() -> None:
    assert dispatch(["run", "experiment=smoke", "generate=seeds_only", "run.dir=a", "budget.target=40"]) == 0
    assert query("a", "SELECT DISTINCT strategy FROM slots") == [("seeds_only",)]
    assert query("a", "SELECT MAX(depth) FROM samples") == [(1,)]


def test_a_preview_shows_a_prompt_of_every_strategy(capsys: pytest.CaptureFixture[str]) -> None:
    weights = "generate.strategies={fewshot: 0.999, seeds_only: 0.001}"
    assert dispatch(["preview", "experiment=smoke", weights]) == 0
    said = capsys.readouterr().out
    assert "── first prompt: generate (fewshot) ─" in said
    assert "── first prompt: generate (seeds_only) ─" in said
    assert "\nstrategies  fewshot " in said


def test_validate_compiles_every_strategys_grammar(capsys: pytest.CaptureFixture[str]) -> None:
    assert dispatch(["validate", "experiment=smoke", "generate.strategies={fewshot: 1, seeds_only: 1}"]) == 0
    assert "; 3 grammars compile" in capsys.readouterr().out  # the generator's, the label check's and the rubric's


@pytest.mark.parametrize(
    "override",
    [
        "generate.strategies={fewshot: 0.7, seeds_onyl: 0.3}",
        "generate.strategies.seeds_onyl=0.3",
        "+generate.strategies.seeds_onyl=0.3",
    ],
)
def test_an_unknown_strategy_is_named_with_those_that_there_are(
    override: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert dispatch(["run", "experiment=smoke", override]) == 2
    known = ", ".join(vars(StrategiesConfig()))
    assert capsys.readouterr().err == (
        f"synthgen: generate.strategies: there is no strategy 'seeds_onyl'; the strategies are {known}; "
        "did you mean seeds_only?\n"
    )


def test_other_weights_are_refused_on_resume(capsys: pytest.CaptureFixture[str]) -> None:
    assert dispatch([*MIXED, "run.dir=a", "budget.target=10"]) == 0
    assert dispatch(["resume", "a", "generate.strategies.seeds_only=0.5", "budget.target=20"]) == 2
    assert "  generate.strategies.seeds_only: 0.4 -> 0.5\n" in capsys.readouterr().err
    assert dispatch(["resume", "a", "--fork", "b", "generate.strategies.seeds_only=0", "budget.target=20"]) == 0
    assert query("b", "SELECT DISTINCT strategy FROM slots") == [("fewshot",)]


def test_a_run_of_a_version_without_strategies_continues_with_few_shot() -> None:
    assert dispatch(["run", "experiment=smoke", "run.dir=whole", "budget.target=60", "engine.in_flight=8"]) == 0
    cut = ["run.dir=cut", "budget.target=60", "engine.in_flight=8", "engine.dies_after=150"]
    assert dispatch(["run", "experiment=smoke", *cut]) == 4
    with closing(sqlite3.connect("cut/ledger.sqlite")) as connection, connection:  # as that version left it
        for key in ("config", "fingerprint"):
            (text,) = connection.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
            kept = json.loads(text)
            generate = (kept if key == "config" else kept["config"])["generate"]
            del generate["strategies"], generate["seeds_only"]
            generate |= generate.pop("fewshot")
            connection.execute("UPDATE meta SET value = ? WHERE key = ?", (json.dumps(kept), key))
        connection.execute("UPDATE slots SET strategy = 'steered' WHERE grp % 2")
    Path("cut/config.yaml").unlink()
    assert dispatch(["resume", "cut"]) == 0
    assert Path("cut/dataset/train.jsonl").read_bytes() == Path("whole/dataset/train.jsonl").read_bytes()
    assert set(summary("cut")["strategies"]) == {"fewshot", "steered"}


def test_a_key_that_moved_into_its_strategy_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    for old in ("demonstrations", "foils"):
        assert dispatch(["run", "experiment=smoke", f"generate.{old}=2"]) == 2
        said = f"synthgen: generate.{old}: this key was renamed; use generate.fewshot.{old}\n"
        assert capsys.readouterr().err == said


def test_what_the_student_owes_to_each_strategy_is_measured_at_the_end_and_again_by_train() -> None:
    assert dispatch([*MIXED, "budget.target=60", "student=frozen", "run.dir=a"]) == 0
    found = summary("a")
    gains = {name: row["student_gain"] for name, row in found["strategies"].items()}
    assert all(gain["low"] <= gain["mean"] <= gain["high"] for gain in gains.values())
    line = next(line for line in last_lines(found, Path("a")) if line.startswith("strategies  fewshot"))
    assert " points of accuracy (" in line and line.endswith(" by its samples")
    assert "points of accuracy (" in Path("a/report.html").read_text()
    with closing(sqlite3.connect("a/ledger.sqlite")) as connection, connection:
        connection.execute("DELETE FROM meta WHERE key = 'strategy_gains'")
    assert dispatch(["report", "a"]) == 0
    assert summary("a")["strategies"]["fewshot"]["student_gain"] is None
    assert dispatch(["train", "a"]) == 0
    assert {name: row["student_gain"] for name, row in summary("a")["strategies"].items()} == gains
