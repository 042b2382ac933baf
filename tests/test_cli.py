"""The command line as a person meets it: verbs, messages, exit codes, signals."""

import json
import os
import re
import shlex
import signal
import subprocess
import time
from pathlib import Path

import forks
import pytest
from forks import SYNTHGEN

from synthgen.cli import dispatch
from synthgen.config import Config
from synthgen.errors import ExitCode
from synthgen.run import lifecycle
from synthgen.tasks.assets import root

SMOKE = ["run", "experiment=smoke", "run.dir=out"]


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def lines(capsys: pytest.CaptureFixture[str]) -> list[str]:
    return capsys.readouterr().out.strip().splitlines()


def test_help_names_every_verb(capsys: pytest.CaptureFixture[str]) -> None:
    assert dispatch(["--help"]) == 0
    text = capsys.readouterr().out
    for verb in (
        "run",
        "resume",
        "validate",
        "preview",
        "status",
        "doctor",
        "label",
        "train",
        "evaluate",
        "predict",
        "report",
        "export",
    ):
        assert re.search(rf"^  {verb} ", text, re.M)


def test_an_unknown_verb_is_exit_code_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert dispatch(["rum"]) == 2
    assert "there is no verb 'rum'" in capsys.readouterr().err


def test_validate_starts_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert dispatch(["validate", "experiment=smoke"]) == 0
    assert lines(capsys)[-1] == "everything is in order; nothing was started"
    assert list(tmp_path.iterdir()) == []


def test_bad_config_is_one_message_and_nothing_started(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert dispatch([*SMOKE, "budget.targett=3"]) == 2
    captured = capsys.readouterr()
    assert captured.err == "synthgen: budget.targett: there is no such key; did you mean budget.target?\n"
    assert captured.out == ""
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_bad_seeds_are_named_by_line_and_nothing_is_started(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "seeds.jsonl").write_text('{"text": "Rates rise again", "label": "busines"}\n{"text": 3\n')
    assert dispatch([*SMOKE, "task.seeds=seeds.jsonl"]) == 2
    message = capsys.readouterr().err
    assert f"{tmp_path / 'seeds.jsonl'}:1:39: label: " in message
    assert f"{tmp_path / 'seeds.jsonl'}:2:" in message
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_a_run_leaves_the_whole_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert dispatch(SMOKE) == 0
    out = tmp_path / "out"
    found = {path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file()}
    assert {
        "config.yaml", "ledger.sqlite", "events.jsonl", "report.html", "summary.json",
        "dataset/train.jsonl", "dataset/validation.jsonl", "dataset/README.md", "dataset/dataset_info.json",
    } <= found  # fmt: skip
    summary = json.loads((out / "summary.json").read_text())
    for key in ["run", "engine", "counts", "tokens", "seconds", "rate", "diversity", "judge", "student", "stopped_by"]:
        assert key in summary
    assert summary["counts"]["accepted"] == 50
    assert summary["stopped_by"] == "target"
    events = [json.loads(line) for line in (out / "events.jsonl").read_text().splitlines()]
    assert [event["kind"] for event in events][:2] == ["started", "engine_started"]
    closing = "\n".join(lines(capsys))
    assert str(out / "report.html") in closing or "out/report.html" in closing


@pytest.mark.slow
def test_a_run_is_never_written_over(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert dispatch(SMOKE) == 0
    before = (tmp_path / "out" / "ledger.sqlite").read_bytes()
    capsys.readouterr()
    assert dispatch(SMOKE) == 2
    assert "synthgen resume out" in capsys.readouterr().err
    assert (tmp_path / "out" / "ledger.sqlite").read_bytes() == before


@pytest.mark.slow
def test_unnamed_runs_of_one_second_get_folders_of_their_own(tmp_path: Path) -> None:
    name = "news_topic-20260102-030405"
    unnamed = ["run", "engine=replay", "diversity=hash", "student=none", "budget.target=4", f"run.name={name}"]
    assert [dispatch(unnamed) for _ in range(3)] == [0, 0, 0]
    found = {path.name: json.loads((path / "summary.json").read_text()) for path in (tmp_path / "runs").iterdir()}
    assert sorted(found) == [name, f"{name}-2", f"{name}-3"]
    assert all(summary["run"]["name"] == folder for folder, summary in found.items())


@pytest.mark.slow
def test_report_and_export_are_rebuilt_from_the_ledger(tmp_path: Path) -> None:
    assert dispatch(SMOKE) == 0
    out = tmp_path / "out"
    train = (out / "dataset" / "train.jsonl").read_bytes()
    for path in [*(out / "dataset").rglob("*"), out / "report.html", out / "summary.json"]:
        if path.is_file():
            path.unlink()
    assert dispatch(["export", "out"]) == dispatch(["report", "out"]) == 0
    assert (out / "dataset" / "train.jsonl").read_bytes() == train
    assert "<html" in (out / "report.html").read_text()
    assert json.loads((out / "summary.json").read_text())["counts"]["accepted"] == 50


@pytest.mark.parametrize("verb", ["resume", "label", "train", "evaluate", "predict", "report", "export"])
def test_a_folder_that_is_no_run_is_refused(verb: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "rows.jsonl").write_text("{}\n")
    assert dispatch([verb, str(tmp_path), *(["rows.jsonl"] if verb == "predict" else [])]) == 2
    assert "give the folder of a run, such as runs/NAME" in capsys.readouterr().err


@pytest.mark.slow
def test_a_corrupt_ledger_is_refused_and_left_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert dispatch([*SMOKE, "budget.target=5"]) == 0
    ledger = tmp_path / "out" / "ledger.sqlite"
    ledger.write_bytes(b"not a database, and longer than a header of one hundred bytes " * 4)
    assert dispatch(["resume", "out"]) == 2
    assert "not a readable ledger" in capsys.readouterr().err
    assert ledger.read_bytes().startswith(b"not a database")


@pytest.mark.slow
def test_multirun_runs_one_after_another(tmp_path: Path) -> None:
    assert dispatch(["run", "--multirun", "experiment=smoke", "run.seed=1,2", "budget.target=8"]) == 0
    assert sorted(path.name for path in (tmp_path / "runs").iterdir()) == ["smoke-0", "smoke-1"]


@pytest.mark.slow
def test_an_interrupted_sweep_starts_no_other_run_and_says_how_to(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    started: list[str] = []

    def start(config: Config, *_: object) -> int:
        started.append(config.run.name)
        return (ExitCode.OK, ExitCode.INTERRUPTED)[len(started) - 1]

    monkeypatch.setattr(lifecycle, "start", start)
    words = ["-m", "experiment=smoke", "run.seed=1,2,3,4", "run.name=sweep", "run.dir=out", "budget.until='07:00'"]
    assert dispatch(["run", *words]) == 5
    assert started == ["sweep-0", "sweep-1"]
    said = capsys.readouterr().out.splitlines()
    assert said[0] == "2 of the runs were not started; each of these commands starts one:"
    composed: list[tuple[str, int, str | None]] = []

    def restart(config: Config, *_: object) -> int:
        composed.append((config.run.dir, config.run.seed, config.budget.until))
        return ExitCode.OK

    monkeypatch.setattr(lifecycle, "start", restart)
    for command in said[1:]:
        assert dispatch(shlex.split(command)[1:]) == 0
    assert composed == [("out-2", 3, "07:00"), ("out-3", 4, "07:00")]


def test_a_file_in_a_folder_that_was_not_given_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    (Path("mine") / "task").mkdir(parents=True)
    Path("mine/task/reviews.yaml").write_text("name: reviews\n")
    assert dispatch(["validate", "experiment=smoke", "task=reviews"]) == 2
    assert "there is mine/task/reviews.yaml; add --config-dir mine\n" in capsys.readouterr().err
    assert dispatch(["validate", "experiment=smoke", "task=review"]) == 2
    assert "there is no option 'review'; the options are" in capsys.readouterr().err


def test_a_second_folder_of_config_files_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert dispatch(["validate", "experiment=smoke", "--config-dir", "mine", "-cd", "yours"]) == 2
    assert "--config-dir is given twice (mine and yours)" in capsys.readouterr().err


@pytest.mark.slow
def test_hydra_shows_the_composed_config(tmp_path: Path) -> None:
    done = forks.run([*SYNTHGEN, "run", "experiment=smoke", "--cfg", "job"], capture_output=True, text=True, check=True)
    assert "kind: replay" in done.stdout
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_a_task_of_ones_own_needs_no_python(tmp_path: Path) -> None:
    conf = tmp_path / "mine"
    (conf / "task").mkdir(parents=True)
    (conf / "task" / "reviews.yaml").write_text(
        "name: reviews\nkind: classification\nlanguage: zh\ndescription: 顾客写的短评。\n"
        "schema:\n  type: object\n  properties:\n    text: {type: string, maxLength: 60}\n    label: {enum: [好评, 差评]}\n"
        "  required: [text, label]\ninput: [text]\ntarget: [label]\nprompts: classification\nseeds: reviews.jsonl\n"
    )
    rows = [
        ("味道很好，下次还来", "好评"),
        ("等了一个小时才上菜", "差评"),
        ("服务员很热情", "好评"),
        ("汤是凉的，很失望", "差评"),
    ]
    (conf / "reviews.jsonl").write_text(
        "".join(json.dumps({"text": t, "label": lab}, ensure_ascii=False) + "\n" for t, lab in rows)
    )
    arguments = ["experiment=smoke", "task=reviews", "budget.target=12", "run.dir=out"]
    assert dispatch(["run", *arguments, "--config-dir", "mine"]) == 0
    labels = [
        json.loads(line)["label"] for line in (tmp_path / "out/dataset/train.jsonl").read_text("utf-8").splitlines()
    ]
    assert set(labels) == {"好评", "差评"}


@pytest.mark.parametrize("verb", ["validate", "preview", "run", "adapt generator"])
def test_options_stand_anywhere_among_the_overrides(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    Path("mine").mkdir()
    words = ["experiment=smoke", "--config-dir", "mine", "budget.targett=5", "--multirun", "run.seed=1,2"]
    assert dispatch([*verb.split()[:1], *words, *verb.split()[1:]]) == 2
    assert capsys.readouterr().err == "synthgen: budget.targett: there is no such key; did you mean budget.target?\n"


@pytest.mark.slow
def test_a_sweep_whose_overrides_stand_apart_sweeps_them_all(tmp_path: Path) -> None:
    assert dispatch(["run", "experiment=smoke", "run.seed=1,2", "-m", "budget.target=8"]) == 0
    assert sorted(path.name for path in (tmp_path / "runs").iterdir()) == ["smoke-0", "smoke-1"]


@pytest.mark.slow
def test_verbs_of_a_run_take_overrides_before_and_after_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert dispatch([*SMOKE, "budget.target=8"]) == 0
    assert dispatch(["resume", "budget.target=12", "out", "budget.minutes=9"]) == 0
    assert "accepted    12 of 12 samples" in capsys.readouterr().out
    assert dispatch(["export", "select.method=k_center", "out", "select.size=5"]) == 0
    assert "5 of 12 accepted samples (k" in Path("out/dataset/README.md").read_text()
    assert dispatch(["train", "budget.target=9", "out"]) == 2
    assert "'budget.target=9': only select.* keys can be set here" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGUSR1])
def test_a_signal_drains_and_says_how_to_continue(number: signal.Signals, tmp_path: Path) -> None:
    arguments = [*SYNTHGEN, *SMOKE, "budget.target=100000", "engine.delay=0.05", "engine.in_flight=8"]
    process = forks.Popen(arguments, stdout=subprocess.PIPE, text=True)
    wait_for_answers(tmp_path / "out")
    process.send_signal(number)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 5
    assert "interrupted: finishing the requests in flight, for up to 30 s; Ctrl-C leaves at once" in output
    assert output.strip().splitlines()[-1] == "synthgen resume out"
    assert json.loads((tmp_path / "out" / "summary.json").read_text())["stopped_by"] == "signal"


@pytest.mark.slow
def test_a_killed_run_continues_to_the_dataset_of_an_unkilled_one(tmp_path: Path) -> None:
    settings = ["budget.target=120", "engine.in_flight=8", "engine.delay=0.01"]
    assert dispatch(["run", "experiment=smoke", "run.dir=whole", *settings]) == 0
    process = forks.Popen([*SYNTHGEN, *SMOKE, *settings], stdout=subprocess.DEVNULL)
    wait_for_answers(tmp_path / "out")
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert dispatch(["resume", "out"]) == 0
    for name in ("train.jsonl", "validation.jsonl"):
        assert (tmp_path / "out/dataset" / name).read_bytes() == (tmp_path / "whole/dataset" / name).read_bytes()


@pytest.mark.slow
def test_a_second_process_is_refused_with_the_holders_pid(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    process = forks.Popen([*SYNTHGEN, *SMOKE, "budget.target=100000", "engine.delay=0.05"], stdout=subprocess.DEVNULL)
    try:
        wait_for_answers(tmp_path / "out")
        assert dispatch(["resume", "out"]) == 2
        assert f"PID {process.pid}" in capsys.readouterr().err
    finally:
        process.kill()
        process.wait()


def wait_for_answers(folder: Path) -> None:
    """Until a run has settled something."""
    from synthgen.ledger import Reader

    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if (folder / "events.jsonl").is_file() and "engine_started" in (folder / "events.jsonl").read_text():
            with Reader(folder / "ledger.sqlite") as reader:
                if reader.one("SELECT COUNT(*) FROM samples WHERE origin = 'synthetic'") > 3:
                    return
        time.sleep(0.05)
    raise AssertionError("the run settled nothing within a minute")


@pytest.mark.parametrize(
    "words",
    [
        ["task=own", "--config-dir", "mine", "budget.target=5"],
        ["budget.target=5", "--config-dir=mine", "task=own"],
        ["--config-dir", "mine", "task=own", "budget.target=5"],
    ],
)
def test_options_and_overrides_stand_in_any_order(
    words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("mine/task").mkdir(parents=True)
    own = (root() / "conf/task/news_topic.yaml").read_text(encoding="utf-8").replace("name: news_topic", "name: own")
    Path("mine/task/own.yaml").write_text(own, encoding="utf-8")
    assert dispatch(["validate", "experiment=smoke", *words]) == 0
    assert "task own" in (out := capsys.readouterr().out)
    assert "target 5" in out
