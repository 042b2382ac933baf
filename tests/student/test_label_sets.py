"""Several labels of one text: a probability for each, answers as lists, figures as scikit-learn computes them."""

import json
from dataclasses import replace

import numpy as np
import pytest
import yaml

from synthgen import student
from synthgen.cli import dispatch
from synthgen.errors import ConfigError
from synthgen.numerics.regression import binary_regressions, sigmoid
from synthgen.student import ClassifierConfig, StudentConfig, TrainingConfig
from synthgen.student.label_sets import LabelSets, set_figures
from synthgen.student.rows import label_rows
from synthgen.tasks.assets import root
from synthgen.tasks.loading import load_task
from synthgen.tasks.seeds import read_samples
from synthgen.tasks.task import Task, TaskConfig


@pytest.fixture(scope="module")
def aspects() -> Task:
    return load_task(TaskConfig(**yaml.safe_load((root() / "conf/task/review_aspects.yaml").read_text("utf-8"))))


@pytest.fixture(scope="module")
def rows(aspects):
    return read_samples(aspects.seeds, aspects, "seed")


def test_the_figures_are_those_of_scikit_learn():
    from sklearn.metrics import accuracy_score, f1_score

    rng = np.random.default_rng(0)
    truth, predicted = rng.integers(0, 2, (40, 5)), rng.integers(0, 2, (2, 40, 5))
    truth[:, 4] = predicted[:, :, 4] = 0  # a label that nobody has counts as 0 in the macro average
    found = set_figures(truth.astype(float), predicted.astype(float))(np.arange(40))
    for name, average in (("micro_f1", "micro"), ("macro_f1", "macro")):
        wanted = np.mean([f1_score(truth, each, average=average, zero_division=0) for each in predicted])
        assert found[name] == pytest.approx(wanted)
    assert found["subset_accuracy"] == pytest.approx(np.mean([accuracy_score(truth, each) for each in predicted]))


def test_each_label_gets_the_regression_of_scikit_learn():
    from sklearn.linear_model import LogisticRegression

    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(60, 4))
    targets = (vectors[:, :2] + 0.5 * rng.normal(size=(60, 2)) > 0).astype(float)
    weights, bias = binary_regressions(vectors, targets, np.ones(60), 1.0)
    for index in range(2):
        theirs = LogisticRegression(C=1.0, tol=1e-8).fit(vectors, targets[:, index]).predict_proba(vectors)[:, 1]
        assert sigmoid(vectors @ weights[index] + bias[index]) == pytest.approx(theirs, abs=2e-3)


def test_an_answer_has_the_likely_labels_within_the_numbers_that_the_schema_allows(aspects):
    none, two, five = [0.1, 0.3, 0.2, 0.1, 0.1, 0.1], [0.9, 0.1, 0.1, 0.5, 0.1, 0.1], [0.9, 0.8, 0.7, 0.6, 0.95, 0.1]
    answers = LabelSets(aspects).answers(np.array([none, two, five]))
    assert [answer["aspects"] for answer in answers] == [["location"], ["food", "price"], ["food", "location", "room"]]
    assert answers[1]["probabilities"]["price"] == 0.5


@pytest.mark.slow
def test_a_frozen_student_learns_several_labels(aspects, rows, tmp_path):
    held_out = read_samples(aspects.eval, aspects, "eval")
    cfg = StudentConfig(kind="frozen", bootstrap=100)
    metrics = student.train(aspects, cfg, rows, held_out[:30], held_out[30:], tmp_path / "s", 0, lambda _: None)
    found = metrics["synthetic"]
    assert (metrics["metric"], set(found["figures"])) == ("micro_f1", {"micro_f1", "macro_f1", "subset_accuracy"})
    assert found["mean"] > 0.6, "always answering food and service is about 0.4"
    assert sum(row["support"] for row in found["classes"].values()) == sum(len(row["aspects"]) for row in held_out[30:])
    assert student.evaluate(aspects, cfg, tmp_path / "s", held_out[30:])["mean"] == found["mean"]
    text = "Soup was cold and the waitress was rude"
    [answer] = student.predict(aspects, cfg, tmp_path / "s", [{"text": text}])
    assert "service" in answer["aspects"]
    from synthgen.student.frozen import FrozenStudent

    shares = answer["probabilities"]
    assert FrozenStudent.load(tmp_path / "s").predict([text]) == [[name for name in shares if shares[name] >= 0.5]]


@pytest.mark.slow
def test_a_classifier_of_several_labels_is_saved_as_one_that_pipelines_read_with_a_sigmoid(
    aspects, rows, tiny_encoders, tmp_path
):
    small = ClassifierConfig(model=str(tiny_encoders["bert"]), repeats=1, min_steps=2, epochs=0.1)
    cfg = StudentConfig(bootstrap=100, training=TrainingConfig(early_stopping=False), classifier=small)
    student.train(aspects, cfg, rows, [], rows, tmp_path / "s", 0, lambda _: None)
    assert json.loads((tmp_path / "s/config.json").read_text())["problem_type"] == "multi_label_classification"
    from transformers import pipeline

    text = rows[0]["text"]
    [theirs] = pipeline("text-classification", model=str(tmp_path / "s"), top_k=None, device="cpu")([text])
    [ours] = student.predict(aspects, cfg, tmp_path / "s", [{"text": text}])
    assert {each["label"]: each["score"] for each in theirs} == pytest.approx(ours["probabilities"], abs=1e-4)
    card = (tmp_path / "s/README.md").read_text()
    assert "top_k=None" in card and "| labels | food, location" in card


def test_the_headline_is_the_first_metric_of_the_task_if_the_student_has_it(aspects):
    assert LabelSets(replace(aspects, metrics=("macro_f1", "micro_f1"))).headline == "macro_f1"
    with pytest.raises(ConfigError, match="has micro_f1, macro_f1, subset_accuracy, and no chrf"):
        LabelSets(replace(aspects, metrics=("chrf",)))


def test_a_label_name_is_a_row_with_that_label_alone(aspects):
    found = label_rows(aspects, 5.0)
    assert found[0].data == {"text": "food: what is eaten and drunk", "aspects": ["food"]}


@pytest.mark.slow
def test_a_run_balances_sets_of_labels_and_ends_with_a_student(tmp_path, capsys):
    words = [
        "task=review_aspects",
        "engine=replay",
        "student=frozen",
        "diversity=hash",
        "judge=none",
        "budget.target=36",
    ]
    assert dispatch(["run", *words, f"run.dir={tmp_path / 'out'}"]) == 0
    assert "micro F1" in capsys.readouterr().out
    summary = json.loads((tmp_path / "out/summary.json").read_text())
    assert summary["counts"]["accepted"] == 36
    lines = [json.loads(line) for line in (tmp_path / "out/dataset/train.jsonl").read_text().splitlines()]
    assert all(line["aspects"] for line in lines)
    (tmp_path / "in.jsonl").write_text('{"text": "Loud street under the window all night"}\n')
    assert dispatch(["predict", str(tmp_path / "out"), str(tmp_path / "in.jsonl")]) == 0
    assert '"aspects": [' in capsys.readouterr().out
