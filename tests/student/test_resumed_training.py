"""A training that is interrupted at any step, in an orderly way or not, ends as one that was not."""

import os
import pickle
import shutil
import signal
import time

import pytest
from shipped_tasks import shipped

from synthgen import student
from synthgen.errors import ConfigError
from synthgen.ledger.durable import read_json
from synthgen.student import (
    ClassifierConfig,
    GeneratorConfig,
    PreferenceConfig,
    RetrieverConfig,
    StudentConfig,
    TrainingConfig,
    training,
)
from synthgen.student.checkpoint import Checkpoints, is_whole, step_of
from synthgen.student.interrupts import signals_postponed
from synthgen.tasks.seeds import read_samples

ALL_STEPS = TrainingConfig(early_stopping=False)


@pytest.fixture(scope="module")
def classify(tiny_encoders, news_task, news_rows, news_eval):
    """Trains a classifier for 8 steps, with a checkpoint after each; returns what was said."""

    def go(out, rows=14, again=True, eval_rows=0, **knobs):
        model = ClassifierConfig(
            model=str(tiny_encoders["bert"]), batch_size=8, min_steps=8, epochs=1, seed_repeat=1, repeats=2
        )
        cfg = StudentConfig(
            **{"bootstrap": 100, "checkpoint_seconds": 0, "training": ALL_STEPS, "classifier": model, **knobs}
        )
        lines = []
        student.train(
            news_task, cfg, news_rows[:10], news_eval[:10] + news_rows[10:rows], news_eval[10 : 10 + eval_rows],
            out, 3, lines.append, again,
        )  # fmt: skip
        return lines

    return go


@pytest.fixture(scope="module")
def generate(tiny_generator, instruction_task, instruction_rows):
    """Fine-tunes a generator for 8 steps, with a checkpoint after each; returns what was said."""

    def go(out):
        model = GeneratorConfig(model=str(tiny_generator), batch_size=4, min_steps=8, epochs=1, rank=4, seed_repeat=1)
        cfg = StudentConfig(checkpoint_seconds=0, training=ALL_STEPS, generator=model)
        lines = []
        student.train(instruction_task, cfg, instruction_rows[:12], [], [], out, 3, lines.append)
        return lines

    return go


@pytest.fixture(scope="module", params=["retrieval", "preference"])
def fit_named(request, tiny_generator, tiny_encoders):
    """Trains the student that the task names, as `generate` does."""
    task = shipped(request.param)
    small = {"batch_size": 2, "min_steps": 8, "epochs": 1, "seed_repeat": 1}

    def go(out):
        cfg = StudentConfig(
            checkpoint_seconds=0,
            training=ALL_STEPS,
            retriever=RetrieverConfig(model=str(tiny_encoders["bert"]), max_length=48, repeats=1, **small),
            preference=PreferenceConfig(model=str(tiny_generator), rank=4, **small),
        )
        lines = []
        student.train(task, cfg, read_samples(task.seeds, task, "seed")[:6], [], [], out, 3, lines.append)
        return lines

    return go


@pytest.fixture(scope="module")
def uninterrupted(classify, tmp_path_factory):
    """The weights of a classifier whose training nothing interrupted."""
    out = tmp_path_factory.mktemp("classifier") / "student"
    classify(out)
    return (out / "model.safetensors").read_bytes()


@pytest.fixture
def stop_after(monkeypatch):
    """Lets a training end with KeyboardInterrupt right after the checkpoint of a step."""
    write = Checkpoints.write

    def at(step):
        def write_and_stop(self, state, *parts):
            write(self, state, *parts)
            if state.global_step == step:
                raise KeyboardInterrupt

        monkeypatch.setattr(Checkpoints, "write", write_and_stop)

    yield at
    monkeypatch.undo()


def checkpoints(out):
    return sorted((out.parent / ".student.work").glob("*/step-*"))


def goes_on_to_the_same_weights(fit, stop_after, tmp_path):
    fit(tmp_path / "uninterrupted")
    out = tmp_path / "student"
    stop_after(5)
    with pytest.raises(KeyboardInterrupt):
        fit(out)
    stop_after(None)
    assert "  continues from step 5 of 8" in fit(out)
    assert (out / "model.safetensors").read_bytes() == (tmp_path / "uninterrupted/model.safetensors").read_bytes()


# Step 5 is within the training, step 8 is the last.
@pytest.mark.slow
@pytest.mark.parametrize("step", [5, 8])
def test_a_resumed_classifier_ends_with_the_weights_of_an_uninterrupted_one(
    step, classify, uninterrupted, stop_after, tmp_path
):
    out = tmp_path / "student"
    stop_after(step)
    with pytest.raises(KeyboardInterrupt):
        classify(out)
    stop_after(None)
    assert f"  continues from step {step} of 8" in classify(out)
    assert (out / "model.safetensors").read_bytes() == uninterrupted
    assert [path.name for path in tmp_path.iterdir()] == ["student"]


@pytest.mark.slow
@pytest.mark.thorough
def test_a_student_that_its_task_names_continues_too(fit_named, stop_after, tmp_path):
    goes_on_to_the_same_weights(fit_named, stop_after, tmp_path)


@pytest.mark.slow
@pytest.mark.thorough
def test_a_resumed_generator_ends_with_the_weights_of_an_uninterrupted_one(generate, stop_after, tmp_path):
    goes_on_to_the_same_weights(generate, stop_after, tmp_path)


@pytest.mark.slow
@pytest.mark.thorough
def test_a_resumed_choice_of_steps_chooses_as_an_uninterrupted_one(classify, tmp_path):
    """Stopped in the second of three folds: the first is not made again, and the second keeps its losses."""
    whole, halved = tmp_path / "whole/student", tmp_path / "halved/student"
    chosen = TrainingConfig(folds=3)
    classify(whole, training=chosen)
    write, steps = Checkpoints.write, []

    with pytest.MonkeyPatch.context() as patch:

        def stop_in_the_second_fold(self, state, *parts):
            write(self, state, *parts)
            steps.append(state.global_step)
            if steps.count(5) == 2:
                raise KeyboardInterrupt

        patch.setattr(Checkpoints, "write", stop_in_the_second_fold)
        with pytest.raises(KeyboardInterrupt):
            classify(halved, training=chosen)
    lines = classify(halved, training=chosen)
    assert sum("held out" in line for line in lines) == 2
    assert "  continues from step 5 of 8" in lines
    one, other = (read_json(out / "metrics.json") for out in (whole, halved))
    assert one["synthetic"]["held_out_loss"] == other["synthetic"]["held_out_loss"]
    assert [step for step, _ in one["synthetic"]["held_out_loss"]] == list(range(1, 9))
    assert one["files"] == other["files"]


@pytest.mark.slow
def test_a_training_stopped_again_and_again_still_arrives(classify, uninterrupted, stop_after, tmp_path):
    out = tmp_path / "student"
    for step in (2, 4, 6):
        stop_after(step)
        with pytest.raises(KeyboardInterrupt):
            classify(out)
    stop_after(None)
    classify(out)
    assert (out / "model.safetensors").read_bytes() == uninterrupted


@pytest.fixture(scope="module")
def stopped(classify, tmp_path_factory):
    """The checkpoints of a training that was stopped after step 5."""
    out = tmp_path_factory.mktemp("stopped") / "student"
    write = Checkpoints.write

    def write_and_stop(self, state, *parts):
        write(self, state, *parts)
        if state.global_step == 5:
            raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Checkpoints, "write", write_and_stop)
        classify(out)
    return checkpoints(out)


def test_the_newest_two_checkpoints_are_kept_and_hold_no_pickle(stopped):
    assert [step_of(folder) for folder in stopped] == [4, 5]
    assert all(is_whole(folder) for folder in stopped)
    assert {path.name for path in stopped[0].iterdir()} == {
        "complete.json", "model.safetensors", "optimizer.safetensors", "settings.json", "trainer_state.json",
    }  # fmt: skip


def _flip(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize(
    "damage",
    [
        lambda folder: (folder / "complete.json").unlink(),
        lambda folder: (folder / "complete.json").write_text('{"files": {"model.saf'),
        lambda folder: (folder / "complete.json").write_text("{}"),
        lambda folder: os.truncate(folder / "optimizer.safetensors", 1000),
        lambda folder: _flip(folder / "model.safetensors"),
        lambda folder: (folder / "trainer_state.json").unlink(),
        lambda folder: (folder / "optimizer.pt").write_bytes(b"a pickle that somebody put there"),
    ],
    ids=["no marker", "torn marker", "empty marker", "torn file", "flipped bit", "file gone", "file added"],
)
def test_a_damaged_checkpoint_is_removed_and_the_one_before_it_used(damage, stopped, tmp_path):
    for folder in stopped:
        shutil.copytree(folder, tmp_path / folder.name)
    damage(tmp_path / stopped[-1].name)
    latest = Checkpoints(tmp_path, 0, pytest.fail).latest()
    assert latest is not None
    assert step_of(latest) == 4
    assert [path.name for path in tmp_path.iterdir()] == [stopped[0].name]


def test_writing_checkpoints_takes_at_most_a_twentieth_of_the_time(tmp_path, monkeypatch):
    state = type("State", (), {"global_step": 1})()
    monkeypatch.setattr("synthgen.student.checkpoint._write_parts", lambda *_: time.sleep(0.02))
    monkeypatch.setattr("synthgen.student.checkpoint._complete", lambda _: None)
    kept = Checkpoints(tmp_path / "name", 0.001, pytest.fail, parts=lambda *_: ({}, {}))
    kept.write(state, None, None, None)
    began = time.monotonic()
    while not kept.due():
        time.sleep(0.01)
    assert time.monotonic() - began > 0.3


@pytest.mark.slow
def test_a_signal_waits_for_the_end_of_the_step_and_its_checkpoint(classify, uninterrupted, tmp_path, monkeypatch):
    out = tmp_path / "student"
    begin = training.set_seed_of_step

    def interrupted(seed, step, worker):
        begin(seed, step, worker)
        if step == 4:  # in the middle of the fifth
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(training, "set_seed_of_step", interrupted)
    with pytest.raises(KeyboardInterrupt):
        classify(out, checkpoint_seconds=1000)
    assert [step_of(folder) for folder in checkpoints(out)] == [5]
    monkeypatch.undo()
    classify(out)
    assert (out / "model.safetensors").read_bytes() == uninterrupted


def test_a_second_signal_does_not_wait():
    with pytest.raises(KeyboardInterrupt), signals_postponed() as postponed:
        signal.raise_signal(signal.SIGINT)
        assert postponed.signal == signal.SIGINT
        signal.raise_signal(signal.SIGINT)
        pytest.fail("the second signal was postponed too")
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_signal_after_the_last_step_is_not_lost():
    with pytest.raises(KeyboardInterrupt), signals_postponed():
        signal.raise_signal(signal.SIGINT)


@pytest.mark.slow
def test_work_on_other_rows_is_discarded_and_that_is_said(classify, stop_after, tmp_path):
    out = tmp_path / "student"
    stop_after(2)
    with pytest.raises(KeyboardInterrupt):
        classify(out)
    stop_after(None)
    lines = classify(out, rows=18)
    assert lines[0] == "the unfinished training had other synthetic rows; it starts again from the beginning"
    assert not any("goes on" in line for line in lines)
    assert [path.name for path in tmp_path.iterdir()] == ["student"]


@pytest.mark.slow
@pytest.mark.thorough
def test_a_training_that_is_finished_is_not_made_again(classify, stop_after, tmp_path):
    """The third training of four is stopped; the scores of the first two are kept, the figures are the same."""
    whole, halved = tmp_path / "whole/student", tmp_path / "halved/student"
    classify(whole, eval_rows=20)
    steps = []
    write = Checkpoints.write

    with pytest.MonkeyPatch.context() as patch:

        def stop_in_the_third(self, state, *parts):
            write(self, state, *parts)
            steps.append(state.global_step)
            if steps.count(2) == 3:
                raise KeyboardInterrupt

        patch.setattr(Checkpoints, "write", stop_in_the_third)
        with pytest.raises(KeyboardInterrupt):
            classify(halved, eval_rows=20)
    lines = classify(halved, eval_rows=20)
    assert lines[:2] == [f"student, {arm}, 1 of 2: done before" for arm in ("with synthetic rows", "with label rows")]
    assert "  continues from step 2 of 8" in lines
    one, other = (read_json(out / "metrics.json") for out in (whole, halved))
    for arm in ("seeds_only", "described", "synthetic", "gain", "gain_over_described"):
        assert {**one[arm], "seconds": 0} == {**other[arm], "seconds": 0}
    assert one["files"] == other["files"]


@pytest.mark.slow
def test_a_finished_student_is_kept_unless_it_is_asked_for_again(classify, tmp_path):
    out = tmp_path / "student"
    classify(out)
    before = (out / "metrics.json").stat().st_mtime_ns
    assert not any("steps over" in line for line in classify(out, again=False))
    assert (out / "metrics.json").stat().st_mtime_ns == before
    assert any("steps over" in line for line in classify(out, again=True))


@pytest.mark.slow
def test_a_finished_student_of_fewer_rows_is_trained_anew(classify, tmp_path):
    out = tmp_path / "student"
    classify(out)
    lines = classify(out, rows=18, again=False)
    assert lines[0] == "the student was trained with other synthetic rows; it is trained again"
    assert any("steps over" in line for line in lines)


@pytest.mark.slow
def test_a_damaged_student_is_trained_anew(classify, uninterrupted, tmp_path):
    out = tmp_path / "student"
    classify(out)
    os.truncate(out / "model.safetensors", 5000)
    assert "files have changed since its training" in classify(out, again=False)[0]
    assert (out / "model.safetensors").read_bytes() == uninterrupted


def test_a_training_that_cannot_begin_leaves_nothing(classify, tmp_path):
    with pytest.raises(ConfigError):
        classify(tmp_path / "student", classifier=ClassifierConfig(model="bundled:unknown"))
    assert list(tmp_path.iterdir()) == []


def test_a_model_of_pickled_weights_is_not_opened(classify, tiny_encoders, tmp_path):
    model = tmp_path / "model"
    shutil.copytree(tiny_encoders["bert"], model)
    (model / "model.safetensors").unlink()
    (model / "pytorch_model.bin").write_bytes(pickle.dumps(Program(tmp_path / "ran")))
    with pytest.raises(ConfigError, match=r"student\.classifier\.model: .*safetensors"):
        classify(tmp_path / "student", classifier=ClassifierConfig(model=str(model)))
    assert not (tmp_path / "ran").exists()


class Program:
    """Touch a file when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return type(self.path).touch, (self.path,)
