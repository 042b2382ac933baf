"""The frozen student: fitted in seconds, weighted, saved without a pickle, and an arm like any other."""

import json

import numpy as np
import pytest

from synthgen import student
from synthgen.errors import ConfigError, InputError, RunFolderError
from synthgen.student import StudentConfig, TrainingRow, fit_classifier
from synthgen.student.config import FrozenConfig
from synthgen.student.frozen import FrozenStudent
from synthgen.student.rows import as_rows, label_rows, merged

CONFIG = StudentConfig(kind="frozen", bootstrap=100)


def clusters(labels, spread=0.3, rows=12, seed=0):
    """Unit vectors around one direction a label, and the labels."""
    rng = np.random.default_rng(seed)
    truth = [label for label in labels for _ in range(rows)]
    centres = np.eye(8)[[labels.index(label) for label in truth]]
    vectors = centres + spread * rng.normal(size=centres.shape)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True), truth


@pytest.fixture(scope="module")
def trained(tmp_path_factory, news_task, news_rows, news_eval):
    out = tmp_path_factory.mktemp("run") / "student"
    metrics = student.train(news_task, CONFIG, news_rows, news_eval[:40], news_eval[60:], out, 3, lambda _: None)
    return out, metrics


def test_both_arms_are_fitted_scored_and_compared(trained):
    out, metrics = trained
    for arm in ("seeds_only", "synthetic"):
        assert metrics[arm]["mean"] > 0.8, "guessing is 0.25"
        assert metrics[arm]["low"] <= metrics[arm]["mean"] <= metrics[arm]["high"]
        assert sum(map(sum, metrics[arm]["confusion"]["counts"])) == metrics["eval_rows"]
    assert metrics["gain"]["mean"] == pytest.approx(metrics["synthetic"]["mean"] - metrics["seeds_only"]["mean"])
    assert json.loads((out / "metrics.json").read_text()) == metrics


def test_what_is_saved_is_small_holds_no_pickle_and_answers_the_same(trained, news_task, news_eval):
    out, metrics = trained
    assert {"model.safetensors", "config.json", "metrics.json"} <= {path.name for path in out.iterdir()}
    assert sum(path.stat().st_size for path in out.iterdir()) < 100_000
    again = student.evaluate(news_task, CONFIG, out, news_eval[60:])
    assert again["mean"] == metrics["synthetic"]["mean"]
    [answer] = student.predict(news_task, CONFIG, out, [{"text": "The striker scored twice."}])
    assert (answer["label"], answer["probability"]) == ("sport", max(answer["probabilities"].values()))
    assert sum(answer["probabilities"].values()) == pytest.approx(1, abs=1e-4)
    assert student.predict(news_task, CONFIG, out, []) == []


def test_a_student_fitted_on_another_encoder_is_refused(trained, news_task, tmp_path):
    out, _ = trained
    loaded = FrozenStudent.load(out)
    loaded.save(tmp_path)
    from safetensors.numpy import load_file, save_file

    tensors = load_file(tmp_path / "model.safetensors")
    save_file(tensors | {"probe": -tensors["probe"]}, tmp_path / "model.safetensors")
    with pytest.raises(RunFolderError, match="is not the one that the student was fitted with"):
        student.predict(news_task, CONFIG, tmp_path, [{"text": "a"}])


def test_the_frozen_student_is_for_classification(instruction_task, instruction_rows, tmp_path):
    with pytest.raises(ConfigError, match="frozen is for classification"):
        student.train(instruction_task, CONFIG, instruction_rows, [], [], tmp_path / "out", 0, lambda _: None)


@pytest.mark.slow
def test_fit_classifier_is_an_arm_without_its_folder(trained, news_task, news_rows, news_eval):
    _, metrics = trained
    held = news_eval[60:]
    real = [*map(TrainingRow, news_rows), *label_rows(news_task, CONFIG.label_rows)]
    mix = [*real, *real, *(TrainingRow(row, synthetic=True) for row in news_eval[:40])]
    predicted = fit_classifier(news_task, CONFIG, mix, 3).predict(held)
    right = np.mean([guess == row["label"] for guess, row in zip(predicted, held, strict=True)])
    assert right == metrics["synthetic"]["mean"]


@pytest.mark.parametrize("labels", [["a", "b"], ["a", "b", "c", "d"]])
def test_vectors_and_labels_are_enough_to_fit(labels):
    vectors, truth = clusters(labels)
    fitted = FrozenStudent.fit(vectors, truth)
    held, held_truth = clusters(labels, seed=1)
    assert np.mean(np.asarray(fitted.predict(held)) == held_truth) > 0.9
    assert fitted.predict_proba(held).sum(1) == pytest.approx(1)


def test_a_row_of_weight_two_counts_like_two_rows():
    vectors, truth = clusters(["a", "b", "c"], spread=1.0)
    cfg = FrozenConfig(strengths=[10.0])
    weights = np.where(np.arange(len(truth)) < 5, 2.0, 1.0)
    twice = [*range(len(truth)), *range(5)]
    one = FrozenStudent.fit(vectors, truth, weights, cfg=cfg)
    # The regularisation is held against the number of rows that the weights amount to (Kish 1965).
    amount = weights.sum() ** 2 / (weights**2).sum()
    strength = 10.0 * amount / len(twice)
    other = FrozenStudent.fit(vectors[twice], [truth[index] for index in twice], cfg=FrozenConfig(strengths=[strength]))
    assert one.predict_proba(vectors) == pytest.approx(other.predict_proba(vectors), abs=1e-3)


def test_a_row_of_weight_0_is_left_out():
    vectors, truth = clusters(["a", "b"])
    wrong = ["b" if label == "a" else "a" for label in truth]
    fitted = FrozenStudent.fit(np.vstack([vectors, vectors]), truth + wrong, [1.0] * 24 + [0.0] * 24)
    assert fitted.predict(vectors) == FrozenStudent.fit(vectors, truth).predict(vectors)


def test_a_label_with_a_soft_target_has_a_smaller_effect():
    vectors, truth = clusters(["a", "b"])
    sure = np.eye(2)[[0 if label == "a" else 1 for label in truth]]
    doubtful = 0.5 + 0.2 * (sure - 0.5)
    cfg = FrozenConfig(strengths=[100.0])
    firm = FrozenStudent.fit(vectors, sure, cfg=cfg, names=["a", "b"]).predict_proba(vectors).max(1).mean()
    soft = FrozenStudent.fit(vectors, doubtful, cfg=cfg, names=["a", "b"]).predict_proba(vectors).max(1).mean()
    assert firm > 0.9
    assert 0.5 < soft < 0.7


def test_noisy_rows_are_regularised_more_than_clean_ones():
    clean, truth = clusters(["a", "b", "c"], spread=0.1)
    noisy, _ = clusters(["a", "b", "c"], spread=3.0)
    assert FrozenStudent.fit(noisy, truth).strength < FrozenStudent.fit(clean, truth).strength


def test_balanced_classes_help_the_rare_one():
    vectors, truth = clusters(["a", "b"], spread=1.0, rows=100)
    rare = [index for index, label in enumerate(truth) if label == "a" or index % 20 == 0]
    few, labels = vectors[rare], [truth[index] for index in rare]

    def rare_found(weights):
        cfg = FrozenConfig(class_weights=weights, strengths=[1.0])
        return FrozenStudent.fit(few, labels, cfg=cfg).predict(vectors).count("b")

    assert rare_found("balanced") > rare_found("none")


def test_one_label_alone_is_refused():
    vectors, truth = clusters(["a"])
    with pytest.raises(InputError, match="at least two labels"):
        FrozenStudent.fit(vectors, truth)


def test_a_row_without_weight_is_left_out_and_an_unknown_label_refused(news_task, news_rows):
    rows = as_rows(news_task, [TrainingRow(news_rows[0], weight=0.0), news_rows[1]], synthetic=True)
    assert [row.data for row in rows] == [news_rows[1]]
    assert rows[0].synthetic
    with pytest.raises(InputError, match="has no label 'weather'"):
        as_rows(news_task, [TrainingRow(news_rows[0], soft={"weather": 1.0})])
    with pytest.raises(InputError, match="weight is -1"):
        TrainingRow(news_rows[0], weight=-1)


def test_copies_of_a_row_are_one_row_that_weighs_more(news_rows):
    rows = [TrainingRow(news_rows[0]), TrainingRow(news_rows[1]), TrainingRow(news_rows[0], weight=0.5)]
    assert [(row.data, row.weight) for row in merged(rows)] == [(news_rows[0], 1.5), (news_rows[1], 1.0)]
