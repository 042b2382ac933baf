"""A preview: a run for real of which nothing stays."""

import re
import signal
import subprocess
import tempfile
import time
from pathlib import Path

import forks
import pytest

from synthgen.cli import dispatch

SMOKE = ["preview", "experiment=smoke"]


@pytest.fixture(autouse=True)
def scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working folder, and another for temporary files."""
    (tmp_path / "here").mkdir()
    (tmp_path / "scratch").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "scratch"))
    monkeypatch.setenv("TMPDIR", str(tmp_path / "scratch"))
    return tmp_path / "scratch"


def test_a_preview_shows_prompts_candidates_and_the_time_of_a_run(
    scratch: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert dispatch([*SMOKE, "budget.target=3000"]) == 0
    said = capsys.readouterr().out
    assert "1000000000" not in said
    assert re.findall(r"── first prompt: (\S+)", said) == ["generate", "label", "rubric/natural"]
    assert "[system]\nYou write new examples for a dataset." in said
    shown = said.partition("── first candidates")[2].partition("── what")[0].splitlines()[1:]
    labels = [line.partition(":")[0] for line in shown[::2]]
    assert sorted(labels) == sorted(["business", "science", "sport", "world"] * 2)
    assert all(re.search(r"^    form.*: (accepted|rejected, .+)$", line) for line in shown[1::2])
    outlook = re.search(r"^time +(.+) for 3,000 samples at this pace \((.+) to (.+)\)$", said, re.M)
    assert outlook is not None
    assert re.search(r"^(\d+) candidates in .* candidates/s, .* tokens/s$", said, re.M)
    assert list(Path.cwd().iterdir()) == []
    assert list(scratch.iterdir()) == []


def test_a_preview_has_as_many_candidates_as_the_budget(capsys: pytest.CaptureFixture[str]) -> None:
    assert dispatch([*SMOKE, "budget.candidates=20"]) == 0
    assert re.search(r"^20 candidates in", capsys.readouterr().out, re.M)


def test_where_nothing_is_accepted_no_time_is_promised(capsys: pytest.CaptureFixture[str]) -> None:
    assert dispatch([*SMOKE, "filters.min_chars=500"]) == 0
    said = capsys.readouterr().out
    assert "accepted    0, 0.0 % (95 % interval 0.0 % to " in said
    assert "50 samples cannot be reached at this acceptance rate" in said
    assert "\ntime " not in said


def test_an_engine_that_cannot_be_used_as_configured_leaves_nothing(
    scratch: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert dispatch([*SMOKE, "engine.recording=nowhere"]) == 2
    assert "engine.recording: nowhere: there is no such file or folder" in capsys.readouterr().err
    assert list(scratch.iterdir()) == list(Path.cwd().iterdir()) == []


@pytest.mark.slow
def test_a_preview_of_real_texts_that_shows_all_of_them_succeeds(
    scratch: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("texts.txt").write_text("The match ended in a draw.\nShares fell on Monday.\n")
    assert dispatch([*SMOKE, "generate=label_text", "task.texts=texts.txt"]) == 0
    said = capsys.readouterr().out
    assert "2 candidates in" in said


def test_what_a_failed_engine_left_is_kept_to_be_looked_at(scratch: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert dispatch([*SMOKE, "engine.dies_after=0"]) == 4
    (folder,) = scratch.iterdir()
    assert f"everything written until then are in {folder}" in capsys.readouterr().err
    assert (folder / "ledger.sqlite").exists()


@pytest.mark.slow
def test_an_interrupted_preview_ends_with_the_candidates_so_far(scratch: Path) -> None:
    command = [*forks.SYNTHGEN, *SMOKE, "engine.delay=0.2", "budget.candidates=100000"]
    process = forks.Popen(command, stdout=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 60
    while not any("engine_started" in path.read_text() for path in scratch.glob("*/events.jsonl")):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    time.sleep(1)
    process.send_signal(signal.SIGINT)
    said, _ = process.communicate(timeout=60)
    assert process.returncode == 5
    assert "── what that comes to" in said
    assert list(scratch.iterdir()) == []


@pytest.mark.slow
def test_the_students_time_is_reported_by_a_few_of_its_steps(scratch: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert dispatch([*SMOKE, "student=frozen"]) == 0
    assert re.search(r"^student     about .* \(3 fits\), after the samples; ", capsys.readouterr().out, re.M)
    assert list(scratch.glob("synthgen-*")) == []
