"""`synthgen train` and `synthgen resume`: what they ask of the student, and how they end when it is cut short."""

import json
import shutil
import signal

import pytest

from synthgen import student
from synthgen.cli import dispatch
from synthgen.errors import WriteError

FIGURES = {"mean": None, "low": None, "high": None}
METRICS = {"metric": "accuracy", "eval_rows": 0, "seeds_only": FIGURES, "synthetic": FIGURES, "gain": FIGURES}


RUN = ["run", "experiment=smoke", "student=auto", "run.dir=out", "budget.target=5"]


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """The folder of a run whose student is not trained."""
    folder = tmp_path_factory.mktemp("finished")
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.chdir(folder)
        monkeypatch.setattr(student, "train", lambda *_: METRICS)
        assert dispatch(RUN) == 0
    return folder / "out"


@pytest.fixture
def put(tmp_path, monkeypatch):
    """`put(end)`: lets a training end so, in an empty folder; returns what trainings were asked for."""
    monkeypatch.chdir(tmp_path)

    def put(end):
        asked = []

        def train(*arguments):
            asked.append({"out": arguments[5], "again": arguments[8]})
            return end()

        monkeypatch.setattr(student, "train", train)
        return asked

    return put


@pytest.fixture
def trained(put, finished, tmp_path):
    """A finished run in `out`, and `put`."""
    shutil.copytree(finished, tmp_path / "out")
    put(lambda: METRICS)
    return put


@pytest.mark.slow
def test_a_run_and_its_resume_take_a_finished_student_and_train_does_not(put, tmp_path):
    asked = put(lambda: METRICS)
    assert dispatch(RUN) == dispatch(["resume", "out"]) == dispatch(["train", "out"]) == 0
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
    trained(lambda: signal.raise_signal(number))
    assert dispatch([verb, "out"]) == 5
    assert capsys.readouterr().out.splitlines()[-1] == f"synthgen {verb} out"


@pytest.mark.parametrize("verb", ["train", "resume"])
@pytest.mark.slow
def test_a_full_disk_ends_with_code_3_its_cause_and_the_command_that_continues_it(verb, trained, capsys):
    def full():
        raise WriteError("out/student: cannot be written: No space left on device")

    trained(full)
    assert dispatch([verb, "out"]) == 3
    said = capsys.readouterr()
    assert "out/student: cannot be written: No space left on device" in said.err
    assert said.out.splitlines()[-1] == f"synthgen {verb} out"
