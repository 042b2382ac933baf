"""Grades: labels that are whole numbers, answered with the median grade, scored as SciPy and scikit-learn score."""

import json

import numpy as np
import pytest
import yaml

from synthgen import student
from synthgen.cli import dispatch
from synthgen.errors import RunFolderError
from synthgen.student import ClassifierConfig, StudentConfig, TrainingConfig
from synthgen.student.grades import Grades, grade_figures
from synthgen.tasks.assets import root
from synthgen.tasks.loading import load_task
from synthgen.tasks.seeds import read_samples
from synthgen.tasks.task import Task, TaskConfig


def shipped(**changes: object) -> Task:
    fields = yaml.safe_load((root() / "conf/task/urgency.yaml").read_text("utf-8"))
    return load_task(TaskConfig(**(fields | changes)))


@pytest.fixture(scope="module")
def urgency() -> Task:
    return shipped()


@pytest.fixture(scope="module")
def rows(urgency):
    return read_samples(urgency.seeds, urgency, "seed")


def test_the_figures_are_those_of_scipy_and_scikit_learn():
    from scipy.stats import spearmanr
    from sklearn.metrics import cohen_kappa_score, mean_absolute_error

    rng = np.random.default_rng(0)
    truth, values = rng.integers(0, 5, 80), np.arange(1.0, 6.0)
    predicted = np.clip(truth[None] + rng.integers(-2, 3, (2, 80)), 0, 4)
    expected = predicted + 1 + rng.normal(0, 0.2, (2, 80))
    found = grade_figures(values, truth, predicted, expected)(np.arange(80))
    assert found["mae"] == pytest.approx(np.mean([mean_absolute_error(truth, each) for each in predicted]))
    assert found["spearman"] == pytest.approx(np.mean([spearmanr(truth, each).statistic for each in expected]))
    kappas = [cohen_kappa_score(truth, each, weights="quadratic") for each in predicted]
    assert found["quadratic_kappa"] == pytest.approx(np.mean(kappas))


def test_figures_of_grades_that_are_all_the_same_are_missing_and_not_zero():
    same = np.zeros(4, dtype=np.intp)
    found = grade_figures(np.arange(1.0, 4.0), same, same[None], np.ones((1, 4)))(np.arange(4))
    assert found["mae"] == 0
    assert np.isnan(found["spearman"]) and np.isnan(found["quadratic_kappa"])


def test_the_answer_is_the_median_grade_and_not_the_likeliest(urgency):
    answers = Grades(urgency).answers(np.array([[0.4, 0.0, 0.25, 0.35, 0.0], [0.5, 0.5, 0.0, 0.0, 0.0]]))
    assert [answer["urgency"] for answer in answers] == [3, 1]
    assert answers[0]["expected"] == pytest.approx(0.4 + 3 * 0.25 + 4 * 0.35)
    assert answers[0]["probabilities"] == {"1": 0.4, "2": 0.0, "3": 0.25, "4": 0.35, "5": 0.0}


@pytest.mark.slow
def test_a_frozen_student_learns_grades_and_its_answers_are_numbers(urgency, rows, tmp_path):
    held_out = read_samples(urgency.eval, urgency, "eval")
    cfg = StudentConfig(kind="frozen", bootstrap=100)
    metrics = student.train(urgency, cfg, rows, held_out[:30], held_out[30:], tmp_path / "s", 0, lambda _: None)
    assert (metrics["metric"], metrics["higher_is_better"]) == ("mae", False)
    found = metrics["synthetic"]
    assert found["mean"] < 1.0, "always answering 3 has an error of about 1.2"
    assert set(found["figures"]) == {"mae", "spearman", "quadratic_kappa"}
    assert found["figures"]["spearman"]["mean"] > 0.5
    assert metrics["gain"]["mean"] == pytest.approx(metrics["seeds_only"]["mean"] - found["mean"])
    again = student.evaluate(urgency, cfg, tmp_path / "s", held_out[30:])
    assert again["mean"] == found["mean"]
    [answer] = student.predict(
        urgency, cfg, tmp_path / "s", [{"text": "There is smoke in the lift, people are inside"}]
    )
    assert answer["urgency"] in (4, 5)


@pytest.mark.slow
def test_a_classifier_of_grades_is_a_plain_sequence_classifier(urgency, rows, tiny_encoders, tmp_path):
    small = ClassifierConfig(model=str(tiny_encoders["bert"]), repeats=1, min_steps=2, epochs=0.1)
    cfg = StudentConfig(bootstrap=100, training=TrainingConfig(early_stopping=False), classifier=small)
    metrics = student.train(urgency, cfg, rows, [], rows, tmp_path / "s", 0, lambda _: None)
    assert (metrics["kind"], metrics["metric"]) == ("classifier", "mae")
    assert list(json.loads((tmp_path / "s/config.json").read_text())["label2id"]) == ["1", "2", "3", "4", "5"]
    other = shipped(schema=urgency.schema | {"properties": {
        "text": {"type": "string"}, "urgency": {"type": "integer", "enum": [1, 2, 3]}}}, labels={})  # fmt: skip
    with pytest.raises(RunFolderError, match="knows the labels 1, 2, 3, 4, 5, but task urgency has 1, 2, 3"):
        student.predict(other, cfg, tmp_path / "s", [{"text": "a"}])


@pytest.mark.slow
def test_a_run_keeps_grades_as_numbers_from_the_grammar_to_the_dataset(tmp_path, capsys):
    words = ["task=urgency", "engine=replay", "student=frozen", "diversity=hash", "judge=none", "budget.target=10"]
    assert dispatch(["run", *words, f"run.dir={tmp_path / 'out'}"]) == 0
    assert "mae" in capsys.readouterr().out
    lines = (tmp_path / "out/dataset/train.jsonl").read_text().splitlines()
    assert {type(json.loads(line)["urgency"]) for line in lines} == {int}
    (tmp_path / "in.jsonl").write_text('{"text": "The lift is stuck with two people in it"}\n')
    assert dispatch(["predict", str(tmp_path / "out"), str(tmp_path / "in.jsonl")]) == 0
    assert '"expected"' in capsys.readouterr().out
