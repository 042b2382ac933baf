"""Trainings in processes of their own that are killed, or find the disk full, at any point; and gone on with."""

import gc
import os
import random
import resource
import signal

import pytest
import yaml
from forks import forks

from synthgen import student
from synthgen.errors import WriteError
from synthgen.ledger.durable import read_json
from synthgen.student import ClassifierConfig, StudentConfig, TrainingConfig, arms, checkpoint, work
from synthgen.tasks.assets import root
from synthgen.tasks.loading import load_task
from synthgen.tasks.task import TaskConfig

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def job(tiny_encoders, news_rows, news_eval):
    """Arguments of a training of three arms, 6 steps each."""
    model = ClassifierConfig(
        model=str(tiny_encoders["bert"]), batch_size=8, min_steps=6, epochs=1, seed_repeat=1, repeats=1
    )
    training = TrainingConfig(early_stopping=False)
    cfg = StudentConfig(bootstrap=100, checkpoint_seconds=0, training=training, classifier=model)
    return cfg, news_rows[:10], news_eval[:14], news_eval[20:40]


@pytest.fixture(scope="module")
def uninterrupted(job, tmp_path_factory):
    """The metrics of a training that nothing happened to."""
    out = tmp_path_factory.mktemp("uninterrupted") / "student"
    train(job, out)
    return read_json(out / "metrics.json")


def train(job, out):
    """Trains in this process; returns what was said."""
    lines = []
    student.train(news_topic(), *job, out, 3, lines.append)
    return lines


def news_topic():
    """Made anew in each process, because a task does not travel between them."""
    return load_task(TaskConfig(**yaml.safe_load((root() / "conf/task/news_topic.yaml").read_text("utf-8"))))


# -- what is done to a child -----------------------------------------------------------------------


def kill(*_, **__):
    os.kill(os.getpid(), signal.SIGKILL)


def before_the_marker(count):
    """Kill this process when the `count`-th checkpoint is written and not yet marked as complete."""
    complete = checkpoint._complete
    seen = []

    def killing(folder):
        seen.append(folder)
        kill() if len(seen) == count else complete(folder)

    checkpoint._complete = killing


def after_the_marker(count):
    complete = checkpoint._complete
    seen = []

    def killing(folder):
        complete(folder)
        seen.append(folder)
        if len(seen) == count:
            kill()

    checkpoint._complete = killing


def between_the_arms(_):
    train_one = arms._train

    def killing(experiment, arm, *rest):
        if arm == arms.SEEDS_ONLY:
            kill()
        return train_one(experiment, arm, *rest)

    arms._train = killing


def before_the_scores_are_kept(_):
    work.Work.finish = kill


def before_the_last_swap(_):
    work.swap_in = kill


def after_the_last_swap(_):
    swap_in = work.swap_in

    def killing(new, out):
        swap_in(new, out)
        kill()

    work.swap_in = killing


def room_for(megabytes):
    """No file may be larger, as on a disk that is full."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(megabytes * 1e6),) * 2)


def child(what, argument, job, out, pipe):
    gc.freeze()  # what it was forked with is no garbage, and a training collects garbage three times
    what(argument)
    try:
        pipe.send(train(job, out))
    except WriteError as error:
        pipe.send(error)


@pytest.fixture(scope="module")
def start():
    """Starts a child that trains while `what(argument)` is done to it; (process, its end of a pipe)."""
    context = forks(
        "torch", "transformers.trainer", "transformers.models.bert.modeling_bert", "datasets", "synthgen.student.arms"
    )
    children = []

    def go(what, argument, job, out):
        ours, theirs = context.Pipe(duplex=False)
        process = context.Process(target=child, args=(what, argument, job, out, theirs), daemon=True)
        process.start()
        theirs.close()
        children.append(process)
        return process, ours

    yield go
    for process in children:
        process.kill()
        process.join()


@pytest.fixture
def killed(start, job):
    def go(out, what, argument=None):
        process, _ = start(what, argument, job, out)
        process.join(60)
        assert process.exitcode == -signal.SIGKILL

    return go


def same(metrics, other):
    """Return whether two trainings ended alike: the figures of all arms, and the model to the last bit."""
    timeless = [
        {arm: {**found[arm], "seconds": 0} for arm in ("seeds_only", "described", "synthetic")}
        for found in (metrics, other)
    ]
    return timeless[0] == timeless[1] and metrics["files"] == other["files"] and metrics["gain"] == other["gain"]


# -- killed ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("what", "argument", "said"),
    [
        (before_the_marker, 4, "  continues from step 3 of 6"),
        (after_the_marker, 4, "  continues from step 4 of 6"),
        (before_the_marker, 1, "student, with synthetic rows, 1 of 1: 6 steps over 28 rows"),
        (before_the_scores_are_kept, None, "  continues from step 6 of 6"),
        (between_the_arms, None, "student, with label rows, 1 of 1: done before"),
        (before_the_last_swap, None, "student, with synthetic rows, 1 of 1: done before"),
    ],
)
def test_a_killed_training_continues_where_it_was_and_ends_like_any_other(
    what, argument, said, killed, job, uninterrupted, tmp_path
):
    out = tmp_path / "student"
    killed(out, what, argument)
    assert not out.exists()
    assert said in train(job, out)
    assert same(read_json(out / "metrics.json"), uninterrupted)
    assert [path.name for path in tmp_path.iterdir()] == ["student"]


def test_killed_after_the_swap_the_student_is_there_and_what_is_left_is_cleared(killed, job, uninterrupted, tmp_path):
    out = tmp_path / "student"
    killed(out, after_the_last_swap)
    assert same(read_json(out / "metrics.json"), uninterrupted)
    metrics = student.train(news_topic(), *job, out, 3, lambda _: None, again=False)
    assert metrics == read_json(out / "metrics.json")
    assert [path.name for path in tmp_path.iterdir()] == ["student"]


def test_killed_at_random_moments_until_it_is_done_it_ends_like_any_other(start, job, uninterrupted, tmp_path):
    out, rng, kills = tmp_path / "student", random.Random(0), 0
    while not (out / "metrics.json").exists():
        process, said = start(nothing, None, job, out)
        # Short at first, so that an idle machine does not end before two kills; longer each time, for a busy one.
        if said.poll(rng.uniform(0.1, 0.3) * (1 + kills)):
            break
        process.kill()
        process.join()
        kills += 1
    process.join()
    assert kills > 1
    assert same(read_json(out / "metrics.json"), uninterrupted)


def nothing(_):
    pass


# -- a full disk -----------------------------------------------------------------------------------


def test_a_checkpoint_without_disk_space_is_reported_once_and_skipped(start, job, uninterrupted, tmp_path):
    out = tmp_path / "student"
    process, said = start(room_for, 0.5, job, out)  # the model has 0.34 MB, the optimizer's state 0.7
    lines = said.recv()
    process.join()
    complaints = [line for line in lines if "a checkpoint could not be written" in line]
    assert len(complaints) == 1
    assert "File too large" in complaints[0]
    assert complaints[0].endswith("the training continues without it")
    assert same(read_json(out / "metrics.json"), uninterrupted)


def test_a_student_without_disk_space_is_one_message_and_continues_once_there_is_some(
    start, job, uninterrupted, tmp_path
):
    out = tmp_path / "student"
    process, said = start(room_for, 0.2, job, out)
    error = said.recv()
    process.join()
    assert isinstance(error, WriteError)
    assert str(error).startswith(f"{out}: cannot be written: ")
    assert "File too large" in str(error)
    assert str(error).endswith(
        "The training keeps its last checkpoint: raise the limit on file sizes (ulimit -f), then continue"
    )
    assert not out.exists()
    lines = train(job, out)
    assert lines[0].startswith("student, with synthetic rows, 1 of 1: "), "the first that is saved, and was not"
    assert same(read_json(out / "metrics.json"), uninterrupted)


def test_an_earlier_student_stays_when_a_later_one_has_no_disk_space(start, job, tmp_path):
    out = tmp_path / "student"
    train(job, out)
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    _, said = start(room_for, 0.2, job, out)
    assert isinstance(said.recv(), WriteError)
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before
