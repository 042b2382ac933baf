"""Test where curves go: TensorBoard by default where it is installed, others by name, nothing outside the student's folder."""

import os
import sys
import types

import pytest

from synthgen.cli import dispatch
from synthgen.errors import ConfigError
from synthgen.student import StudentConfig, tracking
from synthgen.student.tracking import tracked, tracker, where


@pytest.fixture
def installed(monkeypatch):
    def only(*names):
        monkeypatch.setattr(tracking, "_is_installed", names.__contains__)

    return only


def test_tensorboard_is_the_default_where_it_is_installed(installed, tmp_path):
    installed("tensorboard")
    assert tracker("auto") == "tensorboard"
    assert where("tensorboard", tmp_path) == f"curves of the training: tensorboard --logdir {tmp_path}"
    installed()
    assert tracker("auto") == "none"
    assert tracker("none") == "none"


@pytest.mark.parametrize(("name", "extra"), [("wandb", "wandb"), ("mlflow", "mlflow"), ("tensorboard", "tracking")])
def test_a_tracker_that_is_missing_is_reported_with_the_extra_that_installs_it(name, extra, installed):
    installed()
    with pytest.raises(ConfigError, match=rf'{name} is not installed; run pip install "synthgen\[{extra}\]"'):
        tracker(name)


def test_a_missing_tracker_stops_a_run_before_anything_is_written(installed, tmp_path, monkeypatch, capsys):
    installed("tensorboard")
    monkeypatch.chdir(tmp_path)
    arguments = ["experiment=smoke", "student=frozen", "tracking=wandb", "run.dir=out"]
    assert dispatch(["run", *arguments]) == 2
    assert 'pip install "synthgen[wandb]"' in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_tracker_is_refused():
    with pytest.raises(ConfigError, match=r"student\.report_to: must be one of auto, none, tensorboard, wandb, mlflow"):
        StudentConfig(report_to="clearml")


@pytest.mark.parametrize(
    ("name", "variable"),
    [("wandb", "WANDB_DIR"), ("mlflow", "MLFLOW_TRACKING_URI")],
)
def test_a_tracker_writes_into_the_training_s_folder_unless_the_user_said_where(name, variable, tmp_path, monkeypatch):
    monkeypatch.delenv(variable, raising=False)
    with tracked(name, tmp_path / "logs" / "arm-0"):
        assert str(tmp_path / "logs") in os.environ[variable]
    assert variable not in os.environ
    monkeypatch.setenv(variable, "elsewhere")
    with tracked(name, tmp_path / "logs"):
        assert os.environ[variable] == "elsewhere"
    assert os.environ[variable] == "elsewhere"


def test_what_a_tracker_refuses_is_an_error_that_names_it_and_its_run_is_ended(tmp_path, monkeypatch):
    ended = []
    fake = types.ModuleType("wandb")
    fake.finish = lambda **_: ended.append(True)
    monkeypatch.setitem(sys.modules, "wandb", fake)
    refused = type("UsageError", (Exception,), {"__module__": "wandb.errors"})
    said = r"tracking\.report_to: wandb: no key; set it up, or set tracking=none"
    with pytest.raises(ConfigError, match=said), tracked("wandb", tmp_path):
        raise refused("no key")
    assert ended == [True]
    with pytest.raises(ZeroDivisionError), tracked("wandb", tmp_path):
        raise ZeroDivisionError
