"""`synthgen train` and `synthgen resume`: what they ask of the student, and how they end when it is cut short."""

import json
import signal

import pytest

from synthgen import student
from synthgen.cli import dispatch
from synthgen.errors import WriteError

FIGURES = {"mean": None, "low": None, "high": None}
METRICS = {"metric": "accuracy", "eval_rows": 0, "seeds_only": FIGURES, "synthetic": FIGURES, "gain": FIGURES}


@pytest.fixture
def trained(tmp_path, monkeypatch):
    """A run in `out` whose student is trained by what the test puts in place; what that was asked for."""
    monkeypatch.chdir(tmp_path)
    asked = []

    def put(end):
        def train(*arguments):
            asked.append({"out": arguments[5], "again": arguments[8]})
            return end()

        monkeypatch.setattr(student, "train", train)

    put(lambda: METRICS)
    assert dispatch(["run", "experiment=smoke", "student=auto", "run.dir=out", "budget.target=5"]) == 0
    return put, asked


@pytest.mark.slow
def test_a_run_and_its_resume_take_a_finished_student_and_train_does_not(trained, tmp_path):
    _, asked = trained
    assert dispatch(["resume", "out"]) == dispatch(["train", "out"]) == 0
    assert [call["again"] for call in asked] == [False, False, True]
    assert {call["out"] for call in asked} == {tmp_path / "out/student"}


@pytest.mark.slow
def test_train_prints_the_closing_lines_of_the_student_and_with_json_all_metrics(trained, capsys):
    capsys.readouterr()
    assert dispatch(["train", "out"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == ["student", "dataset", "report"]
    assert dispatch(["train", "out", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["metric"] == "accuracy"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGUSR1])
@pytest.mark.parametrize("verb", ["train", "resume"])
@pytest.mark.slow
def test_a_signal_ends_with_code_5_and_the_command_that_continues_it(verb, number, trained, capsys):
    put, _ = trained
    put(lambda: signal.raise_signal(number))
    assert dispatch([verb, "out"]) == 5
    assert capsys.readouterr().out.splitlines()[-1] == f"synthgen {verb} out"


@pytest.mark.parametrize("verb", ["train", "resume"])
def test_a_full_disk_ends_with_code_3_its_cause_and_the_command_that_continues_it(verb, trained, capsys):
    def full():
        raise WriteError("out/student: cannot be written: No space left on device")

    put, _ = trained
    put(full)
    assert dispatch([verb, "out"]) == 3
    said = capsys.readouterr()
    assert "out/student: cannot be written: No space left on device" in said.err
    assert said.out.splitlines()[-1] == f"synthgen {verb} out"
