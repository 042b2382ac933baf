"""Test how long a student takes: progress and time left by measured paces, and the limit `student.max_minutes`."""

import json
import time

import numpy as np
import pytest

from synthgen import student
from synthgen.errors import ConfigError
from synthgen.student import (
    ClassifierConfig,
    FrozenConfig,
    GeneratorConfig,
    StudentConfig,
    TaggerConfig,
    TrainingConfig,
    vectors,
)
from synthgen.student.arms import compare
from synthgen.student.clock import LOOK, SCORE, START, STEP, Clock, Fit, Paces, TrainingProgress, lines
from synthgen.student.config import planned_steps
from synthgen.student.estimate import estimate, measured
from synthgen.student.learner import Experiment
from synthgen.student.rows import TrainingRow
from synthgen.student.scores import macro_figures
from synthgen.student.work import Work

SEEDS = [{"text": f"seed {index}", "label": "ab"[index % 2]} for index in range(6)]
SYNTHETIC = [{"text": f"row {index}", "label": "ab"[index % 2]} for index in range(6)]
EVAL = [{"text": f"held out {index}", "label": "a"} for index in range(40)]


class Time:
    """A clock that a test moves on."""

    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


class Slow:
    """A learner whose every step takes a second, and whose held-out loss is least at the last step."""

    headline = "accuracy"

    def __init__(self, time, steps=12, repeats=1):
        self.time = time
        self.cfg = ClassifierConfig(min_steps=steps, epochs=0.1, repeats=repeats)
        self.plans = []

    def steps(self, rows):
        return planned_steps(rows, self.cfg)

    def stratum(self, row):
        return row.data["label"]

    def fit(self, rows, plan, place, probe=None):
        self.plans.append((place.logs.parent.name, plan.steps))
        for step in range(1, plan.steps + 1):
            self.time.now += 1
            if probe and probe.due(step):
                probe.note(step, [1 / step] * len(probe.rows), [])
            place.clock.stepped(step, plan.steps)
            if place.clock.cut is not None:
                return step
        return plan.steps

    def save(self, steps, folder):
        (folder / "model.json").write_text(json.dumps(steps))

    def score(self, steps, rows):
        return np.zeros(len(rows))

    def figures(self, rows, scores):
        return macro_figures(np.zeros(len(rows), dtype=np.intp), np.stack(scores).astype(np.intp), 2)

    def details(self, rows, scores):
        return {}


@pytest.fixture
def train(tmp_path):
    """Compares the arms of a `Slow` learner in `minutes`; the metrics, and the fits that were made."""

    def go(minutes, early_stopping=True, kept=None, **learner):
        time, said = Time(), []
        slow = Slow(time, **learner)
        cfg = StudentConfig(max_minutes=minutes, training=TrainingConfig(early_stopping=early_stopping))
        work = Work(tmp_path / "student", 60, lambda _: None)
        work.open({})
        clock = Clock(60 * minutes if minutes else float("inf"), said.append, time, work.keep_times)
        experiment = Experiment(slow, cfg, EVAL, 7, work, lambda _: None, clock)
        rows = [TrainingRow(row, synthetic=True) for row in SYNTHETIC]
        with clock.kept(work.times()):
            metrics = compare(experiment, [TrainingRow(row) for row in SEEDS], rows)
        return metrics, slow.plans, said

    return go


def test_without_a_limit_everything_is_trained(train):
    metrics, fits, _ = train(None)
    assert [name for name, _ in fits] == [
        "synthetic-probe-0", "synthetic-probe-1", "synthetic-probe-2", "synthetic-0",
        "seeds_only-probe-0", "seeds_only-probe-1", "seeds_only-probe-2", "seeds_only-0",
    ]  # fmt: skip
    assert "cut_short" not in metrics


def test_a_limit_ends_the_choice_of_steps_at_half_time_and_leaves_a_student(train):
    metrics, fits, _ = train(0.5)  # 30 s: 15 steps to choose the steps, a fold has 12
    assert fits[:2] == [("synthetic-probe-0", 12), ("synthetic-probe-1", 12)]
    assert fits[2] == ("synthetic-0", 12)
    assert [name for name, _ in fits[3:]] == ["seeds_only-probe-0"], "begun in the three seconds that are left"
    short = metrics["cut_short"]
    assert (short["steps"], short["of"], short["untrained"]) == (12, 12, ["seeds_only"])
    assert "student.max_minutes=0.5 was reached" in short["sentence"]
    assert "not trained for the comparison: seeds only" in short["sentence"]
    assert metrics["synthetic"]["steps_chosen_by"] == "3-fold cross-validation, cut short by student.max_minutes"
    assert metrics["synthetic"]["mean"] == 1.0
    assert metrics["gain"]["mean"] is None
    assert metrics["is_gain"] is None
    assert metrics["verdict"].startswith("The student was trained and not compared")


def test_where_even_one_training_is_too_long_it_is_planned_for_the_time_there_is(train):
    metrics, fits, _ = train(0.2)  # 12 s: 6 to choose, 6 for the student
    assert fits[0] == ("synthetic-probe-0", 12)
    assert fits[1] == ("synthetic-0", 5), "its start takes one of the six seconds"
    assert metrics["synthetic"]["steps"] == 5


def test_a_training_without_a_pace_ends_at_the_limit(train):
    metrics, fits, _ = train(0.1, early_stopping=False)
    assert fits == [("synthetic-0", 12)]
    assert (metrics["cut_short"]["steps"], metrics["cut_short"]["of"]) == (6, 12)
    assert metrics["synthetic"]["steps"] == 6
    assert "the student was trained for 6 of 12 steps" in metrics["cut_short"]["sentence"]


def test_fewer_repeats_are_reported(train):
    metrics, _, _ = train(0.5, early_stopping=False, repeats=2)  # 30 s: two and a half trainings
    assert metrics["cut_short"]["fewer"] == {"synthetic": 1, "seeds_only": 1}
    assert metrics["gain"]["mean"] == 0
    assert "of 2 trainings per arm there are 1 with synthetic rows, 1 seeds only" in metrics["cut_short"]["sentence"]


def test_progress_counts_fits_and_steps_and_promises_nothing_before_it_has_a_pace(train):
    _, _, said = train(None)
    assert said[0].line() == "student: fit 1 of 8 (with synthetic rows, choosing the steps), step 1 of 12"
    assert all(progress.left is None for progress in said[:4])
    later = next(progress for progress in said if progress.left is not None)
    # 7 more fits, each of a start and 12 steps, a second each; scoring has no pace before a student is scored
    assert (later.step, later.left) == (5, 7 * 13 + 12 - 5)
    assert later.line().endswith("step 5 of 12, about 1 min 38 s left without scoring")
    assert said[-1].line() == "student: fit 8 of 8 (seeds only, 1 of 1), scoring, about 0 s left"


def test_a_limit_that_is_nearer_than_the_end_is_the_time_left(train):
    _, _, said = train(0.5)
    assert all(progress.left <= 30 for progress in said if progress.left is not None)


@pytest.fixture
def timed():
    """A clock with one fit of 10 steps, two looks at 20 rows and 40 scored rows; and its time."""
    time = Time()
    clock = Clock(now=time)
    clock.plan([Fit("one", "one", {START: 1, STEP: 10, LOOK: 40, SCORE: 40})])
    return clock, time


def test_looks_and_scores_have_paces_of_their_own(timed):
    clock, time = timed
    clock.begin("one")
    for step in range(1, 6):
        time.now += 2
        if step == 5:
            with clock.evaluating(20):
                time.now += 10
        clock.stepped(step, 10)
    assert (clock.paces.of(STEP), clock.paces.of(LOOK), clock.paces.of(SCORE)) == (2.0, 0.5, None)
    assert clock.progress().left == 5 * 2 + 20 * 0.5
    assert not clock.progress().whole
    with clock.scoring(40):
        time.now += 4
    assert clock.paces.of(SCORE) == 0.1


def test_what_a_session_took_counts_in_the_next():
    kept, time = [], Time()
    clock = Clock(60, now=time, keep=kept.append)
    clock.plan([Fit("one", "one", {START: 1, STEP: 10})])
    with pytest.raises(KeyboardInterrupt), clock.kept(None):
        clock.begin("one")
        for step in range(1, 5):
            time.now += 10
            clock.stepped(step, 10)
        raise KeyboardInterrupt
    again = Clock(60, now=time)
    with again.kept(json.loads(json.dumps(kept[-1]))):
        assert (again.spent(), again.paces.of(STEP)) == (40, 10)
        time.now += 21
        assert again.over()


def test_the_steps_that_fit_are_the_same_in_a_later_session_with_the_same_limit():
    time, pace = Time(), {"seconds": {STEP: 10.0}, "units": {STEP: 10.0}, "planned": {}, "spent": 0.0}
    clock, kept = Clock(60, now=time, keep=pace.update), pace
    with clock.kept(pace):
        time.now += 20
        assert clock.fitting("one", 100) == 40
        clock.keep()
    for limit, steps in ((60, 40), (90, 70)):
        again = Clock(limit, now=time)
        with again.kept(kept):
            assert again.fitting("one", 100) == steps


def test_lines_come_every_half_minute():
    time, said = Time(), []
    watch = lines(said.append, now=time)
    for second in range(0, 65):
        time.now = second
        watch(TrainingProgress("seeds only, 1 of 3", 2, 9, second, 400, 70.0, True))
    assert said == [
        f"student: fit 2 of 9 (seeds only, 1 of 3), step {step} of 400, about 1 min 10 s left" for step in (30, 60)
    ]


def test_a_limit_is_above_zero():
    with pytest.raises(ConfigError, match=r"student\.max_minutes: must be above 0, got 0"):
        StudentConfig(max_minutes=0)


ALMOST_NONE = 1e-6


def limited(kind, **models):
    return StudentConfig(kind=kind, bootstrap=100, max_minutes=ALMOST_NONE, **models)


@pytest.mark.slow
def test_an_encoder_that_is_cut_short_is_saved_scored_and_said_to_be(
    tiny_encoders, news_task, news_rows, news_eval, tmp_path
):
    small = ClassifierConfig(model=str(tiny_encoders["bert"]), batch_size=8, min_steps=8, epochs=1)
    cfg = limited("auto", classifier=small)
    out = tmp_path / "student"
    metrics = student.train(news_task, cfg, news_rows[:10], news_eval[:10], news_eval[10:20], out, 3, lambda _: None)
    assert (metrics["cut_short"]["steps"], metrics["cut_short"]["of"]) == (1, 8)
    assert metrics["cut_short"]["untrained"] == ["described", "seeds_only"]
    assert 0 <= metrics["synthetic"]["mean"] <= 1
    card = (out / "README.md").read_text()
    assert "Its training was cut short: " in card
    assert "the student was trained for 1 of 8 steps" in card
    assert "| metric | with synthetic rows (this model) |\n|---|---|\n" in card
    said = []
    student.train(news_task, cfg, news_rows[:10], news_eval[:10], news_eval[10:20], out, 3, said.append, again=False)
    assert said == []
    cfg.max_minutes = None
    whole = student.train(
        news_task, cfg, news_rows[:10], news_eval[:10], news_eval[10:20], out, 3, said.append, again=False
    )
    assert said[0] == "the student was cut short by student.max_minutes=1e-06; it is trained again"
    assert "cut_short" not in whole


def test_a_frozen_student_is_fitted_in_full_and_compared_with_nothing(news_task, news_rows, news_eval, tmp_path):
    cfg = limited("frozen", frozen=FrozenConfig())
    rows = news_rows[:10], news_eval[:10], news_eval[10:20]
    metrics = student.train(news_task, cfg, *rows, tmp_path / "student", 3, lambda _: None)
    assert metrics["cut_short"]["untrained"] == ["described", "seeds_only"]
    assert metrics["synthetic"]["mean"] is not None


@pytest.mark.slow
def test_a_generators_probe_and_training_are_cut_short(tiny_generator, instruction_task, instruction_rows, tmp_path):
    model = GeneratorConfig(
        model=str(tiny_generator), min_steps=6, epochs=0.1, batch_size=4, rank=4, generate_rows=2, max_new_tokens=4
    )
    rows = instruction_rows[:8], instruction_rows[8:12], instruction_rows[16:18]
    cfg = limited("auto", generator=model)
    metrics = student.train(instruction_task, cfg, *rows, tmp_path / "student", 3, lambda _: None)
    assert metrics["synthetic"]["steps"] == 1
    assert metrics["synthetic"]["steps_chosen_by"] == "config, because time was short"
    assert metrics["cut_short"]["untrained"] == ["seeds_only"]


@pytest.mark.slow
def test_a_tagger_is_cut_short(tiny_encoders, voice_task, tmp_path):
    from synthgen.tasks.seeds import read_samples

    voice_rows = read_samples(voice_task.seeds, voice_task, "seed")
    if not voice_task.eval:
        pytest.skip("the task has no eval rows")
    cfg = limited("auto", tagger=TaggerConfig(model=str(tiny_encoders["bert"]), min_steps=6, epochs=0.1, batch_size=4))
    rows = voice_rows[:8], voice_rows[8:12], voice_rows[12:14]
    metrics = student.train(voice_task, cfg, *rows, tmp_path / "student", 3, lambda _: None)
    assert metrics["cut_short"]["steps"] == 1


@pytest.mark.slow
def test_a_few_real_steps_tell_what_a_student_would_take(tiny_encoders, news_task, news_rows, news_eval):
    small = ClassifierConfig(model=str(tiny_encoders["bert"]), batch_size=8, min_steps=8, epochs=1, repeats=1)
    cfg = StudentConfig(classifier=small)
    paces = measured(news_task, cfg, news_rows[:10], news_eval, 0)
    assert all(paces.of(kind) is not None for kind in (START, STEP, LOOK, SCORE))
    found = estimate(news_task, cfg, news_rows[:10], 20, news_eval, paces)
    assert found.fits == 12, "three arms, each with three folds and one training"
    assert found.seconds is not None
    assert found.whole


def test_loading_a_frozen_students_encoder_is_not_counted_for_every_row(news_task, news_rows, monkeypatch):
    encoded: list[int] = []

    def slow_at_first(encoder, texts, say=print):
        encoded.append(len(texts))
        time.sleep(0.5 if len(encoded) == 1 else 0.0)
        return np.eye(len(texts), 384)

    monkeypatch.setattr(vectors, "embed", slow_at_first)
    cfg = StudentConfig(kind="frozen")
    paces = measured(news_task, cfg, news_rows[:10], [], 0)
    assert paces.units[START] == 10
    assert paces.seconds[START] < 0.45
    assert encoded == [10, 10]


def test_an_estimate_without_speeds_gives_only_fits_and_steps(news_task, news_rows, news_eval):
    cfg = StudentConfig(classifier=ClassifierConfig(batch_size=8, min_steps=8, epochs=1, repeats=1))
    assert estimate(news_task, cfg, news_rows[:10], 20, news_eval).words() == "12 fits, 96 steps at most"
    assert estimate(news_task, cfg, news_rows[:10], 20, []).fits == 4


def test_an_estimate_never_exceeds_the_limit(news_task, news_rows, news_eval):
    cfg = StudentConfig(max_minutes=1)
    paces = Paces({START: 100.0, STEP: 100.0}, {START: 1.0, STEP: 1.0})
    assert estimate(news_task, cfg, news_rows[:10], 20, news_eval, paces).seconds == 60
