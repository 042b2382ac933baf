"""A project that was moved as a whole goes on: its seeds, eval rows and prompts are found where they are now."""

import shutil
from pathlib import Path

import pytest

from synthgen.cli import dispatch
from synthgen.ledger import Reader
from synthgen.tasks.assets import root

pytestmark = pytest.mark.slow

RUN = ["run", "experiment=smoke", "engine.delay=0", "judge=none", "student=none", "run.name=first"]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with a task of its own and a run, moved to another place since."""
    old = tmp_path / "old"
    mine = old / "mine"
    (mine / "task").mkdir(parents=True)
    text = (root() / "conf/task/news_topic.yaml").read_text(encoding="utf-8")
    for name in ("seeds", "eval"):
        shutil.copy(root() / f"examples/news_topic/{name}.jsonl", mine / f"{name}.jsonl")
        text = text.replace(f"examples/news_topic/{name}.jsonl", f"{name}.jsonl")
    shutil.copytree(root() / "prompts/classification", mine / "prompts/own")
    text = text.replace("prompts: classification", "prompts: own").replace("name: news_topic", "name: own")
    (mine / "task/own.yaml").write_text(text, encoding="utf-8")
    monkeypatch.chdir(old)
    assert dispatch([*RUN, "--config-dir", "mine", "task=own", "budget.target=8"]) == 0
    monkeypatch.chdir(tmp_path)
    return old.rename(tmp_path / "new")


def test_a_moved_run_is_resumed_where_it_is_now(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = project / "runs/first"
    capsys.readouterr()
    assert dispatch(["resume", str(run), "budget.target=12"]) == 0
    said = capsys.readouterr().err
    assert f"old/mine/seeds.jsonl does not exist; using {project / 'mine/seeds.jsonl'}" in said
    with Reader(run / "ledger.sqlite") as reader:
        assert reader.meta("config")["task"]["prompts"] == str(project / "mine/prompts/own")
        assert reader.one("SELECT COUNT(*) FROM samples WHERE origin = 'synthetic'") == 12


def test_a_file_of_the_same_name_with_other_rows_is_not_taken_for_the_runs(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    seeds = project / "mine/seeds.jsonl"
    seeds.write_text("".join(seeds.read_text(encoding="utf-8").splitlines(keepends=True)[1:]), encoding="utf-8")
    assert dispatch(["resume", str(project / "runs/first"), "budget.target=12"]) == 2
    assert (
        "the run cannot be resumed, because these things have changed since it was started" in capsys.readouterr().err
    )


def test_files_that_are_nowhere_can_be_named(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    away = project.parent / "away.jsonl"
    (project / "mine/seeds.jsonl").rename(away)
    run = str(project / "runs/first")
    assert dispatch(["resume", run, "budget.target=12"]) == 2
    said = capsys.readouterr().err
    assert "task.seeds: no such file or folder" in said
    assert said.endswith("if it was moved, give its new place: synthgen resume RUN task.seeds=PATH\n")
    assert dispatch(["resume", run, "budget.target=12", f"task.seeds={away}"]) == 0
