"""The comparison of the arms, with a learner that learns nothing and is told its scores."""

import json

import numpy as np
import pytest

from synthgen.student import StudentConfig
from synthgen.student.arms import compare, verdict
from synthgen.student.config import ClassifierConfig, TrainingConfig, planned_steps
from synthgen.student.learner import Experiment
from synthgen.student.rows import TrainingRow
from synthgen.student.scores import macro_figures
from synthgen.student.work import Work

SEEDS = [{"text": f"seed {index}", "label": "a"} for index in range(4)]
LABELS = [{"text": "a: the first letter", "label": "a"}]
SYNTHETIC = [{"text": f"row {index}", "label": "b"} for index in range(20)]
EVAL = [{"text": f"held out {index}", "label": "a"} for index in range(40)]


class Told:
    """Right on the first `right[arm]` eval rows; keeps what it was asked to fit and to save."""

    headline = "accuracy"

    def __init__(self, right, **knobs):
        self.cfg = ClassifierConfig(**knobs)
        self.right = right
        self.fitted = []
        self.logs = []

    def steps(self, rows):
        return planned_steps(rows, self.cfg)

    def stratum(self, row):
        return row.data["label"]

    def fit(self, rows, plan, place, probe=None):
        rows = [row.data for row in rows]
        arm = "synthetic" if SYNTHETIC[0] in rows else "described" if LABELS[0] in rows else "seeds_only"
        self.fitted.append({"arm": arm, "rows": list(rows), "steps": plan.steps, "seed": plan.seed})
        self.logs.append(place.logs)
        return {"arm": arm, "seed": plan.seed}

    def save(self, student, folder):
        (folder / "model.json").write_text(json.dumps(student))

    def score(self, student, rows):
        return np.asarray([0.0 if index < self.right[student["arm"]] else 1.0 for index in range(len(rows))])

    def figures(self, rows, scores):
        return macro_figures(np.zeros(len(rows), dtype=np.intp), np.stack(scores).astype(np.intp), 2)

    def details(self, rows, scores):
        return {"wrong": int(scores.sum())}


@pytest.fixture
def run(tmp_path):
    """Compares the arms of a `Told` learner; `lines` has what was said."""
    lines = []

    def go(learner, eval_rows=EVAL, synthetic=SYNTHETIC, labels=(), **config):
        config = {"training": TrainingConfig(early_stopping=False), **config}
        experiment = Experiment(learner, StudentConfig(**config), eval_rows, 7, work, lines.append)
        rows = [TrainingRow(row, synthetic=True) for row in synthetic]
        described = [TrainingRow(row, weight=5.0, sample=False) for row in labels]
        return compare(experiment, [TrainingRow(row) for row in SEEDS], rows, described)

    work = Work(tmp_path / "student", 60, lines.append)
    work.open({"rows": "these"})
    go.lines, go.work = lines, work
    return go


def test_a_gain_has_an_interval_above_zero_and_is_called_one(run):
    metrics = run(Told({"seeds_only": 20, "synthetic": 36}))
    assert metrics["seeds_only"]["mean"] == 0.5
    assert metrics["synthetic"]["mean"] == 0.9
    assert metrics["gain"]["mean"] == pytest.approx(0.4)
    assert 0 < metrics["gain"]["low"] < 0.4 < metrics["gain"]["high"]
    assert metrics["is_gain"] is True
    assert metrics["verdict"].startswith("The synthetic rows helped. accuracy is 0.500 ")
    assert metrics["metric"] == "accuracy"
    assert metrics["eval_rows"] == 40


def test_a_small_difference_is_not_called_a_gain(run):
    metrics = run(Told({"seeds_only": 30, "synthetic": 31}))
    assert metrics["gain"]["mean"] > 0
    assert metrics["is_gain"] is False
    assert metrics["verdict"].startswith("No gain is shown")


def test_a_worse_student_is_called_worse(run):
    metrics = run(Told({"seeds_only": 36, "synthetic": 20}))
    assert metrics["is_gain"] is False
    assert metrics["verdict"].startswith("The synthetic rows hurt")
    assert "-0.400" in metrics["verdict"]


def test_label_rows_have_an_arm_of_their_own_and_are_in_the_synthetic_arm_too(run):
    learner = Told({"seeds_only": 20, "described": 28, "synthetic": 36}, repeats=2, seed_repeat=2)
    metrics = run(learner, labels=LABELS)
    mix, described, seeds = (learner.fitted[number]["rows"] for number in (0, 1, 2))
    assert (seeds, described, mix) == (SEEDS, SEEDS + LABELS, 2 * (SEEDS + LABELS) + SYNTHETIC)
    assert [fit["seed"] for fit in learner.fitted] == [7] * 3 + [8] * 3
    assert [metrics[arm]["mean"] for arm in ("seeds_only", "described", "synthetic")] == [0.5, 0.7, 0.9]
    assert metrics["gain"]["mean"] == pytest.approx(0.4)
    assert metrics["gain_over_described"]["mean"] == pytest.approx(0.2)
    assert {metrics[arm]["repeats"] for arm in ("seeds_only", "described", "synthetic")} == {2}


def test_a_gain_over_the_seeds_that_label_rows_give_as_well_is_not_called_one(run):
    metrics = run(Told({"seeds_only": 10, "described": 36, "synthetic": 36}), labels=LABELS)
    assert metrics["gain"]["low"] > 0
    assert metrics["is_gain"] is False
    assert metrics["verdict"].startswith("No gain is shown")


def test_without_label_rows_there_are_two_arms(run):
    metrics = run(Told({"seeds_only": 20, "synthetic": 36}))
    assert not {"described", "gain_over_described"} & metrics.keys()


def test_both_arms_get_the_same_epochs_over_their_own_rows_and_the_same_random_seeds(run):
    learner = Told({"seeds_only": 20, "synthetic": 36}, repeats=2, batch_size=4, epochs=3, min_steps=1, seed_repeat=2)
    metrics = run(learner)
    # 4 seeds are one batch; twice 4 seeds and 20 synthetic rows are 7
    assert [(fit["arm"], fit["steps"], fit["seed"]) for fit in learner.fitted] == [
        ("synthetic", 21, 7), ("seeds_only", 3, 7), ("synthetic", 21, 8), ("seeds_only", 3, 8),
    ]  # fmt: skip
    assert (metrics["seeds_only"]["steps"], metrics["synthetic"]["steps"]) == (3, 21)


def test_few_rows_still_get_the_least_number_of_steps(run):
    learner = Told({"seeds_only": 20, "synthetic": 36}, repeats=1, batch_size=4, epochs=10, min_steps=50)
    run(learner)
    assert [fit["steps"] for fit in learner.fitted] == [70, 50]


def test_real_seeds_stay_in_the_mix_as_often_as_asked(run):
    learner = Told({"seeds_only": 20, "synthetic": 36}, repeats=1, seed_repeat=3)
    metrics = run(learner)
    mix, seeds_only = learner.fitted[0]["rows"], learner.fitted[1]["rows"]
    assert seeds_only == SEEDS
    assert mix.count(SEEDS[0]) == 3
    assert mix.count(SYNTHETIC[0]) == 1
    assert (metrics["seeds_only"]["train_rows"], metrics["synthetic"]["train_rows"]) == (4, 32)


def test_the_model_kept_is_the_synthetic_arms_first_whatever_it_scored(run):
    run(Told({"seeds_only": 36, "synthetic": 1}, repeats=3))
    assert json.loads((run.work.model / "model.json").read_text()) == {"arm": "synthetic", "seed": 7}


def test_without_eval_rows_one_model_is_trained_and_the_figures_are_null(run):
    learner = Told({"seeds_only": 0, "synthetic": 0}, repeats=3)
    metrics = run(learner, eval_rows=[])
    assert [fit["arm"] for fit in learner.fitted] == ["synthetic"]
    assert (run.work.model / "model.json").is_file()
    assert metrics["eval_rows"] == 0
    assert metrics["is_gain"] is None
    for arm in ("seeds_only", "synthetic", "gain"):
        assert (metrics[arm]["mean"], metrics[arm]["low"], metrics[arm]["high"]) == (None, None, None)
    assert "not scored" in metrics["verdict"]


def test_without_a_tracker_the_trainers_folder_does_not_last(run):
    learner = Told({"seeds_only": 20, "synthetic": 36}, repeats=1)
    run(learner)
    assert all(logs.is_relative_to(run.work.folder) for logs in learner.logs)
    assert [path.name for path in run.work.model.iterdir()] == ["model.json"]


def test_a_tracker_writes_inside_the_students_folder_one_folder_a_training(run):
    learner = Told({"seeds_only": 20, "synthetic": 36}, repeats=1)
    run(learner, report_to="tensorboard")
    assert learner.logs == [run.work.model / "logs/synthetic-0", run.work.model / "logs/seeds_only-0"]


def test_the_arm_in_training_is_reported(run):
    run(Told({"seeds_only": 20, "synthetic": 36}, repeats=2))
    assert len(run.lines) == 4
    assert "with synthetic rows" in run.lines[0]
    assert "seeds only" in run.lines[1]
    assert "2 of 2" in run.lines[3]


def test_the_verdict_says_how_sure_it_is(run):
    metrics = run(Told({"seeds_only": 20, "synthetic": 36}), confidence=0.9)
    assert "90% interval" in verdict(metrics)
