"""Classification: fine-tuned, saved as a plain transformers model, scored, and asked again."""

import json
import os
import shutil

import pytest

from synthgen import student
from synthgen.errors import ConfigError, RunFolderError
from synthgen.student import ClassifierConfig, StudentConfig, TrainingConfig


def _config(**knobs):
    model = ClassifierConfig(**({"repeats": 1, "batch_size": 8} | knobs))
    return StudentConfig(bootstrap=100, training=TrainingConfig(early_stopping=False), classifier=model)


def _ask_plain_transformers(folder, texts):
    """Labels and probabilities from the saved folder, with nothing of synthgen in between."""
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    model = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    batch = AutoTokenizer.from_pretrained(folder)(texts, padding=True, truncation=True, return_tensors="pt")
    with torch.inference_mode():
        shares = model(**batch).logits.softmax(-1)
    return [model.config.id2label[int(row.argmax())] for row in shares], shares.max(-1).values.tolist()


@pytest.fixture(scope="module")
def trained(tmp_path_factory, news_task, news_rows, news_eval):
    """A student of the bundled encoder on the news seeds, and its metrics."""
    out = tmp_path_factory.mktemp("run") / "student"
    # the first half of the eval file stands in for synthetic rows, so that both arms are real
    config = _config(min_steps=5, epochs=0.1, seed_repeat=1)
    metrics = student.train(news_task, config, news_rows, news_eval[:40], news_eval[60:], out, 3, lambda _: None)
    return out, config, metrics


@pytest.fixture(scope="module")
def small(tiny_encoders, tmp_path_factory, news_task, news_rows, news_eval):
    """The same of an encoder with random weights, for what does not depend on how well it answers."""
    out = tmp_path_factory.mktemp("run") / "student"
    config = _config(model=str(tiny_encoders["bert"]), min_steps=4, epochs=0.1, seed_repeat=1)
    metrics = student.train(news_task, config, news_rows, news_eval[:40], news_eval[60:], out, 3, lambda _: None)
    return out, config, metrics


@pytest.mark.slow
def test_a_few_steps_beat_guessing_by_far(trained):
    _, _, metrics = trained
    for arm in ("seeds_only", "synthetic"):
        assert metrics[arm]["mean"] > 0.7, "guessing is 0.25"
        assert metrics[arm]["low"] <= metrics[arm]["mean"] <= metrics[arm]["high"]
    assert metrics["gain"]["mean"] == pytest.approx(metrics["synthetic"]["mean"] - metrics["seeds_only"]["mean"])


def test_the_saved_folder_is_a_plain_classifier_that_predicts_the_same(small, news_task, news_eval):
    out, config, _ = small
    rows = [{"text": row["text"]} for row in news_eval[60:]]
    answers = student.predict(news_task, config, out, rows)
    labels, shares = _ask_plain_transformers(out, [row["text"] for row in rows])
    assert [answer["label"] for answer in answers] == labels
    assert [answer["probability"] for answer in answers] == pytest.approx(shares, abs=1e-4)
    assert (out / "model.safetensors").is_file()


@pytest.mark.slow
def test_probabilities_name_every_label_and_add_up(trained, news_task):
    out, config, _ = trained
    [answer] = student.predict(news_task, config, out, [{"text": "The striker scored twice."}])
    assert set(answer["probabilities"]) == set(news_task.labels)
    assert sum(answer["probabilities"].values()) == pytest.approx(1, abs=1e-4)
    assert answer["probability"] == max(answer["probabilities"].values())
    assert answer["label"] == "sport"


def test_evaluate_finds_the_accuracy_that_training_reported_for_the_saved_model(small, news_task, news_eval):
    out, config, metrics = small
    again = student.evaluate(news_task, config, out, news_eval[60:])
    assert again["metric"] == "accuracy"
    assert again["mean"] == metrics["synthetic"]["per_repeat"][0]
    assert again["confusion"] == metrics["synthetic"]["confusion"]


def test_the_confusion_matrix_counts_every_eval_row_under_its_true_label(small, news_eval):
    _, _, metrics = small
    table = metrics["synthetic"]["confusion"]
    truth = [row["label"] for row in news_eval[60:]]
    assert [sum(counts) for counts in table["counts"]] == [truth.count(label) for label in table["labels"]]
    assert sum(table["counts"][i][i] for i in range(4)) / 60 == pytest.approx(metrics["synthetic"]["per_repeat"][0])


def test_the_metrics_are_kept_beside_the_model(small):
    out, _, metrics = small
    assert json.loads((out / "metrics.json").read_text()) == metrics
    assert {path.name for path in out.iterdir()} == {
        "README.md", "config.json", "metrics.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json",
    }  # fmt: skip
    assert [path.name for path in out.parent.iterdir()] == ["student"]


@pytest.mark.slow
def test_inputs_of_any_length_and_number_are_answered_in_order(trained, news_task):
    out, config, _ = trained
    long, short = "The striker scored twice in the cup final. " * 200, "Shares in the bank fell."
    rows = [{"text": long}, {"text": short}, {"text": ""}, *[{"text": short}] * 70]  # more than a batch
    answers = student.predict(news_task, config, out, rows)
    assert [answer["label"] for answer in answers[:2]] == ["sport", "business"]
    assert [answer["label"] for answer in answers[3:]] == ["business"] * 70
    assert student.predict(news_task, config, out, []) == []


def test_no_rows_to_evaluate_gives_null_figures(small, news_task):
    out, config, _ = small
    found = student.evaluate(news_task, config, out, [])
    assert (found["eval_rows"], found["mean"], found["low"]) == (0, None, None)


def test_a_student_of_other_labels_is_refused(small, voice_task):
    out, config, _ = small
    with pytest.raises(RunFolderError, match="knows the labels business, science, sport, world"):
        student.predict(voice_task, config, out, [{"text": "lights on"}])


def test_a_folder_without_a_student_is_named(tmp_path, news_task):
    with pytest.raises(RunFolderError, match="no student here"):
        student.predict(news_task, _config(), tmp_path, [{"text": "a"}])


def test_a_torn_student_is_named(small, tmp_path, news_task):
    out, config, _ = small
    shutil.copytree(out, tmp_path / "student")
    os.truncate(tmp_path / "student/model.safetensors", 10_000)
    with pytest.raises(RunFolderError, match=r"cannot be loaded .* train it again with: synthgen train RUN"):
        student.predict(news_task, config, tmp_path / "student", [{"text": "a"}])


def test_no_student_is_trained_where_the_config_says_none(tmp_path, news_task, news_rows):
    with pytest.raises(ConfigError, match=r"student\.kind"):
        student.train(news_task, StudentConfig(kind="none"), news_rows, [], [], tmp_path / "out", 0, lambda _: None)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["bert", "xlm-roberta", "distilbert"])
def test_any_encoder_is_trained_with_a_fresh_head_and_reloads(tiny_encoders, name, tmp_path, news_task, news_rows):
    out = tmp_path / "student"
    config = _config(model=str(tiny_encoders[name]), min_steps=2, epochs=0.1, max_length=64)
    student.train(news_task, config, news_rows, [], [], out, 0, lambda _: None)
    texts = ["Shares fell.", "word " * 500]
    answers = student.predict(news_task, config, out, [{"text": text} for text in texts])
    labels, shares = _ask_plain_transformers(out, texts)
    assert [answer["label"] for answer in answers] == labels
    assert [answer["probability"] for answer in answers] == pytest.approx(shares, abs=1e-4)


@pytest.mark.slow
def test_the_same_seed_trains_the_same_student(tiny_encoders, tmp_path, news_task, news_rows):
    def shares(seed):
        out = tmp_path / "student"
        config = _config(model=str(tiny_encoders["bert"]), min_steps=3, epochs=0.1)
        student.train(news_task, config, news_rows, [], [], out, seed, lambda _: None)
        return student.predict(news_task, config, out, [{"text": "Shares fell."}])[0]["probabilities"]

    first, again, other = shares(1), shares(1), shares(2)
    assert first == again
    assert first != other


@pytest.mark.slow
def test_a_tracker_writes_inside_the_students_folder(tiny_encoders, tmp_path, news_task, news_rows):
    pytest.importorskip("tensorboard")
    config = _config(model=str(tiny_encoders["bert"]), min_steps=10, epochs=0.1)
    config.report_to = "tensorboard"
    student.train(news_task, config, news_rows, [], [], tmp_path / "student", 0, lambda _: None)
    assert list((tmp_path / "student/logs/synthetic-0").glob("events.out.tfevents.*"))


@pytest.mark.slow
def test_training_prints_nothing_and_writes_nothing_where_it_runs(
    tiny_encoders, tmp_path, news_task, news_rows, capfd, monkeypatch
):
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    lines = []
    config = _config(model=str(tiny_encoders["bert"]), min_steps=2, epochs=0.1)
    student.train(news_task, config, news_rows, [], [], tmp_path / "student", 0, lines.append)
    assert list(here.iterdir()) == []
    assert capfd.readouterr() == ("", "")
    assert "not scored" in lines[-1]


def _hardly_trained(task, rows, **knobs):
    """A student of one step too small to change anything: what its head starts from."""
    config = _config(min_steps=1, epochs=0.01, learning_rate=1e-9, **knobs)
    return student.fit_classifier(task, config, rows, 0)


def _right(fitted, rows):
    answers = fitted.predict([{"text": row["text"]} for row in rows])
    return sum(answer == row["label"] for answer, row in zip(answers, rows, strict=True)) / len(rows)


@pytest.mark.slow
def test_a_head_starts_from_a_regression_unless_it_is_to_start_from_noise(news_task, news_rows, news_eval):
    started = _right(_hardly_trained(news_task, news_rows), news_eval)
    random = _right(_hardly_trained(news_task, news_rows, head="random"), news_eval)
    assert started > 0.7
    assert random < 0.5


@pytest.mark.slow
def test_heads_of_other_shapes_start_from_a_regression_too(tiny_encoders, news_task, news_rows):
    for name, path in tiny_encoders.items():
        started = _right(_hardly_trained(news_task, news_rows, model=str(path)), news_rows)
        assert started > 0.5, name


@pytest.mark.slow
def test_a_label_without_rows_is_not_what_a_head_starts_with(news_task, news_rows, news_eval):
    rows = [row for row in news_rows if row["label"] != "sport"]
    answers = _hardly_trained(news_task, rows).predict([{"text": row["text"]} for row in news_eval])
    assert "sport" not in answers
    assert len(set(answers)) == 3


@pytest.mark.slow
def test_a_head_starts_from_weights_and_label_probabilities(news_task, news_rows, news_eval):
    wrong = "sport"
    rows = [student.TrainingRow({**row, "label": wrong}, 1e-3, None) for row in news_rows]
    fitted = _hardly_trained(news_task, [*news_rows, *rows])
    assert _right(fitted, news_eval) > 0.7
    soft = [student.TrainingRow({**row, "label": wrong}, 1.0, {row["label"]: 1.0}) for row in news_rows]
    assert _right(_hardly_trained(news_task, soft), news_eval) > 0.7


def test_rows_of_any_length_are_scored(small, news_task):
    out, config, _ = small
    rows = [{"text": text, "label": "sport"} for text in ("", "?", "The striker scored twice. " * 1_000)]
    assert student.evaluate(news_task, config, out, rows)["eval_rows"] == 3
